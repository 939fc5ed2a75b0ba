"""Examples in docstrings: they run, and every public class has one."""

import ast
import doctest
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*sorted(ROOT.glob("zoo_core/**/*.py")), *sorted(ROOT.glob("plugins/*/zoo_*/**/*.py"))]
# Modules whose docstring has one example for all of their classes.
SHARED = ("zoo_core.errors",)
# Public classes without an example, each with the reason.
EXEMPT: dict[str, str] = {
    "zoo_core.ui.controls.Controls": "widgets, which need the extra [ui]",
    "zoo_core.ui.controls.Output": "widgets, which need the extra [ui]",
}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[2:] if parts[0] == "plugins" else parts).removesuffix(".__init__")


def docstrings(name: str, tree: ast.Module) -> Iterator[tuple[str, str, int]]:
    """The dotted name, text and first line of every docstring of a module that has examples."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            text = ast.get_docstring(node, clean=False) or ""
            if ">>>" in text:
                yield f"{name}.{getattr(node, 'name', '')}".removesuffix("."), text, node.body[0].lineno - 1


def public_classes(tree: ast.Module) -> Iterator[ast.ClassDef]:
    names: list[str] = []
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(target, ast.Name) and target.id == "__all__" for target in node.targets):
            names = ast.literal_eval(node.value)
    return (node for node in tree.body if isinstance(node, ast.ClassDef) and node.name in names)


def without_example(name: str, tree: ast.Module) -> list[str]:
    if name in SHARED and ">>>" in (ast.get_docstring(tree) or ""):
        return []
    return [f"{name}.{node.name}" for node in public_classes(tree) if ">>>" not in (ast.get_docstring(node) or "")]


TREES = {module_name(path): (path, ast.parse(path.read_text())) for path in FILES}
WITH_EXAMPLES = [name for name, (_, tree) in TREES.items() if any(docstrings(name, tree))]
# Light modules first: without torch they run at once.
WITH_EXAMPLES.sort(key=lambda name: "torch" in TREES[name][0].read_text())


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_the_examples_of_a_module_run(name: str) -> None:
    path, tree = TREES[name]
    module = import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    report: list[str] = []
    for place, text, line in docstrings(name, tree):
        example = doctest.DocTestParser().get_doctest(text, dict(vars(module)), place, str(path), line)
        assert example.examples, f"{place} has a malformed example"
        runner.run(example, out=report.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(report)


def test_every_public_class_has_an_example() -> None:
    missing = [place for name, (_, tree) in TREES.items() for place in without_example(name, tree) if place not in EXEMPT]
    assert missing == []


def test_every_exemption_is_of_a_public_class_without_an_example() -> None:
    assert set(EXEMPT) <= {place for name, (_, tree) in TREES.items() for place in without_example(name, tree)}


def test_a_class_without_an_example_would_be_seen() -> None:
    tree = ast.parse('__all__ = ["A", "B"]\nclass A:\n    ">>> 1"\nclass B:\n    "No example."\nclass _C: ...')
    assert without_example("zoo_core.module", tree) == ["zoo_core.module.B"]
