"""Theorems about measuring a checkpoint's numbers again: they come out, without the data too, and what was edited does not."""

import json
import re
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file, save_file
from torch import Tensor

import zoo_core.evaluation.evaluate
import zoo_core.evaluation.measurement
import zoo_core.evaluation.real_data
import zoo_core.evaluation.reproduce
import zoo_core.hub.fetch
from zoo_core.cli.verify import verify
from zoo_core.config import encode
from zoo_core.data.loaders import folder as read_folder
from zoo_core.datasets import FolderConfig, MNISTConfig, MoonsConfig
from zoo_core.errors import ConfigError, IntegrityError, NotFoundError, UnsafeContentError, UsageError
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.feature_spaces import FeatureSpace, load_feature_space
from zoo_core.evaluation.limits import Allowed
from zoo_core.evaluation.measurement import random_subset
from zoo_core.evaluation.records import save_records
from zoo_core.evaluation.reference_statistics import REFERENCE, read_references, with_reference
from zoo_core.evaluation.reproduce import Plan, rerun
from zoo_core.evaluation.statistics import Moments
from zoo_core.hub.cache import is_offline
from zoo_core.interfaces import Event
from zoo_core.samplers import Ancestral
from zoo_core.schedulers import Karras
from zoo_core.testing import fake_zoo
from zoo_core.testing.fake_config import NOISE, FakeDenoiserConfig
from zoo_core.training.fit import fit

DIM = 6


def embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
    features = x.flatten(1) @ torch.randn(x[0].numel(), DIM, generator=torch.Generator().manual_seed(0))
    return features, features[:, :3].softmax(1)


JUDGE = FeatureSpace(name="map", digest="0" * 64, event=Event(shape=(3, 8, 8)), classes=3, embed=embed)


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
    for module in (zoo_core.evaluation.measurement, zoo_core.evaluation.reproduce):
        monkeypatch.setattr(module, "load_feature_space", lambda name, device="cpu", fetch=True: JUDGE)
    monkeypatch.setattr(zoo_core.evaluation.measurement, "default_feature_space", lambda config, shape: "map")
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


def told(folder: Path) -> list[tuple[str, str]]:
    """The data of the command line: a checkpoint in a folder is pinned by nobody, so it does not say itself where its data is."""
    return [("folder", str(folder.parents[1] / "pictures" / "train"))]


def states(folder: Path) -> list[tuple[str, str]]:
    return sorted((again.record["metric"], again.state) for again in rerun(f"local:{folder}", data=told(folder)))


def command(folder: Path, *options: str) -> Result:
    """``zoo verify --metrics`` of a folder, with its data."""
    [(name, path)] = told(folder)
    return CliRunner().invoke(verify, [f"local:{folder}", "--metrics", "--data", f"{name}:{path}", *options], catch_exceptions=False)


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
        command(folder)


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
    found = {again.record["metric"]: (again.state, again.why) for again in rerun(f"local:{folder}", data=told(folder))}
    assert {name: state for name, (state, _) in found.items()} == {"fd": "fail", "fid2": "absent", "precision": "fail", "kid": "fail"}
    assert "it was 1 +- " in found["fd"][1]


def test_carried_statistics_that_are_not_those_of_the_data_are_found_out_where_the_data_is(folder: Path) -> None:
    path = folder / REFERENCE
    [record] = [record for record in json.loads((folder / "metrics.json").read_text())["metrics"] if record["metric"] == "fd"][:1]
    other = Moments(DIM)
    other.add(torch.randn(120, DIM, generator=torch.Generator().manual_seed(7)))
    path.write_bytes(with_reference(path.read_bytes(), record, other))
    found = [(again.state, again.why) for again in rerun(f"local:{folder}", data=told(folder)) if again.record["metric"] == "fd"]
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


def test_without_the_data_its_statistics_serve_the_distance(folder: Path, pictures: Path) -> None:
    pictures.rename(pictures.parent / "elsewhere")
    assert states(folder) == sorted([*[("fd", "pass"), ("is", "pass")] * 2, *[("precision", "absent")] * 2])
    shown = command(folder)
    assert shown.exit_code == 0
    assert "absent   local:" in shown.stdout
    assert "by the statistics that it carries, since " in shown.stdout
    edit(folder, lambda record: record.update(value=record["value"] * 1.02))
    assert ("fd", "fail") in states(folder)
    (folder / REFERENCE).unlink()
    assert ("fd", "absent") in states(folder)


def test_other_data_under_the_same_name_are_not_taken_for_them(folder: Path, pictures: Path) -> None:
    next((pictures / "train").iterdir()).unlink()
    found = list(rerun(f"local:{folder}", data=told(folder)))
    assert [again.why for again in found if again.state == "absent"] == [
        "the data of folder:$PICTURES/train here is not that which was measured"
    ] * 2
    assert ("fd", "pass") in states(folder)


def test_a_checkpoint_without_numbers_says_so(folder: Path) -> None:
    (folder / "metrics.json").unlink()
    with pytest.raises(NotFoundError, match=r"has no metrics.json"):
        list(rerun(f"local:{folder}"))


def test_the_command_says_what_it_takes_and_prints_a_line_a_number_or_json(folder: Path) -> None:
    shown = command(folder)
    assert len(shown.stdout.splitlines()) == 6
    first, second, last = shown.stderr.splitlines()
    assert last == "6 of 6 numbers were measured again"
    assert re.match(r"fd, precision, is: draws 50 samples by ancestral: steps=4, .*; about \d+ seconds; reads folder:/\S+", first)
    assert "steps=8" in second
    assert all(line.startswith("pass ") and "map, folder:$PICTURES/train, ancestral: steps=" in line for line in shown.stdout.splitlines())
    found = json.loads(command(folder, "--json").stdout)
    assert [entry["state"] for entry in found] == ["pass"] * 6


# What nothing pins


def test_what_nothing_pins_does_not_say_where_data_is_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_core.evaluation.real_data, "load_data", lambda config: pytest.fail(f"read {config}"))
    found = list(rerun(f"local:{folder}"))
    assert sorted((again.record["metric"], again.state) for again in found) == sorted(
        [*[("fd", "pass"), ("is", "pass")] * 2, *[("precision", "absent")] * 2]
    )
    [why] = {again.why for again in found if again.state == "absent"}
    assert why == "nothing pins where the data folder is, so it is read only where the command line says: --data folder:PATH"


def test_what_nothing_pins_makes_no_folder_and_fetches_nothing(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_, **__: pytest.fail("asked the network"))
    root = tmp_path / "made"
    edit(folder, lambda record: record["data"].update(config={"name": "mnist", "root": str(root), "download": True}))
    (folder / REFERENCE).unlink()
    for place in (None, str(root)):
        [state] = {again.state for again in rerun(f"local:{folder}", data_root=place) if again.record["data"]["config"]["name"] == "mnist"}
        assert state == "absent"
    assert not root.exists()


def test_features_that_would_have_to_be_fetched_are_absent(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zoo_core.evaluation.reproduce, "load_feature_space", load_feature_space)
    monkeypatch.setattr(zoo_core.hub.fetch, "fetch", lambda reference: pytest.fail(f"fetched {reference}"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for name in ("timm:test_resnet", "somebody/something", "local:/etc", "inception"):
        monkeypatch.setenv("TORCH_HOME", str(folder))
        edit(folder, lambda record, name=name: record["features"].update(name=name))  # type: ignore[misc]  # a name for each
        found = [again for again in rerun(f"local:{folder}", data=told(folder)) if again.record["features"]["name"] == name]
        assert [again.state for again in found] == ["absent"], name


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda record: record["n"].update(drawn=10**6), "1000000 samples cannot be drawn"),
        (lambda record: record["sampler"].update(steps=10**5), "an option of 100,000, more than the 10,000"),
        (lambda record: record.update(nfe=10**6), "1000000 evaluations, more than the 10,000"),
        (lambda record: record.update(sampler={"name": "langevin", "steps": 9000, "steps_per_level": 9000}), "more than 4 evaluations"),
        (lambda record: record["data"].pop("digest"), "does not say which data"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_nothing_pins_asks_for_no_more_than_is_tried(folder: Path, change: Callable[[dict[str, Any]], Any], why: str) -> None:
    edit(folder, change)
    failed = [again.why for again in rerun(f"local:{folder}", data=told(folder)) if again.state == "fail"]
    assert [why in text for text in failed] == [True], failed


def test_a_plan_comes_before_anything_is_read_or_many_samples_are_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[object] = []
    load_data = zoo_core.evaluation.real_data.load_data
    monkeypatch.setattr(zoo_core.evaluation.real_data, "load_data", lambda config: (events.append("read"), load_data(config))[1])
    list(rerun(f"local:{folder}", data=told(folder), on_plan=events.append, on_batch=lambda n: events.append("drawn")))
    plans = [event for event in events if isinstance(event, Plan)]
    assert events[:2] == plans
    assert [(plan.metrics, plan.drawn) for plan in plans] == [(("fd", "precision", "is"), 50)] * 2
    assert all(plan.seconds is not None and 0 < plan.seconds < 60 for plan in plans)
    assert plans[0].reads == (f"folder:{told(folder)[0][1]}",)


MNIST: dict[str, Any] = {"name": "mnist", "root": "$ZOO_DATA", "split": "test", "download": True}


def test_the_records_of_a_pinned_checkpoint_say_where_its_data_is_and_fetch_none() -> None:
    [config] = Allowed(pinned=True).configs(MNIST)
    assert config == MNISTConfig(split="test")
    for pinned in (True, False):
        [config] = Allowed(pinned=pinned, root="/mine").configs(MNIST)
        assert config == MNISTConfig(root="/mine", split="test")


@pytest.mark.parametrize(
    ("plain", "why"),
    [
        (MNIST, "mnist .*--data-root DIR"),
        ({"name": "mnist", "root": "here"}, "--data-root DIR"),
        ({"name": "folder", "path": "cats"}, "--data folder:PATH"),
        ({"name": "moons", "count": 10**7}, "10,000,000 samples of moons"),
    ],
)
def test_a_record_that_nothing_pins_may_not_say_it(plain: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        list(Allowed(pinned=False).configs(plain))
    assert list(Allowed(pinned=True).configs(plain))


def test_folders_of_the_command_line_are_tried_for_the_set_of_that_name_alone() -> None:
    allowed = Allowed(pinned=False, data=[("folder", "/a"), ("mnist", "/b"), ("folder", "/c")])
    found = list(allowed.configs({"name": "folder", "path": "$HOME/.ssh", "size": 8}))
    assert found == [FolderConfig(path="/a", size=8), FolderConfig(path="/c", size=8)]
    assert list(allowed.configs({"name": "moons"})) == [MoonsConfig()]


def test_the_command_asks_no_network_and_leaves_the_environment_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    seen: list[bool] = []
    monkeypatch.setattr(zoo_core.evaluation.reproduce, "rerun", lambda *_, **__: seen.append(is_offline()) or [])
    command(folder)
    assert seen == [True]
    assert not is_offline()
    with pytest.raises(NotFoundError, match=r"somebody/something@main is not here"):
        CliRunner().invoke(verify, ["somebody/something@main", "--metrics"], catch_exceptions=False)
    with pytest.raises(UsageError, match=r"are for --metrics"):
        CliRunner().invoke(verify, [f"local:{folder}", "--data-root", "x"], catch_exceptions=False)


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
    save_records(path, [{**before[0], "value": 1.0}], {})
    after = json.loads(path.read_text())["metrics"]
    assert len(after) == len(before)
    assert after[-1] == {**before[0], "value": 1.0}
    save_records(path, [{**before[0], "value": value} for value in (2.0, 3.0)], {})
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
    places = random_subset(100, 30)
    assert places.unique().tolist() == places.tolist()
    assert places.max() >= 50
