"""``zoo doctor``: what is wrong is found, with its next step, and no secret is shown."""

import json
from collections.abc import Iterator
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from zoo_core.cli import doctor as module
from zoo_core.cli.doctor import Finding, doctor, findings
from zoo_core.errors import ResourceError
from zoo_core.specs import SamplerSpec
from zoo_core.testing import fake_zoo, installed, write_plugin

HOOK = "import zoo_core\nfrom zoo_core.specs import SamplerSpec\n@zoo_core.hookimpl\ndef zoo_specs():\n    return [{}]\n"
SECRET = "hf_" + "a" * 34


@pytest.fixture(autouse=True)
def _quiet(quiet: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in (*module._PROXIES, *module.TOKEN_VARIABLES, "ZOO_FROZEN"):
        monkeypatch.delenv(name, raising=False)
    with fake_zoo():
        yield


def found(state: str, text: str = "") -> list[Finding]:
    return [finding for finding in findings() if finding.state == state and text in finding.text]


def test_a_sound_installation_has_no_problem(fakes: Path) -> None:
    result = CliRunner().invoke(doctor, ["--json"])
    assert result.exit_code == 0
    listed = json.loads(result.stdout)
    assert {entry["topic"] for entry in listed} >= {"versions", "machine", "plugins", "names", "checkpoints", "cache", "network"}
    assert not [entry for entry in listed if entry["state"] == "problem"]
    assert any("fake-images" in entry["text"] and "fake-points" in entry["text"] for entry in listed)


def test_a_broken_plugin_is_a_problem_and_gives_the_exit_code(tmp_path: Path) -> None:
    folder = write_plugin(tmp_path / "site", "zoo-sad", "1 / 0")
    with installed(folder, names=["zoo-sad"]):
        [problem] = found("problem")
        assert "zoo-sad is broken" in problem.text
        assert "zoo plugins --check zoo-sad" in problem.hint
        result = CliRunner().invoke(doctor)
    assert isinstance(result.exception, ResourceError)
    assert "ZeroDivisionError" in result.stdout


def test_a_hidden_distribution_names_both_folders(tmp_path: Path) -> None:
    first, second = (write_plugin(tmp_path / name, "zoo-twin", HOOK.format("")) for name in "ab")
    with installed(first, second, names=["zoo-twin"]):
        [problem] = found("problem")
    assert str(first) in problem.text
    assert str(second) in problem.text


def test_a_name_that_two_plugins_claim_names_both(tmp_path: Path) -> None:
    spec = HOOK.format('SamplerSpec(name="walk", target="a:B", requires="denoise")')
    folder = tmp_path / "site"
    for name in ("zoo-one", "zoo-two"):
        write_plugin(folder, name, spec)
    with installed(folder, names=["zoo-one", "zoo-two"]):
        [note] = found("note", SamplerSpec.kind)
    assert "walk is claimed by zoo-one, zoo-two" in note.text


def test_a_missed_floor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_requirements", lambda dist: ["torch>=99", "numpy", "nothing-of-that-name>=1; extra == 'all'"])
    problems = found("problem")
    assert {finding.text.split()[0] for finding in problems} == {"torch"}
    assert "needs torch>=99" in problems[0].text


def test_requirements_are_those_of_the_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    assert any(text.startswith("torch") for text in module._requirements("zoo-core"))
    assert module._requirements("no-such-distribution") == []
    assert isinstance(module.distribution("zoo-core"), Distribution)


def test_no_secret_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", SECRET)
    monkeypatch.setenv("HTTPS_PROXY", "http://ann:pass-word@proxy.example:3128")
    result = CliRunner().invoke(doctor)
    assert SECRET not in result.stdout
    assert "pass-word" not in result.stdout
    assert "ann" not in result.stdout
    assert "the token is that of HF_TOKEN" in result.stdout
    assert "HTTPS_PROXY is http://proxy.example:3128" in result.stdout


@pytest.mark.parametrize("address", ["proxy:80", "user:pw@proxy:80", "http://[::1", "http://u:p@h:port", "://", "@@"])
def test_an_odd_address_of_a_proxy_is_no_crash(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    monkeypatch.setenv("ALL_PROXY", address)
    [note] = found("note", "ALL_PROXY")
    assert "pw" not in note.text


def test_a_folder_with_the_name_of_a_checkpoint_is_noted(fakes: Path) -> None:
    Path("fake-images").mkdir()
    [note] = found("note", "the folder fake-images here")
    assert note.hint == "local:fake-images means the folder"


def test_an_address_of_the_hub_that_is_refused_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://models.example")
    assert found("problem")


def test_a_lock_file_is_noted_whether_it_is_used_or_not(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("zoo.lock").write_text('{"format": 1, "checkpoints": {}}')
    assert found("note", "is not used")
    monkeypatch.setenv("ZOO_FROZEN", "1")
    assert found("note", "frozen: only the 0 checkpoints of zoo.lock are loaded")
    Path("zoo.lock").write_text("{}")
    assert found("problem", "not a lock file")


def test_a_full_disk_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "hf" / "hub").mkdir(parents=True)
    usage: Any = type("Usage", (), {"free": 5_000_000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda folder: usage)
    assert found("problem", "5.0 MB are left")
