"""One process of a run, however many there are: takes some steps of each recipe and writes what it logged and the state it ended in.

``python distributed_driver.py OUT STEPS RECIPE.json...``, alone or under torchrun.
"""

import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from zoo_core.config import load_json
from zoo_core.data.dataset import load_data
from zoo_core.distributed import Processes
from zoo_core.recipes import Recipe
from zoo_core.training.loop import Loop, build


def run(path: Path, out: Path, steps: int, processes: Processes) -> None:
    """Trains by one recipe; afterwards nothing holds its nets."""
    recipe = Recipe.from_dict(load_json(path))
    assert recipe.data is not None
    loop = Loop(recipe, build(recipe), load_data(recipe.data), processes)
    loop.start()
    rows, logs = [], []
    for step in range(steps):
        parts = [loop.data.batch(recipe.fit.seed, step, recipe.fit.batch_size, rows) for rows in loop._rows]
        rows.append([int(index) for part in parts for index in part.index])
        loop.advance()
        logs.append(loop.logs())
    folder = out / path.stem
    folder.mkdir(parents=True, exist_ok=True)
    snapshot = loop.snapshot({})
    state = {f"{part}/{name}": value.contiguous() for part, values in snapshot.parts.items() for name, value in values.items()}
    save_file({name: value.clone() for name, value in state.items()}, folder / f"state-{processes.index}.safetensors")
    (folder / f"seen-{processes.index}.json").write_text(json.dumps({"rows": rows, "logs": logs, "count": processes.count}))


def main(out: Path, steps: int, recipes: list[Path]) -> None:
    processes = Processes("cpu")
    for path in recipes:
        run(path, out, steps, processes)
    processes.leave()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), [Path(argument) for argument in sys.argv[3:]])
