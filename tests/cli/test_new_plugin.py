"""``zoo new-plugin`` writes packages that work at once, and docs/plugins.md shows one of them."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from tools import ten_minutes
from zoo_core.cli.group import zoo
from zoo_core.cli.new_plugin import KINDS, rendered
from zoo_core.errors import PluginError, UsageError
from zoo_core.registry import registry
from zoo_core.testing import environment, write_plugin

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/plugins.md").read_text()
BLOCKS = dict(re.findall(r"^```\w+\n# (\S+\.\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL))


def written(folder: Path, name: str, kind: str) -> Path:
    """A plugin of the command, with the metadata that pip would write beside it."""
    for path, text in rendered(name, kind).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    package = f"zoo_{name.replace('-', '_')}"
    return write_plugin(folder, f"zoo-{name}", "", entry=f"{name} = {package}.plugin")


def run(*words: str | Path, cwd: Path, env: dict[str, str] | None = None) -> str:
    done = subprocess.run([str(word) for word in words], cwd=cwd, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


# The page


def test_the_page_shows_the_files_that_the_command_writes() -> None:
    files = rendered("my-diffusion", "family")
    shown = {path: text for path, text in files.items() if text and path.endswith((".py", ".toml"))}
    assert {path: BLOCKS.get(path) for path in shown} == shown
    assert all(path in PAGE for path in files if not path.startswith("."))


def boilerplate(source: str) -> int:
    """The lines of a module that are not its author's own: imports, decorators, heads of classes, calls of specs and recipes."""
    lines: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            lines |= set(range(node.lineno, node.end_lineno + 1)) if node.end_lineno else set()
        elif isinstance(node, ast.ClassDef):
            lines |= {node.lineno, *(decorator.lineno for decorator in node.decorator_list)}
        elif isinstance(node, ast.FunctionDef):
            lines |= {decorator.lineno for decorator in node.decorator_list}
            if node.name == "zoo_specs" and node.end_lineno:
                lines |= set(range(node.lineno, node.end_lineno + 1))
    return len(lines)


def test_the_boilerplate_of_a_small_family_is_at_most_forty_lines() -> None:
    files = {path: text for path, text in rendered("my-diffusion", "family").items() if path.startswith("zoo_") and path.endswith(".py")}
    assert len(files) == 5
    assert 20 < sum(map(boilerplate, files.values())) <= 40


# Names


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("MyDiffusion", "try my-diffusion"),
        ("my_diffusion", "try my-diffusion"),
        ("../up", "NAME must be lower-case words"),
        ("denoising-model", "would hide one that the plugin imports"),
    ],
)
def test_a_name_that_does_not_work_is_refused(name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError) as refusal:
        CliRunner().invoke(zoo, ["new-plugin", name], catch_exceptions=False, standalone_mode=False)
    assert message in str(refusal.value)
    assert not list(tmp_path.iterdir())


def test_the_name_of_another_part_is_refused() -> None:
    with pytest.raises(UsageError, match="zoo-core offers a sampler heun already"):
        CliRunner().invoke(zoo, ["new-plugin", "heun", "--kind", "sampler"], catch_exceptions=False, standalone_mode=False)


def test_a_folder_with_files_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    CliRunner().invoke(zoo, ["new-plugin", "zoo-mine"], catch_exceptions=False, standalone_mode=False)
    (tmp_path / "zoo-mine/README.md").write_text("mine")
    with pytest.raises(UsageError, match="zoo-mine exists already"):
        CliRunner().invoke(zoo, ["new-plugin", "mine"], catch_exceptions=False, standalone_mode=False)
    assert (tmp_path / "zoo-mine/README.md").read_text() == "mine"


# The packages


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_has_no_fault_before_it_is_installed(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    name = f"some-{kind}"
    CliRunner().invoke(zoo, ["new-plugin", name, "--kind", kind], catch_exceptions=False, standalone_mode=False)
    done = CliRunner().invoke(zoo, ["plugins", "--check", f"./zoo-{name}"], catch_exceptions=False, standalone_mode=False)
    assert re.search(rf"zoo-{name} +0.1.0 .* \d ok +1 {kind}", done.stdout)
    assert "broken" not in done.stdout
    assert f"zoo-{name}" not in [plugin.dist for plugin in registry().plugins]
    project = tomllib.loads((tmp_path / f"zoo-{name}/pyproject.toml").read_text())["project"]
    assert project["license-files"] == ["LICENSE"]
    assert (tmp_path / f"zoo-{name}/{project['entry-points']['zoo'][name].split('.')[0]}/py.typed").exists()


def test_a_fault_in_a_folder_is_named_first_with_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    folder = tmp_path / "faulty"
    for path, text in rendered("faulty", "family").items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text.replace("def loss(", "def lost("))
    runner = CliRunner()
    with pytest.raises(PluginError, match="1 broken in zoo-faulty -- mend"):
        runner.invoke(zoo, ["plugins", "--check", "zoo-core", f"{folder}/"], catch_exceptions=False, standalone_mode=False)
    done = runner.invoke(zoo, ["plugins", "--check", "zoo-core", f"{folder}/"])
    assert done.stdout.splitlines()[1].startswith("zoo-faulty")
    assert "(model.py:11): Faulty lacks loss, which its base class asks for" in " ".join(done.stdout.split())


@pytest.mark.parametrize(
    ("text", "message"), [(None, "has no pyproject.toml"), ("[project]\nname = 'x'\n", "no entry point"), ("[", "TOML")]
)
def test_a_folder_that_is_no_plugin_is_refused(text: str | None, message: str, tmp_path: Path) -> None:
    if text:
        (tmp_path / "pyproject.toml").write_text(text)
    with pytest.raises(UsageError, match=message):
        CliRunner().invoke(zoo, ["plugins", "--check", f"{tmp_path}/"], catch_exceptions=False, standalone_mode=False)


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_passes_its_own_tests_ruff_and_mypy(kind: str, tmp_path: Path) -> None:
    folder = written(tmp_path / "plugin", f"some-{kind}", kind)
    env = {**environment(folder), "MYPYPATH": str(folder)}
    run(sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "tests", cwd=folder, env=env)
    ruff = [sys.executable, "-m", "ruff"]
    run(*ruff, "check", "--isolated", "--no-cache", "--line-length=140", "--select=B,E,F,I,N,RUF,UP", ".", cwd=folder)
    run(*ruff, "format", "--isolated", "--no-cache", "--line-length=140", "--check", ".", cwd=folder)
    mypy = ["mypy", "--strict", "--config-file=", f"--cache-dir={os.devnull}", "--follow-imports=silent"]
    run(sys.executable, "-m", *mypy, f"zoo_some_{kind}", cwd=folder, env=env)


@pytest.mark.slow
def test_ten_minutes_of_a_new_author_take_less_than_ten() -> None:
    done = CliRunner().invoke(ten_minutes.main, ["--shared"], catch_exceptions=False)
    print(done.output)
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert [line[:16].strip() for line in lines[:-1]] == ["set-up", "step", *ten_minutes.STEPS, "together"]
    assert float(lines[-2].split()[-1]) < 600  # seconds of the CPU: others may use the machine too
