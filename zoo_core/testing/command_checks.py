"""The conformance checks of commands, which run them in processes of their own, as a user does."""

import json
import subprocess
import sys
from pathlib import Path
from typing import cast

import click

from zoo_core.testing.plugins import environment
from zoo_core.testing.tested_part import Part

__all__ = [
    "check_command_is_listed",
    "check_help_is_light",
    "check_options_are_explained",
    "check_wrong_options_are_one_line",
]

_SLOW = ("torch", "matplotlib", "huggingface_hub", "timm", "torchvision", "accelerate")
_MODULES = "import json, sys\nfrom zoo_core.cli import main\ntry: main()\nfinally: print(json.dumps(list(sys.modules)), file=sys.stderr)"


def _run(*words: str, code: str = "from zoo_core.cli import main; main()") -> subprocess.CompletedProcess[str]:
    """``zoo`` in a process of its own, with the installed plugins of this one."""
    where = environment(*(Path(path) for path in sys.path if path))
    return subprocess.run([sys.executable, "-c", code, *words], env=where, capture_output=True, text=True, check=False, timeout=120)


def check_command_is_listed(part: Part) -> None:
    """`zoo --help` has a line for it, and no command of zoo-core has its name, which would hide it."""
    spec = part.spec
    assert 0 < len(spec.summary) <= 80, f"the summary of its spec is its line in `zoo --help`: 1 to 80 characters, not {len(spec.summary)}"
    hidden = _run("--no-plugins", spec.name, "--help").returncode == 0
    assert not hidden, f"zoo-core has a command {spec.name}, which cannot be replaced: choose another name"


def check_options_are_explained(part: Part) -> None:
    """It has a help text, and so has each of its options."""
    command = cast(click.Command, part.value)
    assert (command.help or "").strip(), "it has no help text: write a docstring, or pass help="
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    silent = [each.opts[0] for each in options if not (each.help or "").strip()]
    assert not silent, f"no help for {', '.join(silent)}"


def check_help_is_light(part: Part) -> None:
    """`zoo COMMAND --help` ends with exit code 0, and imports nothing slow: heavy modules belong inside the function."""
    done = _run(part.spec.name, "--help", code=_MODULES)
    assert done.returncode == 0, f"`zoo {part.spec.name} --help` ends with exit code {done.returncode}: {done.stderr.strip()[:300]}"
    slow = sorted(set(json.loads(done.stderr.splitlines()[-1])).intersection(_SLOW))
    assert not slow, f"`zoo {part.spec.name} --help` imports {', '.join(slow)}: import it inside the function"


def check_wrong_options_are_one_line(part: Part) -> None:
    """An option that it does not have is an error of one line, with exit code 2."""
    done = _run(part.spec.name, "--no-such-option")
    assert done.returncode == 2, f"`zoo {part.spec.name} --no-such-option` ends with exit code {done.returncode}, not 2"
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("zoo: error: "), f"`--no-such-option` prints {len(lines)} lines, not one: {lines[:2]}"
