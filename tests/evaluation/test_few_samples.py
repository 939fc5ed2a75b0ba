"""Warnings of ``zoo evaluate`` about too few samples, and the parts of a record that it does not obey."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner

import zoo_core.evaluation.evaluate
import zoo_core.evaluation.measurement
from zoo_core.cli.evaluate import evaluate as command
from zoo_core.config import encode
from zoo_core.datasets import MNISTConfig
from zoo_core.errors import UsageError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.factory import make_metric, training_data_config
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.evaluation.measurement import _measurement
from zoo_core.evaluation.metrics import Metric
from zoo_core.hub.fetch import fetch
from zoo_core.interfaces import Event
from zoo_core.samplers import DPMSolver2M
from zoo_core.schedulers import Karras
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import IMAGES
from zoo_core.training.fit import fit

DIM = 24


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def embed(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = x.flatten(1) @ torch.randn(x[0].numel(), DIM, generator=torch.Generator().manual_seed(0))
        return features, features[:, :3].softmax(1)

    judge = FeatureSpace(name="map", digest="0" * 64, event=Event(shape=(3, 8, 8)), classes=3, embed=embed)
    monkeypatch.setattr(zoo_core.evaluation.measurement, "load_feature_space", lambda name, device: judge)
    monkeypatch.setattr(zoo_core.evaluation.measurement, "default_feature_space", lambda config, shape: "map")
    with fake_zoo():
        fit(IMAGES, tmp_path / "run")
        yield tmp_path / "run" / "export"


@pytest.mark.parametrize(
    ("name", "enough"),
    [("fd", DIM), ("kid", DIM), ("is", 30), ("class-spread", 30), ("precision", 90), ("recall", 90), ("density", 150), ("coverage", 150)],
)
def test_a_number_of_too_few_samples_says_how_many_are_enough(checkpoint: Path, name: str, enough: int) -> None:
    [few] = evaluate(f"local:{checkpoint}", [name], n=enough - 1)
    assert few["few"] == {"enough": enough}
    [more] = evaluate(f"local:{checkpoint}", [name], n=enough)
    assert "few" not in more


def test_real_samples_may_be_too_few_as_well(checkpoint: Path) -> None:
    few = replace(IMAGES.data, count=DIM - 1)  # type: ignore[type-var, call-arg]  # IMAGES has data, with a count
    [record] = evaluate(f"local:{checkpoint}", ["fd"], n=100, data=few)
    assert record["few"] == {"enough": DIM}


def test_the_checkpoints_own_number_of_most_samples_stands_beside_it(checkpoint: Path) -> None:
    for n in (60, 80):
        evaluate(f"local:{checkpoint}", ["fd"], n=n, seed=1, out=checkpoint / "metrics.json")
    _, recorded = json.loads((checkpoint / "metrics.json").read_text())["metrics"]
    [record] = evaluate(f"local:{checkpoint}", ["fd"], n=4)
    assert record["few"] == {"enough": DIM, "recorded": {key: recorded[key] for key in ("value", "stderr", "n")}}
    assert recorded["n"]["drawn"] == 80
    other = evaluate(f"local:{checkpoint}", ["fd"], n=4, samplers=[{"temperature": 0.5}])
    assert other[0]["few"] == {"enough": DIM}  # nothing is recorded of that one
    (checkpoint / "metrics.json").write_text("{}")
    assert evaluate(f"local:{checkpoint}", ["fd"], n=4)[0]["few"] == {"enough": DIM}


def test_a_record_from_before_its_scheduler_had_all_options_is_of_the_same_measurement() -> None:
    new: dict[str, Any] = {"metric": "fd", "options": {}, "sampler": encode(DPMSolver2M()), "scheduler": encode(Karras())}
    old = {**new, "scheduler": {"name": "karras", "rho": 7.0}}
    assert "sigma_max" in new["scheduler"]  # which came later
    assert _measurement(old) == _measurement(new)
    assert _measurement(new) != _measurement({**new, "scheduler": encode(Karras(sigma_max=20.0))})
    assert _measurement(new) != _measurement({**new, "scheduler": None})


def test_the_command_warns_beside_the_table_and_beside_json(checkpoint: Path) -> None:
    evaluate(f"local:{checkpoint}", ["fd"], n=60, out=checkpoint / "metrics.json")
    for more in ([], ["--json"]):
        shown = CliRunner().invoke(command, [f"local:{checkpoint}", "-n", "4", *more], catch_exceptions=False)
        [line] = [line for line in shown.stderr.splitlines() if "warning" in line]
        assert line.startswith("zoo: warning: fd of 4 samples says little: take at least 24; its record says ")
        assert line.endswith(" of 60")
    assert "warning" not in CliRunner().invoke(command, [f"local:{checkpoint}", "-n", "24"], catch_exceptions=False).stderr


def test_one_sample_has_a_number_without_a_standard_error_or_is_refused(checkpoint: Path) -> None:
    for name in ("is", "nearest-train"):
        [record] = evaluate(f"local:{checkpoint}", [name], n=1)
        assert record["stderr"] is None
    for name in ("fd", "kid", "precision", "recall", "class-spread"):
        with pytest.raises(UsageError, match=r"samples"):
            evaluate(f"local:{checkpoint}", [name], n=1)


def test_what_nobody_says_is_enough_of_warns_of_nothing() -> None:
    confidence = make_metric("class-confidence")
    assert isinstance(confidence, Metric)
    assert confidence.enough(96, 10) == 0


def test_a_training_record_does_not_ask_for_a_download(tmp_path: Path) -> None:
    recipe = {"data": {"name": "mnist", "root": "here", "download": True}}
    (tmp_path / "training.json").write_text(json.dumps({"recipe": recipe}))
    (tmp_path / "config.json").write_text("{}")
    files = fetch(f"local:{tmp_path}")
    assert training_data_config(files) == MNISTConfig(root="here")
    assert training_data_config(files, ["download=true"]) == MNISTConfig(root="here", download=True)
