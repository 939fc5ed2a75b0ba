"""Theorems about measuring a checkpoint's numbers again: they come out, without the data too, and what was edited does not."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch import Tensor

import zoo_core.evaluation.evaluate
import zoo_core.evaluation.rerun
from zoo_core.cli.verify import verify
from zoo_core.config import encode
from zoo_core.datasets import FolderConfig
from zoo_core.errors import ConfigError, IntegrityError, NotFoundError, UnsafeContentError
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.evaluate import evaluate, some_of
from zoo_core.evaluation.records import keep
from zoo_core.evaluation.references import REFERENCE, read_references, with_reference
from zoo_core.evaluation.rerun import rerun
from zoo_core.evaluation.spaces import Space
from zoo_core.evaluation.statistics import Moments
from zoo_core.interfaces import Event
from zoo_core.samplers import Ancestral
from zoo_core.schedulers import Karras
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import NOISE, FakeDenoiserConfig
from zoo_core.training.datasets import folder as read_folder
from zoo_core.training.fit import fit

DIM = 6


def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
    features = x.flatten(1) @ torch.randn(x[0].numel(), DIM, generator=torch.Generator().manual_seed(0))
    return features, features[:, :3].softmax(1)


JUDGE = Space(name="map", digest="0" * 64, event=Event(shape=(3, 8, 8)), classes=3, embed=embed)


@pytest.fixture
def pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of images that a variable names."""
    from PIL import Image

    rng = np.random.default_rng(0)
    (tmp_path / "pictures" / "train").mkdir(parents=True)
    for i in range(120):
        Image.fromarray(rng.integers(0, 256, (8, 8, 3)).astype(np.uint8)).save(tmp_path / "pictures" / "train" / f"{i:03}.png")
    monkeypatch.setenv("PICTURES", str(tmp_path / "pictures"))
    return tmp_path / "pictures"


@pytest.fixture
def folder(tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A measured checkpoint: fd and precision by two samplers, with floors."""
    for module in (zoo_core.evaluation.evaluate, zoo_core.evaluation.rerun):
        monkeypatch.setattr(module, "space", lambda name, device="cpu": JUDGE)
    monkeypatch.setattr(zoo_core.evaluation.evaluate, "space_for", lambda config, shape: "map")
    recipe = replace(
        NOISE,
        model=FakeDenoiserConfig(shape=(3, 8, 8), bounded=True),
        data=FolderConfig(path="$PICTURES/train", size=8),
        fit=replace(NOISE.fit, steps=3),
    )
    with fake_zoo():
        made = fit(recipe, tmp_path / "run")
        steps: list[Any] = [{"steps": 4}, {"steps": 8}]
        evaluate(f"local:{made}", ["fd", "precision", "is"], n=50, samplers=steps, floors=True, out=made / "metrics.json")
        yield made


def states(folder: Path) -> list[tuple[str, str]]:
    return sorted((again.record["metric"], again.state) for again in rerun(f"local:{folder}"))


def edit(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Changes the first record of the fd."""
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())
    change(next(record for record in metrics["metrics"] if record["metric"] == "fd"))
    path.write_text(json.dumps(metrics))


ALL_PASS = [("fd", "pass")] * 2 + [("is", "pass")] * 2 + [("precision", "pass")] * 2


def test_what_was_measured_comes_out_again(folder: Path) -> None:
    assert states(folder) == ALL_PASS


def test_a_scheduler_is_kept_and_taken_again(folder: Path) -> None:
    [record] = evaluate(f"local:{folder}", ["fd"], n=50, samplers=["heun"], scheduler="karras", out=folder / "metrics.json")
    assert (record["sampler"]["name"], record["scheduler"], record["nfe"]) == ("heun", encode(Karras()), 35)
    [plain] = evaluate(f"local:{folder}", ["fd"], n=50, samplers=["heun"], out=folder / "metrics.json")
    assert "scheduler" not in plain
    assert plain["value"] != record["value"]
    assert states(folder) == sorted([("fd", "pass")] * 2 + ALL_PASS)  # neither took the place of the other


def test_a_record_from_before_an_option_there_is_passes(folder: Path) -> None:
    edit(folder, lambda record: record["sampler"].pop("clip"))
    edit(folder, lambda record: record["data"]["config"].pop("resize"))
    assert states(folder) == ALL_PASS


@pytest.mark.parametrize(
    "change",
    [
        lambda record: record.update(value=record["value"] * 1.02),
        lambda record: record.update(value=record["value"] * 0.98),
        lambda record: record.update(stderr=record["stderr"] * 5),
        lambda record: record.update(seed=1),
        lambda record: record["n"].update(drawn=40),
        lambda record: record["n"].update(real=119),
        lambda record: record.update(nfe=3),
        lambda record: record["sampler"].update(steps=5),
        lambda record: record.update(weights="0" * 64),
        lambda record: record.pop("weights"),
        lambda record: record.update(dataset="mnist"),
        lambda record: record["floor"].update(value=record["floor"]["value"] / 2),
        lambda record: record["harms"]["blur"].update(value=1.0),
        lambda record: record["features"].update(digest="1" * 64),
        lambda record: record.pop("sampler"),
        lambda record: record.update(sampler={"name": "no-such-sampler"}),
        lambda record: record.update(sampler=None),
        lambda record: record.update(scheduler={"name": "karras", "rho": 7.0}),
        lambda record: record.update(scheduler="karras"),
        lambda record: record.update(split="test"),
        lambda record: record.update(unit="nats"),
        lambda record: record.update(stderr=None),
        lambda record: record.update(seed="a"),
        lambda record: record.update(options={"k": 3}),
        lambda record: record.update(n={"real": 120, "drawn": 1}),
        lambda record: record.update(n={"real": 120, "drawn": -5}),
        lambda record: record.update(n={"real": 120, "drawn": 10**9}),
        lambda record: record.update(n={"real": 120, "drawn": "50"}),
        lambda record: record["data"].pop("digest"),
        lambda record: record["data"].update(config={"name": "folder"}),
        lambda record: record["features"].update(resize="bicubic"),
        lambda record: record["floor"].update(n=[50_000, 50_000]),
        lambda record: record["floor"].update(stderr=1e-9),
        lambda record: record.pop("floor"),
        lambda record: record["harms"].pop("blur"),
        lambda record: record["harms"].update(mirror={"value": 1.0, "stderr": None, "n": [60, 60]}),
    ],
    ids=lambda change: None,
)
def test_an_edited_record_fails_alone(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    edit(folder, change)
    assert states(folder) == sorted([("fd", "fail"), *ALL_PASS[1:]])
    with pytest.raises(IntegrityError, match=r"1 of 6 numbers do not come out again"):
        CliRunner().invoke(verify, [f"local:{folder}", "--metrics"], catch_exceptions=False)


def test_a_record_that_nobody_can_measure_does_not_hide_one_that_is_false(folder: Path) -> None:
    edit(folder, lambda record: record.update(value=1.0))
    path = folder / "metrics.json"
    metrics = json.loads(path.read_text())["metrics"]
    false = next(record for record in metrics if record["metric"] == "fd")
    beside = [
        {**false, "metric": "fid2"},
        {**false, "metric": "precision", "options": {"k": 1000}},
        {**false, "metric": "kid", "options": 3},
    ]
    path.write_text(json.dumps({"metrics": [false, *beside]}))
    found = {again.record["metric"]: (again.state, again.why) for again in rerun(f"local:{folder}")}
    assert {name: state for name, (state, _) in found.items()} == {"fd": "fail", "fid2": "absent", "precision": "fail", "kid": "fail"}
    assert "it was 1 +- " in found["fd"][1]


def test_carried_statistics_that_are_not_those_of_the_data_are_found_out_where_the_data_is(folder: Path) -> None:
    path = folder / REFERENCE
    [record] = [record for record in json.loads((folder / "metrics.json").read_text())["metrics"] if record["metric"] == "fd"][:1]
    other = Moments(DIM)
    other.add(torch.randn(120, DIM, generator=torch.Generator().manual_seed(7)))
    path.write_bytes(with_reference(path.read_bytes(), record, other))
    found = [(again.state, again.why) for again in rerun(f"local:{folder}") if again.record["metric"] == "fd"]
    assert found == [("fail", "the statistics of the real samples in reference.safetensors are not theirs")] * 2


def test_another_model_or_sampler_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    levels = Ancestral.noise_levels
    with monkeypatch.context() as changed:
        changed.setattr(Ancestral, "noise_levels", lambda self, *rest: tuple(1.3 * sigma for sigma in levels(self, *rest)))
        assert ("fd", "fail") in states(folder)
    weights = load_file(folder / "model.safetensors")
    weights["mean"].view(-1)[0] += 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    assert states(folder) == [(name, "fail") for name, _ in ALL_PASS]


def test_a_little_off_is_drift_on_another_build_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shift(record: dict[str, Any]) -> None:
        record.update(value=record["value"] + record["stderr"])

    edit(folder, shift)
    assert ("fd", "fail") in states(folder)
    edit(folder, lambda record: record["build"].update(torch="another"))
    assert states(folder) == sorted([("fd", "drift"), *ALL_PASS[1:]])
    edit(folder, lambda record: record.update(value=record["value"] + 5 * record["stderr"]))
    assert ("fd", "fail") in states(folder)


def test_without_the_data_its_statistics_serve_the_distance(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PICTURES")
    assert states(folder) == sorted([*[("fd", "pass"), ("is", "pass")] * 2, *[("precision", "absent")] * 2])
    told = CliRunner().invoke(verify, [f"local:{folder}", "--metrics"], catch_exceptions=False)
    assert told.exit_code == 0
    assert "absent   local:" in told.stdout
    assert "$PICTURES/train needs the environment variable PICTURES" in told.stdout
    assert "by the statistics that it carries, since $PICTURES/train needs" in told.stdout
    edit(folder, lambda record: record.update(value=record["value"] * 1.02))
    assert ("fd", "fail") in states(folder)
    (folder / REFERENCE).unlink()
    assert ("fd", "absent") in states(folder)


def test_other_data_under_the_same_name_are_not_taken_for_them(folder: Path, pictures: Path) -> None:
    next((pictures / "train").iterdir()).unlink()
    found = list(rerun(f"local:{folder}"))
    assert [again.why for again in found if again.state == "absent"] == [
        "the data of folder:$PICTURES/train here is not that which was measured"
    ] * 2
    assert ("fd", "pass") in states(folder)


def test_a_checkpoint_without_numbers_says_so(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    with pytest.raises(NotFoundError, match=r"has no metrics.json"):
        list(rerun(f"local:{folder}"))


def test_the_command_prints_a_line_a_number_or_json(folder: Path) -> None:
    told = CliRunner().invoke(verify, [f"local:{folder}", "--metrics"], catch_exceptions=False)
    assert len(told.stdout.splitlines()) == 6
    assert told.stderr == "6 of 6 numbers were measured again\n"
    assert all(line.startswith("pass ") and "map, folder:$PICTURES/train, ancestral: steps=" in line for line in told.stdout.splitlines())
    found = json.loads(CliRunner().invoke(verify, [f"local:{folder}", "--metrics", "--json"]).stdout)
    assert [entry["state"] for entry in found] == ["pass"] * 6


# Reference statistics


def test_reference_statistics_are_those_of_the_data(folder: Path, pictures: Path) -> None:
    content = (folder / REFERENCE).read_bytes()
    [(key, moments)] = read_references(content).items()
    data = read_folder(FolderConfig(path=str(pictures / "train"), size=8))
    features = embed(data.rows(torch.arange(120)))[0].double()
    assert key == f"{'0' * 16}-{data.digest[:16]}"
    assert moments.count == 120
    torch.testing.assert_close(moments.mean, features.mean(0))
    torch.testing.assert_close(moments.covariance, features.T.cov())
    plain = load_file(folder / REFERENCE)
    torch.testing.assert_close(plain[f"{key}.covariance"], features.T.cov())


def test_reference_statistics_of_several_spaces_live_in_one_file() -> None:
    def moments(seed: int) -> Moments:
        made = Moments(3)
        made.add(torch.randn(50, 3, generator=torch.Generator().manual_seed(seed)))
        return made

    def record(digest: str) -> dict[str, Any]:
        return {"dataset": "d", "data": {"config": {}, "digest": digest}, "features": {"name": "s", "digest": "f"}}

    first, second = moments(0), moments(1)
    content = with_reference(with_reference(None, record("a"), first), record("b"), second)
    found = read_references(content)
    assert found.keys() == {"f-a", "f-b"}
    assert frechet(found["f-a"], first) == pytest.approx(0, abs=1e-12)
    assert frechet(found["f-b"], second) == pytest.approx(0, abs=1e-12)
    assert with_reference(content, record("b"), second) == content
    with pytest.raises(UnsafeContentError):
        read_references(content[:-1])
    assert b'\\"count\\"' in content
    with pytest.raises(ConfigError, match=r"reference.safetensors is not what the zoo writes"):
        read_references(content.replace(b'\\"count\\"', b'\\"caunt\\"'))


def test_records_take_the_place_of_older_ones_of_the_same_measurement(folder: Path) -> None:
    path = folder / "metrics.json"
    before = json.loads(path.read_text())["metrics"]
    keep(path, [{**before[0], "value": 1.0}], {})
    after = json.loads(path.read_text())["metrics"]
    assert len(after) == len(before)
    assert after[-1] == {**before[0], "value": 1.0}
    keep(path, [{**before[0], "value": value} for value in (2.0, 3.0)], {})
    assert [record["value"] for record in json.loads(path.read_text())["metrics"]] == [*(record["value"] for record in after[:-1]), 3.0]


@pytest.mark.parametrize("content", [b"{", b'{"metrics": 5}', b'{"metrics": ["a"]}'])
def test_a_file_that_cannot_take_the_records_is_refused_before_anything_is_drawn(
    folder: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(zoo_core.evaluation.evaluate, "load", lambda *_, **__: pytest.fail("it was loaded"))
    (folder / "metrics.json").write_bytes(content)
    with pytest.raises(ConfigError):
        evaluate(f"local:{folder}", ["is"], n=4, out=folder / "metrics.json")
    assert (folder / "metrics.json").read_bytes() == content


def test_some_of_the_data_are_not_the_first_of_it() -> None:
    """A folder has its classes one after the other, and the first would be of one class."""
    places = some_of(100, 30)
    assert places.unique().tolist() == places.tolist()
    assert places.max() >= 50
