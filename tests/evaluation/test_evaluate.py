"""Theorems about ``evaluate``: its records, the samples that it measures, and what it refuses."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor

import zoo_core.evaluation.evaluate
import zoo_core.evaluation.features
import zoo_core.evaluation.measurement
import zoo_core.evaluation.real_data
from zoo_core.cli.evaluate import evaluate as command
from zoo_core.cli.progress import Progress
from zoo_core.data.dataset import Data, load_data
from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError, ConfigError, ResourceError, UsageError, ZooError
from zoo_core.evaluation.compare import Comparison
from zoo_core.evaluation.degradations import DEGRADATIONS
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.factory import default_feature_space, make_metric, training_data_config
from zoo_core.evaluation.feature_metrics import KernelDistance
from zoo_core.evaluation.feature_spaces import FeatureSpace, load_feature_space
from zoo_core.evaluation.features import FeatureExtractor, Gathered
from zoo_core.evaluation.measurement import count_evaluations
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.evaluation.statistics import Estimate
from zoo_core.hardware.environment import build
from zoo_core.interfaces import Event
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import IMAGES, FakeConfig, FakeDataConfig
from zoo_core.training.fit import fit

from .helpers import DIM, gathered


def _embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
    map_ = torch.randn(x[0].numel(), DIM, generator=torch.Generator().manual_seed(0))
    features = x.flatten(1) @ map_
    return features, features[:, :3].softmax(1)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A trained fake that draws images, and a feature space that costs nothing."""
    judge = FeatureSpace(name="map", digest="0" * 64, event=Event(shape=(3, 8, 8)), classes=3, embed=_embed)
    monkeypatch.setattr(zoo_core.evaluation.measurement, "load_feature_space", lambda name, device: judge)
    monkeypatch.setattr(zoo_core.evaluation.measurement, "default_feature_space", lambda config, shape: "map")
    with fake_zoo():
        fit(replace(IMAGES, fit=replace(IMAGES.fit, steps=5)), tmp_path / "run")
        yield f"local:{tmp_path / 'run'}"


METRICS = ["fd", "kid", "is", "class-accuracy", "class-spread", "precision", "recall", "density", "coverage", "nearest-train"]


def test_a_record_holds_all_that_the_number_depends_on(checkpoint: str) -> None:
    records = evaluate(checkpoint, METRICS, n=60)
    assert [record["metric"] for record in records] == METRICS
    model, record = load(checkpoint), records[0]
    assert record["n"] == {"real": 256, "drawn": 60}
    assert record["weights"] == model.files.digest("model.safetensors")
    assert record["features"] == {"name": "map", "digest": "0" * 64, "resize": "none"}
    assert record["sampler"] == {"name": "latent", "temperature": 1.0, "truncation": None}
    assert (record["nfe"], record["seed"], record["dataset"]) == (1, 0, "fake-data")
    assert set(record["versions"]) == {"python", "zoo-core", "torch", "numpy", "zoo-fake"}
    assert record["build"] == build()
    assert record["seconds"] > 0
    assert records[METRICS.index("precision")]["options"] == {"k": 3}
    assert "real" not in records[METRICS.index("is")]["n"]
    json.dumps(records, allow_nan=False)


def test_the_number_is_that_of_the_samples_by_hand_whatever_the_batch(checkpoint: str) -> None:
    [record] = evaluate(checkpoint, ["fd"], n=50, seed=3)
    [other] = evaluate(checkpoint, ["fd"], n=50, seed=3, batch_size=7)
    assert other["value"] == pytest.approx(record["value"], rel=1e-6)
    model = load(checkpoint)
    real, drawn = (
        load_data(training_data_config(model.files)).rows(torch.arange(256)),
        model.sample(50, seed=3, labels=torch.arange(50) % 3),
    )
    by_hand = frechet(gathered(_embed(real)[0]).total(), gathered(_embed(drawn)[0]).total())
    assert record["value"] == pytest.approx(by_hand, rel=1e-6)


def test_floors_stand_below_the_harms(checkpoint: str) -> None:
    [record] = evaluate(checkpoint, ["fd"], n=40, floors=True)
    assert set(record["harms"]) == {"blur", "noise", "class left out", "10 images"}
    assert record["floor"]["n"] == [128, 128]
    assert all(harm["value"] > record["floor"]["value"] for harm in record["harms"].values())


def test_each_metric_sees_the_harms_that_it_is_there_to_see() -> None:
    """Of images, as they are: precision asks whether the samples are good, recall and coverage whether they are all, distances for both."""
    names = ("fd", "kid", "precision", "recall", "coverage")
    with fake_zoo():
        config = FakeDataConfig(shape=(3, 8, 8), count=600)
        metrics = {name: each for name in names if isinstance(each := make_metric(name), Metric)}
        bounds = Comparison(metrics, RealData(config, config.shape), load_feature_space("identity"), Processes("cpu")).bounds
    floor = {name: bounds[name]["floor"]["value"] for name in names}
    blur, noisy, less, collapsed = ({name: bounds[name]["harms"][harm]["value"] for name in names} for harm in DEGRADATIONS)
    assert min(blur["fd"], less["fd"], collapsed["fd"]) > 5 * floor["fd"]
    assert noisy["fd"] > 1.5 * floor["fd"]
    assert min(blur["kid"], less["kid"], collapsed["kid"]) > 0.05 > 10 * abs(floor["kid"])
    assert max(blur["precision"], noisy["precision"]) < 0.1 < 0.5 < floor["precision"]
    assert less["precision"] == pytest.approx(floor["precision"], abs=0.15)
    assert collapsed["precision"] == pytest.approx(floor["precision"], abs=0.2)
    assert blur["recall"] < 0.1
    assert collapsed["recall"] < 0.1
    assert less["recall"] < floor["recall"] - 0.2
    assert max(blur["coverage"], noisy["coverage"]) < 0.1
    assert collapsed["coverage"] < 0.3
    assert less["coverage"] < floor["coverage"] - 0.2


def test_what_cannot_be_measured_says_why(checkpoint: str, tmp_path: Path) -> None:
    plain = replace(IMAGES, model=FakeConfig(shape=(3, 8, 8), classes=0, bounded=True), fit=replace(IMAGES.fit, steps=1))
    fit(plain, tmp_path / "plain")
    with pytest.raises(CapabilityError, match=r"class-accuracy needs samples of chosen classes, and the model has no labels"):
        evaluate(f"local:{tmp_path / 'plain'}", ["class-accuracy"], n=9)
    with pytest.raises(ConfigError, match=r"samples of \[2\], the model of \[3, 8, 8\]"):
        evaluate(checkpoint, ["fd"], n=9, data=replace(IMAGES.data, shape=(2,)))  # type: ignore[type-var]  # IMAGES has data
    with pytest.raises(UsageError, match=r"no metric given"):
        evaluate(checkpoint, [])


def test_a_space_that_is_not_installed_is_named() -> None:
    with (
        fake_zoo(),
        pytest.raises(UsageError, match=r"classifier-cifar10, .*is not installed -- pip install zoo-classifier"),
    ):
        default_feature_space(IMAGES.data, (3, 8, 8))  # type: ignore[arg-type]  # IMAGES has data


def test_evaluations_are_counted(checkpoint: str) -> None:
    model = load(checkpoint)
    assert count_evaluations(model, model.sampler) == 1
    assert "decode" not in vars(model.model)


def test_the_pace_is_that_of_the_fastest_full_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 8.0, 10.0, 14.0, 20.0, 26.0, 30.0, 30.5])  # batches of 4, 4, 4 and 1
    monkeypatch.setattr(zoo_core.evaluation.features.time, "perf_counter", lambda: next(clock))
    extractor = FeatureExtractor(space=load_feature_space("identity"), processes=Processes("cpu"), batch_size=4)
    drawn = extractor.drawn(lambda first, n, labels: torch.zeros(n, 2), 13, (2,))
    assert (drawn.seconds, drawn.pace) == (18.5, 1.0)


def test_the_command_prints_a_table_and_keeps_one_record_a_measurement(checkpoint: str, tmp_path: Path) -> None:
    def run(*words: str) -> Any:
        done = CliRunner().invoke(command, [checkpoint, "-n", "30", *words], catch_exceptions=False)
        assert done.exit_code == 0
        return done

    out = str(tmp_path / "metrics.json")
    assert "fd" in run("--metrics", "fd,kid", "--out", out).stdout
    run("--metrics", "fd", "--out", out)
    run("--metrics", "fd", "--seed", "1", "--out", out)
    kept = json.loads(Path(out).read_text())["metrics"]
    assert [(record["metric"], record["seed"]) for record in kept] == [("kid", 0), ("fd", 0), ("fd", 1)]
    assert [record["metric"] for record in json.loads(run("--metrics", "is", "--json").stdout)["metrics"]] == ["is"]


def test_points_are_compared_as_they_are() -> None:
    with fake_zoo():
        assert default_feature_space(IMAGES.data, (2,)) == "identity"  # type: ignore[arg-type]  # IMAGES has data
    x = torch.randn(3, 2)
    torch.testing.assert_close(load_feature_space("identity")(x)[0], x)
    assert load_feature_space("identity").resize((2,)) == "none"


def test_no_real_sample_is_read_where_no_metric_asks_for_one(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_core.evaluation.real_data, "load_data", lambda config: pytest.fail("the data was read"))
    [record] = evaluate(checkpoint, ["is"], n=40)
    assert record["n"] == {"drawn": 40}
    assert "digest" not in record["data"]


def test_several_samplers_share_the_real_samples(checkpoint: str) -> None:
    seen: list[int] = []
    stages: list[tuple[str, int]] = []
    told = {"on_batch": seen.append, "on_stage": lambda name, total: stages.append((name, total))}
    both = evaluate(checkpoint, ["fd"], n=30, samplers=[None, {"temperature": 0.5}], **told)  # type: ignore[arg-type]  # they are of two types
    assert [record["sampler"]["temperature"] for record in both] == [1.0, 0.5]
    assert sum(seen) == 256 + 2 * 30
    assert stages == [("real samples", 256), ("drawn samples", 30), ("drawn samples", 30)]
    assert both[1]["value"] == pytest.approx(evaluate(checkpoint, ["fd"], n=30, samplers=[{"temperature": 0.5}])[0]["value"], rel=1e-9)


def test_what_is_measured_is_kept_though_the_next_sampler_fails(checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = Pretrained.sample

    def sample(model: Pretrained, n: int, **how: Any) -> Tensor:
        if n > 1 and getattr(how["sampler"], "temperature", 1.0) == 0.5:
            raise KeyboardInterrupt
        return draw(model, n, **how)

    monkeypatch.setattr(Pretrained, "sample", sample)
    out = tmp_path / "metrics.json"
    with pytest.raises(KeyboardInterrupt):
        evaluate(checkpoint, ["fd"], n=30, samplers=[None, {"temperature": 0.5}], out=out)
    [record] = json.loads(out.read_text())["metrics"]
    assert record["sampler"]["temperature"] == 1.0


@pytest.mark.parametrize("fault", [TypeError("of somebody"), torch.tensor(1.0), Estimate(torch.tensor(1.0)), Estimate(math.nan)])  # type: ignore[arg-type]  # wrong
def test_a_metric_that_fails_is_named_and_takes_no_other_with_it(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: object
) -> None:
    def wrong(self: object, real: Gathered, drawn: Gathered) -> object:
        if isinstance(fault, Exception):
            raise fault
        return fault

    monkeypatch.setattr(KernelDistance, "__call__", wrong)
    seen: list[Any] = []
    with pytest.raises(ZooError, match=r"kid"):
        evaluate(checkpoint, ["kid", "fd"], n=40, out=tmp_path / "m.json", on_record=seen.append)
    assert [record["metric"] for record in seen] == ["fd"]
    assert [record["metric"] for record in json.loads((tmp_path / "m.json").read_text())["metrics"]] == ["fd"]
    done = CliRunner().invoke(command, [checkpoint, "--metrics", "kid,fd", "-n", "40"])
    assert done.exit_code == 1
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["METRIC", "fd"]


def test_a_distance_to_the_training_data_needs_no_data_where_the_checkpoint_carries_its_statistics(
    checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And has the number that it has with them."""
    out = tmp_path / "run" / "export" / "metrics.json"
    [before] = evaluate(checkpoint, ["fd"], n=40, out=out)
    [by_data] = evaluate(checkpoint, ["fd"], n=40, data=training_data_config(load(checkpoint).files))

    def absent(config: object) -> Data:
        raise ConfigError("it is not here")

    with monkeypatch.context() as patch:
        patch.setattr(zoo_core.evaluation.real_data, "load_data", absent)
        [after], [all_of_them] = evaluate(checkpoint, ["fd"], n=40, out=out), evaluate(checkpoint, ["fd"])
        with pytest.raises(ConfigError, match="it is not here"):
            evaluate(checkpoint, ["fd", "precision"], n=40)
    assert before["value"] == by_data["value"] == pytest.approx(after["value"], rel=1e-9)
    assert (after["data"], after["n"]) == (before["data"], {"real": 256, "drawn": 40})
    assert all_of_them["n"] == {"real": 256, "drawn": 256}
    assert len(json.loads(out.read_text())["metrics"]) == 1
    # Statistics of data that has changed since are not mixed with it.
    other = load_data(replace(training_data_config(load(checkpoint).files), count=100))  # type: ignore[call-arg]  # FakeDataConfig has one
    monkeypatch.setattr(zoo_core.evaluation.real_data, "load_data", lambda config: other)
    kid, fd = evaluate(checkpoint, ["kid", "fd"], n=40)
    assert kid["n"]["real"] == fd["n"]["real"] == 100


def test_in_a_pipe_progress_is_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    monkeypatch.setattr("zoo_core.cli.progress.time.monotonic", lambda: clock[0])
    with Progress("evaluate") as progress:
        progress.status("loading")
        progress.stage("evaluate: drawn samples", 3000)
        for clock[0] in (10.0, 40.0, 45.0):
            progress.add(1000)
    assert capsys.readouterr().err == "evaluate: drawn samples: 2,000/3,000 samples  0:20 left  50 samples/s\n"


def test_where_nothing_can_be_written_nothing_is_measured(checkpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("zoo_core.atomic.TemporaryFile", refuse)
    monkeypatch.setattr(Pretrained, "sample", lambda *args, **options: pytest.fail("drawn"))
    with pytest.raises(ResourceError, match="Permission denied"):
        evaluate(checkpoint, ["fd"], n=9, out=tmp_path / "new" / "metrics.json")


def test_classes_of_another_kind_are_no_judges(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    judge = FeatureSpace(name="digits", digest="0" * 64, event=Event(shape=(3, 8, 8)), classes=10, embed=_embed)
    monkeypatch.setattr(zoo_core.evaluation.measurement, "load_feature_space", lambda name, device: judge)
    with pytest.raises(CapabilityError, match=r"class-accuracy: the model has 3 classes, and digits has 10 others"):
        evaluate(checkpoint, ["class-accuracy"], n=9)


def test_a_model_that_cannot_answer_is_refused_before_the_data_is_looked_for(checkpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_core.evaluation.evaluate, "RealData", lambda *data: pytest.fail("the data was looked for"))
    with pytest.raises(CapabilityError, match=r"accuracy needs a model that can classify"):
        evaluate(checkpoint, ["accuracy"])
    for name in ("nll", "bpd"):
        with pytest.raises(CapabilityError, match=r"cannot give a log-probability by the method bound"):
            evaluate(checkpoint, [name], options={name: {"method": "bound"}})
