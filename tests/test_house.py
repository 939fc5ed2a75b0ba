"""The layers of zoo_core: imports go downwards only. CONTRIBUTING.md shows the same house."""

import ast
from collections.abc import Iterator
from pathlib import Path

import zoo_core
from benchmarks.house import Source

ROOT = Path(zoo_core.__file__).parent
# From the lowest on.
LAYERS = [
    "errors",
    "vocabulary",
    "suggestions",
    "atomic",
    "specs",
    "hookspecs",
    "registry",
    "hardware",
    "config",
    "interfaces",
    "arguments",
    "capabilities",
    "recipes",
    "datasets",
    "schedulers",
    "rng",
    "data",
    "images",
    "models",
    "samplers",
    "density",
    "cards",
    "checkpoint",
    "trust",
    "hub",
    "pretrained",
    "loading",
    "distributed",
    "evaluation",
    "figures",
    "training",
    "publishing",
    "ui",
    "testing",
    "cli",
]


def modules() -> Iterator[tuple[str, Path, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        name = ".".join(path.relative_to(ROOT.parent).with_suffix("").parts).removesuffix(".__init__")
        yield name, path, ast.parse(path.read_text())


def imported(tree: ast.AST) -> Iterator[str]:
    """The dotted names in zoo_core that a module imports anywhere, in functions and for type checkers too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "zoo_core":
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.partition(".")[0] == "zoo_core")


def upwards(name: str, tree: ast.AST) -> list[str]:
    own = LAYERS.index(name.split(".")[1])
    parts = [target.split(".")[1] for target in imported(tree) if "." in target]
    return [f"{name} imports {part}" for part in parts if part in LAYERS and LAYERS.index(part) > own]


def test_imports_between_packages_go_downwards_only() -> None:
    inner = [(name, tree) for name, _, tree in modules() if "." in name and not name.endswith("__main__")]
    assert {name.split(".")[1] for name, _ in inner} == set(LAYERS)
    assert [line for name, tree in inner for line in upwards(name, tree)] == []


def test_an_import_upwards_would_be_seen() -> None:
    assert upwards("zoo_core.hub.fetch", ast.parse("def load():\n    from zoo_core.pretrained import Pretrained")) != []


def test_few_modules_lie_beside_the_packages() -> None:
    assert len([path for path in ROOT.glob("*.py") if not path.name.startswith("__")]) <= 16


def test_no_module_begins_with_a_question() -> None:
    words = ("What", "Whether", "How", "Whose", "Which", "Between", "From")
    assert [
        name
        for name, _, tree in modules()
        if (ast.get_docstring(tree) or "").split(maxsplit=1)[:1] and (ast.get_docstring(tree) or "").split()[0] in words
    ] == []


def test_files_and_functions_are_short() -> None:
    functions = [
        f"{name}:{node.name} has {node.end_lineno - node.lineno + 1} lines"
        for name, _, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno and node.end_lineno - node.lineno >= 60
    ]
    assert functions == []
    assert [f"{name} has {count} lines" for name, path, _ in modules() if (count := len(path.read_text().splitlines())) > 400] == []


def test_no_modules_import_each_other_in_a_circle() -> None:
    assert Source(ROOT.parent).floors() > 0


def test_a_circle_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "zoo_core").mkdir()
    (tmp_path / "zoo_core" / "a.py").write_text("def call():\n    from zoo_core import b\n")
    (tmp_path / "zoo_core" / "b.py").write_text("from zoo_core.a import call\n")
    assert Source(tmp_path).floors() == 0
