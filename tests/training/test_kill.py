"""Training survives kill -9, a full disk, a loss of power and damaged checkpoints: whatever happens, the end is the same to the bit."""

import json
import random
import select
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from zoo_core.testing import environment

DRIVER = Path(__file__).with_name("kill_driver.py")
PATIENCE = 300  # seconds for the start of the driver or an answer, on a machine that does much else; it needs a few, and a tenth
STEPS = 12  # the driver saves at every third


@dataclass
class Driver:
    """The process that forks a child for each life of a run; see kill_driver.py."""

    process: "subprocess.Popen[bytes]"

    def answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], PATIENCE)[0], "the driver hangs"
        line = self.process.stdout.readline()
        assert line, "the driver died"
        answer: dict[str, Any] = json.loads(line)
        assert "hung" not in answer, "a run hangs"
        return answer

    def live(self, out: Path, *, steps: int = STEPS, keep: int = 2, **request: object) -> dict[str, Any]:
        """Starts the run in ``out``, or goes on with it; tells what it did, or ``killed`` alone."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"out": str(out), "steps": steps, "keep": keep, **request}).encode() + b"\n")
        self.process.stdin.flush()
        return self.answer()

    def finish(self, out: Path, *, steps: int = STEPS) -> dict[str, Any]:
        told = self.live(out, steps=steps)
        assert not told["error"], told
        return told


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Driver]:
    folder = tmp_path_factory.mktemp("driver")
    # No PATH, so no git: a process of a killed process would outlive it.
    env = {**environment(), "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "PATH": ""}
    command = [sys.executable, str(DRIVER), str(folder / "told.json")]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0) as process:
        driver = Driver(process)
        try:
            assert driver.answer() == {"ready": True}
            yield driver
        finally:
            process.kill()


@pytest.fixture(scope="module")
def whole(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The result of the run that nothing happened to."""
    return uninterrupted(driver, tmp_path_factory.mktemp("whole"), STEPS)[1]


@pytest.fixture(scope="module")
def crashed(driver: Driver, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that died amidst the save of step 9: it holds the checkpoints of steps 3 and 6, a part of that one, and metrics to step 9."""
    folder = tmp_path_factory.mktemp("crashed")
    calls = driver.finish(folder / "whole")["disk"]
    at = [number for number, (name, path) in enumerate(calls) if name == "write" and ".tmp-step-9-" in path][2]
    assert driver.live(folder / "run", at=at, fault="half") == {"killed": True}
    names = {path.name.split("-9-")[0] for path in (folder / "run" / "steps").iterdir()}
    assert names == {"step-3", "step-6", ".tmp-step"}
    return folder / "run"


def uninterrupted(driver: Driver, folder: Path, steps: int) -> tuple[dict[str, Any], dict[str, object]]:
    told = driver.finish(folder, steps=steps)
    assert not told["warnings"]
    found = result(folder, steps)
    assert found["steps"] == list(range(1, steps + 1))
    return told, found


def result(out: Path, steps: int = STEPS) -> dict[str, object]:
    """What a run ends with, all of it but the time it took: the last checkpoint, the published weights and the metrics."""
    last = out / "steps" / f"step-{steps}"
    facts = json.loads((last / "state.json").read_text())
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    del facts["recipe"]["fit"]["keep"]  # which the lives of a run may differ in
    for record in (facts, *rows):
        del record["seconds"]
    assert not list((out / "steps").glob(".tmp-*"))
    weights = {path.name: path.read_bytes() for path in last.glob("*.safetensors")}
    published = (out / "export" / "model.safetensors").read_bytes()
    return {"facts": facts, "weights": weights, "published": published, "steps": [row["step"] for row in rows], "metrics": rows}


def harmed(path: Path, harm: str, rng: random.Random) -> None:
    data = bytearray(path.read_bytes())
    if harm == "missing":
        path.unlink()
        return
    if harm == "truncated":
        del data[rng.randrange(len(data)) :]
    else:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def checkpoints(out: Path) -> list[Path]:
    """The folders of the checkpoints, the newest first."""
    return sorted((out / "steps").glob("step-*"), key=lambda path: -int(path.name.removeprefix("step-")))


def complete(checkpoint: Path) -> bool:
    manifest = json.loads((checkpoint / "MANIFEST.json").read_text())
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in checkpoint.iterdir() if path.name != "MANIFEST.json"}
    return found == {name: pin["sha256"] for name, pin in manifest.items()}


def readable_and_complete(checkpoint: Path) -> bool:
    """As :func:`complete`, of a checkpoint whose manifest may be damaged too."""
    try:
        return complete(checkpoint)
    except (OSError, ValueError, AttributeError, TypeError, KeyError):
        return False


@pytest.mark.parametrize(
    ("kills", "damage"),
    [(5, False), (5, True), pytest.param(50, False, marks=pytest.mark.slow)],
    ids=["5", "5, with damage", "50"],
)
def test_a_run_killed_at_random_moments_ends_as_if_it_had_not_been(driver: Driver, tmp_path: Path, kills: int, damage: bool) -> None:
    steps, rng, killed, amidst = 24, random.Random(kills), 0, 0
    told, whole = uninterrupted(driver, tmp_path / "whole", steps)
    calls = driver.live(tmp_path / "counted", steps=steps, call=-1)["calls"]
    for run in range(10 * kills):  # each is killed and resumed until it ends: most take several kills
        out, ended = tmp_path / str(run), {"killed": True}
        while ended == {"killed": True}:
            # In turn at a chosen call or return of Python, and from outside after a time (a fork takes some of it); at last, not at all.
            moment = {"call": rng.randrange(1, calls)} if killed % 2 else {"after": rng.uniform(0, 1.5 * told["seconds"])}
            ended = driver.live(out, steps=steps, **(moment if killed < kills else {}))
            if ended == {"killed": True}:
                killed += 1
                amidst += bool(list(out.glob("steps/.tmp-*")))
                # A whole one is left: a run all of whose checkpoints are damaged stops, and says so.
                if damage and any(map(readable_and_complete, checkpoints(out)[1:])) and rng.random() < 0.5:
                    harmed(rng.choice(sorted(checkpoints(out)[0].iterdir())), rng.choice(["truncated", "flipped", "missing"]), rng)
                assert damage or all(map(complete, checkpoints(out)))
        assert not ended["error"]
        assert damage or not ended["warnings"]
        assert result(out, steps) == whole
        if killed == kills:
            break
    assert killed == kills
    assert amidst >= kills // 10  # many of the moments lie within a save


STAGES = ["a new run's start", "a resumed run's start and save", "the export"]


@dataclass
class Stage:
    """Lives that begin in copies of the folder ``start``, or without one, and the numbers of the calls to the disk that are looked at."""

    driver: Driver
    start: Path | None
    told: dict[str, Any]
    calls: range

    def begin(self, out: Path) -> Path:
        return out if self.start is None else Path(shutil.copytree(self.start, out))

    def cases(self, faults: Callable[[str, str], list[str]]) -> list[tuple[int, str]]:
        return [(at, fault) for at in self.calls for fault in faults(*self.told["disk"][at])]

    def check(self, out: Path, at: int, fault: str, whole: dict[str, object]) -> dict[str, Any]:
        """What happens to a life with a fault in it, when the next one costs no more than the steps since the last save."""
        case = f"{fault} {at}: {self.told['disk'][at]}"
        told = self.driver.live(self.begin(out), keep=1, at=at, fault=fault)
        # Only a loss of power may bring back a part of a checkpoint that was being deleted; it is never the newest.
        assert fault == "power" or all(map(complete, checkpoints(out))), case
        resumed = self.driver.finish(out)
        assert not resumed["warnings"], case
        assert resumed["first"] is None or resumed["first"] >= self.told["first"], case
        assert result(out) == whole, case
        shutil.rmtree(out)
        return told


@pytest.fixture(params=STAGES)
def stage(request: pytest.FixtureRequest, driver: Driver, crashed: Path, tmp_path: Path) -> Stage:
    stage = Stage(driver, None if request.param == STAGES[0] else crashed, {}, range(0))
    stage.told = driver.live(stage.begin(tmp_path / "counted"), keep=1)
    assert not stage.told["error"]
    assert not stage.told["warnings"]
    disk = stage.told["disk"]

    def first(call: str, part: str) -> int:
        return next(number for number, (made, path) in enumerate(disk) if made == call and part in path)

    if request.param == STAGES[0]:
        stage.calls = range(first("write", "/.tmp-step-3-"))
    elif request.param == STAGES[1]:
        stage.calls = range(first("mkdir", "/.tmp-step-12-"))
    else:
        stage.calls = range(first("mkdir", "/export"), len(disk))
    return stage


def crashes(call: str, path: str) -> list[str]:
    """Where to crash at a call. What it leaves when it is done, the next one finds: ``before`` all calls is after each of them too."""
    if call == "write":
        return ["before", "half"]
    return ["before", "power"] if call in ("rename", "replace", "rmdir") else ["before"]


@pytest.mark.parametrize("every", [11, pytest.param(1, marks=pytest.mark.slow)])
def test_a_crash_at_any_call_to_the_disk_costs_no_more_than_the_steps_since_the_last_save(
    stage: Stage, whole: dict[str, object], tmp_path: Path, every: int
) -> None:
    for number, (at, fault) in enumerate(stage.cases(crashes)):
        if number % every == 0 or fault == "power":
            assert stage.check(tmp_path / f"{at}-{fault}", at, fault, whole) == {"killed": True}


@pytest.mark.parametrize("harm", ["truncated", "flipped", "missing"])
def test_a_run_whose_newest_checkpoint_is_damaged_goes_on_from_the_one_before(
    driver: Driver, whole: dict[str, object], crashed: Path, tmp_path: Path, harm: str
) -> None:
    rng = random.Random(harm)
    names = sorted(path.name for path in (crashed / "steps" / "step-6").iterdir())
    assert {"MANIFEST.json", "state.json", "model.safetensors", "trainer.safetensors", "ema.safetensors"} < set(names)
    for name in names:
        out = Path(shutil.copytree(crashed, tmp_path / name))
        harmed(out / "steps" / "step-6" / name, harm, rng)
        resumed = driver.finish(out)
        assert [warning.split(" (")[0] for warning in resumed["warnings"]] == ["checkpoint step-6 is damaged"], name
        assert resumed["first"] == 4, name
        assert result(out) == whole, name


def test_a_run_whose_checkpoints_are_all_damaged_stops_and_changes_nothing(driver: Driver, crashed: Path, tmp_path: Path) -> None:
    rng = random.Random(0)
    for number, name in enumerate(sorted(path.name for path in (crashed / "steps" / "step-6").iterdir())):
        out = Path(shutil.copytree(crashed, tmp_path / name))
        for path in checkpoints(out):
            harmed(path / name, ["truncated", "flipped", "missing"][number % 3], rng)
        for _ in range(2):
            told = driver.live(out)
            assert (told["error"], told["code"], told["first"]) == ("IntegrityError", 5, None), name
        assert [path.name for path in checkpoints(out)] == ["step-6", "step-3"], name
        assert len((out / "metrics.jsonl").read_text().splitlines()) == 9, name


def shortages(call: str, path: str) -> list[str]:
    """Where the disk is full: a write is cut short and the rest of it fails; the file that none of it reaches is that of ``open``."""
    return {"open": ["full"], "write": ["half full"], "fsync": ["full"], "mkdir": ["full"]}.get(call, [])


@pytest.mark.parametrize("every", [7, pytest.param(1, marks=pytest.mark.slow)])
def test_a_full_disk_ends_the_run_with_exit_code_8_and_costs_no_checkpoint(
    stage: Stage, whole: dict[str, object], tmp_path: Path, every: int
) -> None:
    for at, fault in stage.cases(shortages)[::every]:
        told = stage.check(tmp_path / f"{at}-{fault}", at, fault, whole)
        assert (told["error"], told["code"]) == ("ResourceError", 8), (fault, stage.told["disk"][at])
