"""The fuzzer: valid files are read, surprises are seen, and inputs that once surprised are kept."""

import logging
import random
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools import fuzz
from zoo_core.errors import ConfigError

KEPT = sorted(path for path in fuzz.CORPUS.glob("*") if path.name.partition("-")[0] in fuzz.TARGETS)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_the_valid_file_of_every_reader_is_accepted(name: str) -> None:
    target = fuzz.TARGETS[name]
    target.read(target.sample)


@pytest.mark.parametrize("name", fuzz.TARGETS)
def test_changed_files_give_no_surprise(name: str) -> None:
    target = fuzz.TARGETS[name]
    changed = [fuzz.change(target, random.Random(f"test {name} {number}")) for number in range(200)]
    assert len({*changed}) > 150
    assert [found for data in changed if (found := fuzz.surprise(target, data))] == []


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_what_once_surprised_does_not_any_more(path: Path) -> None:
    assert fuzz.surprise(fuzz.TARGETS[path.name.partition("-")[0]], path.read_bytes()) == ""


def test_input_i_of_a_seed_is_always_the_same() -> None:
    target = fuzz.TARGETS["card"]
    assert fuzz.change(target, random.Random("0 card 5")) == fuzz.change(target, random.Random("0 card 5"))


def test_a_surprise_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def read(data: bytes) -> None:
        if data == b"refused":
            raise ConfigError("it is refused", "do not use it")
        if data == b"slow":
            while True:
                time.sleep(0)
        raise KeyError("x")

    target = fuzz.Target(read, b"{}")
    monkeypatch.setattr(fuzz, "SECONDS", 0.05)
    assert fuzz.surprise(target, b"refused") == ""
    assert fuzz.surprise(target, b"other") == "KeyError: 'x'"
    assert fuzz.surprise(target, b"slow") == "more than 0.05 s"


def test_the_command_counts_keeps_surprises_and_fails(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(fuzz, "TARGETS", {"card": fuzz.Target(lambda data: 1 / (len(data) % 2), fuzz.TARGETS["card"].sample)})
    result = CliRunner().invoke(fuzz.main, ["--count", "40", "--out", str(tmp_path / "found")])
    kept = list((tmp_path / "found").iterdir())
    assert result.exit_code == 1
    assert 0 < len(kept) < 40
    assert f"s: {len(kept)} surprises" in result.output
    assert all(len(path.read_bytes()) % 2 == 0 for path in kept)
    assert logging.root.manager.disable == logging.NOTSET  # other tests read the log


def test_a_long_reference_is_refused_at_once() -> None:
    target = fuzz.Target(fuzz.TARGETS["reference"].read, b"")
    started = time.process_time()
    assert fuzz.surprise(target, b"org/name" + b"[" * 200_000) == ""
    assert time.process_time() - started < 2
