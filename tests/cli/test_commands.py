"""The command ``zoo`` as a program: its commands and help, what it imports, signals, and a shell around it."""

import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo_core.cli.group import _BUILT_IN
from zoo_core.testing import environment, installed, write_plugin

HEAD = "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n\n@hookimpl\ndef zoo_specs():\n    return "
ZOO = (sys.executable, "-m", "zoo_core.cli")
HEAVY = {"torch", "numpy", "timm", "huggingface_hub"}

pytestmark = pytest.mark.usefixtures("quiet")

Zoo = Callable[..., Any]
ErrorLine = Callable[[Any], str]


def run(*args: object, env: dict[str, str] | None = None, site: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Runs ``zoo`` in a process of its own."""
    full = {**environment(*([site] if site else [])), **(env or {})}
    return subprocess.run([*ZOO, *map(str, args)], env=full, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", _BUILT_IN)
def test_every_command_has_help_with_examples(name: str, zoo: Zoo, fakes: Path) -> None:
    code, out, err = zoo(name, "--help")
    assert (code, err) == (0, "")
    assert "Examples:\n" in out
    assert f"zoo {name}" in out.split("Examples:")[1]
    assert max(map(len, out.splitlines())) < 80


def test_help_is_what_zoo_alone_prints(zoo: Zoo, fakes: Path) -> None:
    assert zoo() == zoo("--help") == zoo("-h")
    for name in _BUILT_IN:
        assert re.search(rf"^  {name} ", zoo().out, re.MULTILINE)


COMMANDS = (
    "import click\n\n\n@click.command()\ndef hello():\n    click.echo('hello from a plugin')\n\n\n"
    + HEAD
    + "[CommandSpec(name='hello', target='zoo_hello:hello', summary='Says hello.'), CommandSpec(name='list', target='zoo_hello:hello')]"
)


def test_plugins_add_commands_and_replace_none(zoo: Zoo, tmp_path: Path) -> None:
    write_plugin(tmp_path / "hello", "zoo-hello", COMMANDS)
    with installed(tmp_path / "hello", names=["zoo-hello"]):
        assert "Says hello." in zoo("--help").out
        assert zoo("hello").out == "hello from a plugin\n"
        assert "hello" not in zoo("list", "samplers").out


def imports(*args: str, site: Path) -> set[str]:
    source = "import sys\nfrom zoo_core.cli import main\ntry: main()\nfinally: print('MODULES', *sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", source, *args], env=environment(site), capture_output=True, text=True, check=False)
    return set(done.stderr.rpartition("MODULES")[2].split())


def test_light_commands_import_nothing_heavy(fakes: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    for args in (("list",), ("list", "families", "--json"), ("plugins",), ("--help",), ("sample", "--help"), ("--version",), ("nope",)):
        loaded = imports(*args, site=site)
        assert "click" in loaded
        assert not loaded & {*HEAVY, "yaml", "PIL", "matplotlib", "tqdm"}, args
    assert not imports("show", "fake-images", site=site) & HEAVY
    assert not imports("pull", "ORG/NAME", site=site) & {*HEAVY, "yaml"}


def test_bad_options_and_configs_are_refused_before_torch(fakes: Path, tmp_path: Path) -> None:
    config = json.loads((fakes / "config.json").read_text())
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "config.json").write_text(json.dumps({**config, "model": {"name": "os.system"}}))
    for args in (
        ("sample", "fake-images", "--sampler", "dimm"),
        ("sample", "fake-images", "-o", "steps=true"),
        ("sample", "fake-images", "--out", "x.gif"),
        ("sample", "local:bad"),
        ("figure", "local:bad", "reverse"),
    ):
        assert not imports(*args, site=tmp_path / "site") & HEAVY, args


def test_version_help_list_and_plugins_work_with_every_plugin_broken(tmp_path: Path) -> None:
    for dist in ("zoo-ddpm", "zoo-bad"):
        write_plugin(tmp_path / "site", dist, "raise SystemExit(7)")
    for args in (("--version",), ("--help",), ("list", "samplers"), ("plugins",)):
        done = run(*args, site=tmp_path / "site")
        assert (done.returncode, bool(done.stdout)) == (0, True)
    done = run("--no-plugins", "list", "samplers", site=tmp_path / "site")
    assert (done.returncode, done.stderr) == (0, "")
    done = run("list", "samplers", site=tmp_path / "site", env={"ZOO_PLUGINS": ""})
    assert (done.returncode, done.stderr) == (0, "")


def test_what_a_plugin_prints_never_reaches_stdout(tmp_path: Path) -> None:
    write_plugin(tmp_path / "site", "zoo-loud", "print('loud')\n" + HEAD + "print('louder') or []")
    done = run("list", "samplers", "--json", site=tmp_path / "site")
    assert {"ancestral", "latent"} <= {record["name"] for record in json.loads(done.stdout)}


def test_a_reader_that_leaves_early_is_no_error() -> None:
    shell = f"{' '.join(ZOO)} list samplers | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", shell], env=environment(), capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode in (0, 141)


SLOW = """
import time
from zoo_core.samplers import Ancestral
noise_levels = Ancestral.noise_levels
def slow(self, model, scheduler):
    open("started", "w").close()
    time.sleep(60)
Ancestral.noise_levels = slow
from zoo_core.cli import main
main()
"""


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_with_their_exit_code_and_leave_no_file(number: int, code: int, fakes: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    env = environment(tmp_path / "site")
    command = [sys.executable, "-c", SLOW, "sample", "fake-images", "--out", "x.png"]
    with subprocess.Popen(command, env=env, cwd=work, stderr=subprocess.PIPE, text=True) as process:
        deadline = time.monotonic() + 60
        while not (work / "started").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(number)
        _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert re.fullmatch(r"zoo: (interrupted|terminated)\n", err)
    assert [path.name for path in work.iterdir()] == ["started"]


def test_a_closed_stderr_and_a_folder_that_is_gone_are_borne(fakes: Path, tmp_path: Path, one_error_line: ErrorLine) -> None:
    env = environment(tmp_path / "site")
    shell = f"{' '.join(ZOO)} show nothing-like-that 2>&-"
    done = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (9, "")
    shell = f"mkdir gone && cd gone && rmdir ../gone && {' '.join(ZOO)} sample fake-images"
    done = subprocess.run(["sh", "-c", shell], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 8
    assert "the current folder is gone -- cd" in one_error_line(done)


def test_a_plugin_selected_in_vain_leaves_help_and_plugins(tmp_path: Path, one_error_line: ErrorLine) -> None:
    for args in (("--help",), ("--version",), ("plugins",), ("list", "samplers")):
        assert run(*args, env={"ZOO_PLUGINS": "typo"}).returncode == 0
    done = run("show", "cat", env={"ZOO_PLUGINS": "typo"})
    assert done.returncode == 9
    assert "unknown plugin 'typo'" in one_error_line(done)
