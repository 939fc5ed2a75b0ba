"""The shape of zoo_core's source: modules, layers, long files and functions, and the rooms that a call passes through.

    python -m benchmarks.house [CHECKOUT]

A room is a package of zoo_core, or a module beside the packages. A walk is static: it follows every call that can be resolved by name, in
the order of the code, each function once, and counts the moves from one room to another and back; the second count leaves out the rooms of
words and small helpers, from which no way leads on.
"""

import ast
import itertools
import sys
from collections.abc import Iterator
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

WALKS = {
    "load": [("loading", "load")],
    "sample": [("loading", "load"), ("pretrained.sampling", "Sampling.sample"), ("pretrained", "Pretrained.sample")],
    "train": [("training.fit", "fit")],
    "evaluate": [("evaluation.evaluate", "evaluate")],
}
# Modules beside the packages, now or before they had packages: they hold words and small helpers, and lead nowhere else.
WORDS = {"errors", "specs", "config", "interfaces", "arguments", "atomic", "files", "recipes", "datasets", "schedulers", "rng", "images"}
WORDS |= {"suggestions", "habits", "capabilities", "abilities", "distributed"}


class Source:
    """The modules of zoo_core in a checkout, by their dotted names without ``zoo_core.``.

    Args:
        root: folder of the checkout.
    """

    def __init__(self, root: Path) -> None:
        self.trees: dict[str, ast.Module] = {}
        self.lines: dict[str, int] = {}
        for path in sorted((root / "zoo_core").rglob("*.py")):
            parts = path.relative_to(root / "zoo_core").with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            text = path.read_text()
            self.trees[name] = ast.parse(text)
            self.lines[name] = text.count("\n")

    @cached_property
    def functions(self) -> dict[tuple[str, str], ast.FunctionDef]:
        """Functions and methods by module and qualified name."""
        found = {}
        for module, tree in self.trees.items():
            for node in tree.body:
                members = node.body if isinstance(node, ast.ClassDef) else [node]
                prefix = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
                found |= {(module, f"{prefix}{each.name}"): each for each in members if isinstance(each, ast.FunctionDef)}
        return found

    @cached_property
    def names(self) -> dict[str, dict[str, tuple[str, str]]]:
        """The names that each module imports from zoo_core anywhere: the module and the name there, empty for a module itself."""
        return {module: dict(self._imports(module)) for module in self.trees}

    def _imports(self, module: str) -> Iterator[tuple[str, tuple[str, str]]]:
        for node in ast.walk(self.trees[module]):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "zoo_core":
                home = (node.module or "").partition(".")[2]
                for alias in node.names:
                    inner = f"{home}.{alias.name}".strip(".")
                    yield alias.asname or alias.name, ((inner, "") if inner in self.trees else (home, alias.name))

    def defined(self, module: str, name: str, depth: int = 0) -> tuple[str, str] | None:
        """The module and qualified name of a function, a method of a class or of its bases, or the constructor of a class."""
        if (module, name) in self.functions:
            return module, name
        head, _, rest = name.partition(".")
        if depth > 9 or module not in self.trees:
            return None
        if head in self.names[module]:
            home, inner = self.names[module][head]
            target = ".".join(part for part in (inner, rest) if part)
            return self.defined(home, target, depth + 1) if target else None
        for node in self.trees[module].body:
            if isinstance(node, ast.ClassDef) and node.name == head:
                if not rest:
                    options = ("__init__", "__post_init__", "__call__")
                    return next(((module, f"{head}.{each}") for each in options if (module, f"{head}.{each}") in self.functions), None)
                bases = [ast.unparse(base).partition("[")[0] for base in node.bases]
                return next(filter(None, (self.defined(module, f"{base}.{rest}", depth + 1) for base in bases)), None)
        return None

    def calls(self, module: str, name: str) -> Iterator[tuple[str, str]]:
        """The functions of zoo_core that a function calls or hands on, in the order of the code."""
        owner = name.rpartition(".")[0]
        calls = [node for node in ast.walk(self.functions[module, name]) if isinstance(node, ast.Call)]
        for node in sorted(calls, key=lambda call: (call.end_lineno, call.end_col_offset)):
            text = ast.unparse(node.func)
            text = f"{owner}.{text[5:]}" if text.startswith("self.") and owner else text
            if text.replace(".", "").isidentifier() and (target := self.defined(module, text)):
                yield target

    def walk(self, module: str, name: str, seen: set[tuple[str, str]]) -> Iterator[str]:
        """The rooms of a call, in order, back in the caller's after each callee."""
        room = module.partition(".")[0]
        yield room
        for target in self.calls(module, name):
            if target not in seen:
                seen.add(target)
                yield from self.walk(*target, seen)
                yield room

    def imports(self, module: str) -> set[str]:
        """The modules that a module imports anywhere but for type checkers."""
        tree = ast.parse(ast.unparse(self.trees[module]))
        for node in ast.walk(tree):
            if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
                node.body = [ast.Pass()]
        found = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "zoo_core":
                home = (node.module or "").partition(".")[2]
                found |= {inner if (inner := f"{home}.{alias.name}".strip(".")) in self.trees else home for alias in node.names}
        return found & set(self.trees) - {module, ""}

    def floors(self) -> int:
        """The longest chain of imports; 0 where they go in a circle."""
        graph = {module: self.imports(module) for module in self.trees if module}
        height: dict[str, int] = {}
        try:
            for module in TopologicalSorter(graph).static_order():
                height[module] = 1 + max((height[each] for each in graph[module]), default=0)
        except CycleError as error:
            print("circle:", " -> ".join(error.args[1]))
            return 0
        return max(height.values())


def moves(rooms: list[str]) -> int:
    """How often a list of rooms changes from one to the next."""
    return sum(a != b for a, b in itertools.pairwise(rooms))


def main(root: str = ".") -> None:
    source = Source(Path(root))
    packages = {module.partition(".")[0] for module in source.trees if "." in module}
    print("modules beside the packages", len({module for module in source.trees if "." not in module} - packages - {"", "__main__"}))
    print("longest chain of imports", source.floors())
    print("files over 400 lines", [module for module, count in source.lines.items() if count > 400])
    long = [f"{module}:{name}" for (module, name), node in source.functions.items() if (node.end_lineno or 0) - node.lineno >= 60]
    print("functions over 60 lines", long)
    for walk, starts in WALKS.items():
        seen: set[tuple[str, str]] = set()
        rooms: list[str] = []
        for start in starts:
            if (target := source.defined(*start)) and target not in seen:
                seen.add(target)
                rooms += source.walk(*target, seen)
        print(f"{walk:9} {moves(rooms):4} moves, {moves([room for room in rooms if room not in WORDS]):4} between packages: ", end="")
        print(*dict.fromkeys(room for room in rooms if room not in WORDS))


if __name__ == "__main__":
    main(*sys.argv[1:])
