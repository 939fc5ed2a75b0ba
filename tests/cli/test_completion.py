"""Completion in the shell: what it offers, that it is light, and how it is switched on and off."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zoo_core.testing import environment

Zoo = Callable[..., Any]
HEAVY = ("PIL", "huggingface_hub", "numpy", "safetensors", "torch", "yaml")
RUN = f"""
import json, sys
from zoo_core.cli import main
try:
    main([])
except SystemExit:
    sys.stdout.flush()
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def site_of(fakes: Path) -> Path:
    """The folder of the fixture's packages, in which its checkpoint lies."""
    return next(folder for folder in fakes.parents if folder.name == "site")


def complete(words: str, fakes: Path, shell: str = "bash") -> list[str]:
    """The values that are offered for the last of ``words``."""
    place = str(len(words.split(" ")) - 1)
    env = {**environment(site_of(fakes)), "COMP_WORDS": words, "COMP_CWORD": place, "_ZOO_COMPLETE": f"{shell}_complete"}
    done = subprocess.run([sys.executable, "-c", RUN], env=env, capture_output=True, text=True, check=True)
    *lines, heavy = done.stdout.splitlines()
    assert json.loads(heavy) == []
    assert done.stderr == ""
    return lines


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("zoo sh", ["show"]),
        ("zoo show fake-p", ["fake-points"]),
        ("zoo sample fake-images --ste", ["--steps"]),
        ("zoo sample fake-images --sampler he", ["heun"]),
        ("zoo sample fake-images --scheduler k", ["karras"]),
        ("zoo sample fake-images --device cu", ["cuda"]),
        ("zoo figure fake-images rev", ["reverse"]),
        ("zoo evaluate fake-images --metrics fd,ki", ["fd,kid"]),
        ("zoo evaluate fake-images --data fake-d", ["fake-data"]),
        ("zoo list samp", ["samplers"]),
        ("zoo list samplers heu", ["heun"]),
        ("zoo list fake-p", ["fake-points"]),
        ("zoo train fake-d", ["fake-denoiser"]),
        ("zoo train fake --recipe t", ["tiny"]),
        ("zoo nothing x", []),
    ],
)
def test_the_shell_completes_commands_and_names_and_loads_nothing_heavy(words: str, offered: list[str], fakes: Path) -> None:
    assert complete(words, fakes) == [f"plain,{value}" for value in offered]


def test_classes_are_completed_by_name_in_a_list_and_in_either_case(fakes: Path) -> None:
    training = fakes / "training.json"
    training.write_text(json.dumps({"data": {"classes": ["Ankle boot", "Bag", "Anorak"]}}))
    script = 'eval "$(zoo completion bash)"; COMP_WORDS=(zoo sample "local:$1" --labels Bag,an); COMP_CWORD=4; _zoo_completion zoo'
    command = ["bash", "-c", script + r'; printf "%s\n" "${COMPREPLY[@]}"', "bash", str(fakes)]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(command, env={**environment(site_of(fakes)), "PATH": path}, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == [r"Bag,Ankle\ boot", "Bag,Anorak"]  # as bash inserts them


def test_zsh_shows_summaries_beside_the_names(fakes: Path) -> None:
    assert complete("zoo list samplers pred", fakes, "zsh")[:2] == ["plain", "predictor-corrector"]
    assert "Langevin" in complete("zoo list samplers pred", fakes, "zsh")[2]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder with shells' files in it, where ``zoo`` is on the path."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "platform", "linux")
    return home


@pytest.mark.parametrize(("shell", "name"), [("bash", ".bashrc"), ("zsh", ".zshrc")])
def test_installing_twice_adds_one_line_and_removing_takes_it_out(shell: str, name: str, zoo: Zoo, home: Path) -> None:
    mine = "alias ll='ls -l'\n"
    (home / "dotfile").write_text(mine)
    (home / name).symlink_to(home / "dotfile")
    for _ in range(2):
        assert zoo("completion", shell, "--install").code == 0
    lines = (home / name).read_text().splitlines()
    assert lines[0] == mine.strip()
    assert len(lines) == 2
    assert zoo("completion", shell, "--remove").code == 0
    assert (home / "dotfile").read_text() == mine
    assert (home / name).is_symlink()
    assert not (home / f".local/share/zoo/completion.{shell}").exists()
    assert "no completion of" in zoo("completion", shell, "--remove").err


# How a shell says what it would offer behind "zoo sh".
ASK = {
    "bash": ["bash", "-i", "-c", 'complete -p zoo >&2; COMP_WORDS=(zoo sh); COMP_CWORD=1; _zoo_completion zoo; echo "${COMPREPLY[@]}"'],
    "zsh": ["zsh", "-i", "-c", "words=(zoo sh); CURRENT=2; _describe() { print -r -- ${(P)3} }; $_comps[zoo]"],
    "fish": ["fish", "-c", "complete -C 'zoo sh'"],
}


@pytest.mark.parametrize("shell", ASK)
def test_a_new_shell_completes_after_one_command(shell: str, zoo: Zoo, home: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"needs {shell}")
    assert zoo("completion", shell, "--install").code == 0
    done = subprocess.run(
        ASK[shell], env={**os.environ, "TERM": "dumb"}, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL
    )
    assert done.stdout.replace(":", " ").split()[:1] == ["show"], done.stderr


def test_the_shell_is_that_of_the_environment(zoo: Zoo, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHELL", "/usr/bin/fish")
    assert zoo("completion", "--install").code == 0
    assert (home / ".config/fish/completions/zoo.fish").exists()
    monkeypatch.setenv("SHELL", "/bin/tcsh")
    done = zoo("completion")
    assert done.code == 2
    assert "no completion for the shell 'tcsh'" in done.err


def test_the_script_for_a_shell_is_printed(zoo: Zoo, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "_ZOO_COMPLETE=bash_complete" in zoo("completion", "bash").out
    monkeypatch.setenv("_ZOO_COMPLETE", "zsh_source")
    done = zoo()
    assert done.code == 0
    assert "_ZOO_COMPLETE=zsh_complete" in done.out
