"""Theorems about watching a run by metrics of its samples: the numbers are those of ``zoo evaluate``, and the training is what it was."""

import signal
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from safetensors.torch import load_file
from torch import nn

from zoo_core.cards.metrics_log import read_metrics
from zoo_core.cli.group import zoo
from zoo_core.config import dump_json
from zoo_core.data.dataset import load_data
from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError, ConfigError, Interrupted, UnknownNameError, UsageError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import TINY, FakeDataConfig
from zoo_core.training.fit import Report, fit
from zoo_core.training.monitor import Monitor, MonitorConfig

RECIPE = replace(TINY, fit=replace(TINY.fit, steps=12, save_every=6, log_every=5))


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


def measured(out: Path, name: str = "fd") -> dict[int, float]:
    return {row["step"]: row[name] for row in read_metrics(out / "metrics.jsonl") if name in row}


def test_the_last_number_is_that_of_the_exported_checkpoint(tmp_path: Path) -> None:
    reports: list[Report] = []
    fit(RECIPE, tmp_path / "run", monitor=MonitorConfig(every=4, metrics=("fd", "kid"), n=100), on_report=reports.append)
    found = measured(tmp_path / "run")
    assert list(found) == [0, 4, 8, 12]
    assert [report.step for report in reports] == [1, 4, 5, 8, 10, 12]
    for name in ("fd", "kid"):
        [record] = evaluate(f"local:{tmp_path / 'run'}", [name], n=100)
        assert measured(tmp_path / "run", name)[12] == pytest.approx(record["value"], rel=1e-6)
        assert reports[-1].logs[name] == measured(tmp_path / "run", name)[12]


def test_watching_changes_nothing_of_the_training(tmp_path: Path) -> None:
    plain, watched = (
        load_file(fit(RECIPE, tmp_path / name, monitor=monitor) / "model.safetensors")
        for name, monitor in (("plain", None), ("watched", MonitorConfig(every=3, n=50)))
    )
    assert all(plain[name].equal(value) for name, value in watched.items())


def test_a_run_that_goes_on_is_watched_as_if_it_had_not_stopped(tmp_path: Path) -> None:
    monitor, stops = MonitorConfig(every=4, n=60), iter([0] * 14)
    fit(RECIPE, tmp_path / "whole", monitor=monitor)
    with pytest.raises(Interrupted):
        fit(RECIPE, tmp_path / "parts", monitor=monitor, stopping=lambda: nullcontext(lambda: next(stops, signal.SIGTERM)))
    first = measured(tmp_path / "parts")
    assert list(first) == [0, 4, 8, 12][: len(first)]
    assert 1 < len(first) < 4
    fit(RECIPE, tmp_path / "parts", monitor=monitor)
    assert measured(tmp_path / "parts") == measured(tmp_path / "whole")


def test_an_end_that_is_asked_for_while_measuring_comes_at_once(tmp_path: Path) -> None:
    asked: list[int] = []

    def stop() -> int:
        asked.append(1)
        return signal.SIGTERM if len(asked) > 23 else 0  # 4 + 16 looks at batches before the first step, three steps, and one more look

    with pytest.raises(Interrupted, match=r"stopped at step 4"):
        fit(RECIPE, tmp_path / "run", monitor=MonitorConfig(every=4, n=1000), stopping=lambda: nullcontext(stop))
    assert len(asked) < 28
    assert list(measured(tmp_path / "run")) == [0]


def test_a_measurement_that_fails_does_not_end_the_run(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="samples could not be measured: features of fakes of 3 samples are too few"):
        folder = fit(RECIPE, tmp_path / "run", monitor=MonitorConfig(every=4, metrics=("recall",), n=3))
    assert (folder / "model.safetensors").exists()
    assert measured(tmp_path / "run", "recall") == {}


def test_what_cannot_be_watched_is_refused_before_there_is_a_folder(tmp_path: Path) -> None:
    refused = [
        (MonitorConfig(every=2, metrics=("fid",)), UnknownNameError, "fid"),
        (MonitorConfig(every=2, metrics=("accuracy",)), UsageError, "accuracy is not a metric of samples"),
        (MonitorConfig(every=2, metrics=("is",)), CapabilityError, "identity gives none"),
    ]
    for monitor, error, told in refused:
        with pytest.raises(error, match=told):
            fit(RECIPE, tmp_path / "run", monitor=monitor)
    with pytest.raises(UsageError, match="no sampler"):
        Monitor(MonitorConfig(every=2), replace(RECIPE, sampler=None), load_data(FakeDataConfig()), nn.Identity(), Processes("cpu"))
    with pytest.raises(ConfigError, match="every"):
        MonitorConfig(every=0)
    assert not (tmp_path / "run").exists()


def test_the_command_watches(tmp_path: Path) -> None:
    (tmp_path / "recipe.json").write_text(dump_json(RECIPE.to_dict()))
    words = ["train", "fake", "--recipe", str(tmp_path / "recipe.json"), "--out", str(tmp_path / "run")]
    done = CliRunner().invoke(zoo, [*words, "--eval-every", "6", "--metrics", "fd, kid", "--eval-n", "40"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert list(measured(tmp_path / "run")) == list(measured(tmp_path / "run", "kid")) == [0, 6, 12]
    assert "fd " in done.stderr
