"""``zoo list`` in a fresh process against the imports that it needs."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path

from benchmarks.timing import Ratio, compare
from zoo_core.testing import environment, write_plugin

FLOOR = "import click, pluggy; from importlib.metadata import entry_points; entry_points(group='zoo')"
LIST = "from zoo_core.cli import main; main(['list'])"
PLUGIN = """
from zoo_core.hookspecs import hookimpl
from zoo_core.specs import CheckpointSpec, ModelSpec, TrainerSpec

@hookimpl
def zoo_specs():
    return [
        ModelSpec(name="family-{i}", target="family_{i}.model:Model", config="family_{i}.config:Config", trainer="family-{i}"),
        TrainerSpec(name="family-{i}", target="family_{i}.trainer:Trainer"),
        CheckpointSpec(name="family-{i}-data", family="family-{i}", summary="one of many"),
    ]
"""


def measure() -> Iterator[Ratio]:
    """With seven plugins, and with a hundred."""
    for count, budget in ((7, 1.5), (100, 3.0)):
        with tempfile.TemporaryDirectory() as folder:
            for i in range(count):
                write_plugin(Path(folder), f"family-{i}", PLUGIN.format(i=i))
            cold = {**environment(Path(folder)), "PYTHONPYCACHEPREFIX": str(Path(folder) / "bytecode")}
            # As after an installation by pip, bytecode exists: the first run, which is not timed, writes it.
            cold.pop("PYTHONDONTWRITEBYTECODE", None)
            yield compare(
                f"zoo list, {count} plugins more, cold",
                partial(_run, LIST, cold),
                "click, pluggy, entry points",
                partial(_run, FLOOR, cold),
                budget=budget,
                rounds=15,
            )


def _run(code: str, environ: Mapping[str, str]) -> None:
    subprocess.run([sys.executable, "-c", code], env=dict(environ), check=True, stdout=subprocess.DEVNULL)
