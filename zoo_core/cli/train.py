"""``zoo train``."""

import json
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo_core.checkpoint.files import CONFIG
from zoo_core.cli.completers import complete_recipes, names_of
from zoo_core.cli.console import inert, say
from zoo_core.cli.options import REFERENCE, option
from zoo_core.cli.progress import Progress, duration, rate
from zoo_core.cli.recipes import bare_name, first_preset, model_of, recipe_of
from zoo_core.config import dump_json, encode
from zoo_core.datasets import UnsetVariable
from zoo_core.errors import Interrupted
from zoo_core.hardware.memory import human_size
from zoo_core.hardware.precision import DTYPES, PRECISION_HINT, auto_precision, warn_if_emulated
from zoo_core.recipes import Recipe, with_precision

if TYPE_CHECKING:
    from zoo_core.training.fit import Report

__all__ = ["train"]

EXAMPLES = """\b
Examples:
  zoo train ddpm --recipe course --data folder:photos --out runs/mine
  zoo train ddpm --recipe course -o 'data.path=$AFHQ/train' --out runs/cat
  zoo train ddpm --recipe paper --data-root data --out runs/cifar10
  zoo train ddpm --data folder:photos --eval-every 1000 --metrics fd,kid
  zoo train ddpm --recipe course --data folder:photos --dry-run
  zoo train ddpm --recipe runs/cat/recipe.json --out runs/cat-again
  zoo train ddpm --from ddpm-afhq-cat --data folder:photos --out runs/tuned
  torchrun --nproc-per-node 2 -m zoo_core.cli train ddpm --recipe course \\
      --data folder:photos --out runs/two-gpus
"""


@click.command("train", epilog=EXAMPLES, short_help="Train a family, or go on with a run.")
@click.argument("family", shell_complete=names_of("families"))
@click.option(
    "--recipe",
    "recipe_name",
    metavar="[DIST:]NAME|FILE",
    shell_complete=complete_recipes,
    help="A preset of the family (default: its first), or a file.",
)
@option("data", metavar="[DIST:]NAME[:PATH]", help="The data set, such as folder:PATH, mnist or moons.")
@option("data_root", help="Folder that holds the files of mnist, cifar10, ... (data.root).  [default: $ZOO_DATA]")
@click.option("--steps", type=int, help="Training steps (fit.steps).")
@click.option("--batch-size", type=int, help="Samples in a batch (fit.batch_size).")
@click.option("--lr", type=float, help="Learning rate of every phase (fit.optimizer.lr).")
@click.option("--seed", type=int, help="Seed of everything random (fit.seed).")
@click.option("--keep", type=int, help="Number of checkpoints to keep (fit.keep).")
@click.option("--compile", "compile_", is_flag=True, default=None, help="Compile the nets for which the family allows it (fit.compile).")
@click.option(
    "--from",
    "start_from",
    type=REFERENCE,
    metavar="REF",
    help="Begin with the weights of a checkpoint, and with its model unless --recipe is given.",
)
@option("options", help="Changes one value of the recipe; repeatable.")
@click.option("--out", type=click.Path(path_type=Path), help="The run folder.  [default: runs/FAMILY-RECIPE]")
@click.option("--resume/--no-resume", default=True, help="Resume a run that the folder holds, or refuse to.")
@click.option("--fork", is_flag=True, help="Resume the run under a changed recipe or on other data; its record says so.")
@option("device", help="cpu, cuda, mps.  [default: the first accelerator, or the CPU]")
@click.option("--tracker", type=click.Choice(["tensorboard", "wandb", "trackio"]), help="Also send the metrics there.")
@click.option("--eval-every", type=click.IntRange(1), metavar="N", help="Measure samples every N steps, into the log of the losses.")
@option("metrics", help="Metrics that --eval-every measures.")
@click.option("--eval-n", type=click.IntRange(2), default=1000, show_default=True, metavar="N", help="Number of samples to measure.")
@option("features", help="The feature space, as for `zoo evaluate`.  [default: by the data]")
@click.option("--dry-run", is_flag=True, help="Print the recipe, the cost of a step and whether the data fits; train nothing.")
def train(
    family: str,
    recipe_name: str | None,
    data: str | None,
    data_root: str | None,
    out: Path | None,
    resume: bool,
    fork: bool,
    device: str | None,
    tracker: str | None,
    eval_every: int | None,
    metrics: str,
    eval_n: int,
    features: str | None,
    dry_run: bool,
    **given: Any,
) -> None:
    """Train FAMILY by a recipe.

    A folder that holds a run is resumed from its newest checkpoint; Ctrl-C saves one before it stops. The result is a checkpoint folder,
    OUT/export: `zoo sample local:OUT` uses it.

    Under torchrun or accelerate launch, the processes share each batch: the batch size is the sum over all of them.
    """
    if given["start_from"] and not recipe_name:
        given["model"] = model_of(given["start_from"], family)
    recipe_name = recipe_name or first_preset(family)
    recipe = recipe_of(family, recipe_name, data, data_root, given)
    if dry_run:
        from zoo_core.data.vocabularies import with_vocabulary

        recipe = with_vocabulary(_for_machine(recipe, device))
        click.echo(dump_json(recipe.to_dict()), nl=False)
        _print_cost(recipe)
        _print_data(recipe)
        return
    out = out or Path("runs") / f"{bare_name(family)}-{bare_name(Path(recipe_name).stem)}"
    names = tuple(name.strip() for name in metrics.split(",") if name.strip()) if eval_every else ()
    monitor = {"every": eval_every, "metrics": names, "n": eval_n, "features": features} if eval_every else None
    try:
        _fit(recipe, out, monitor, resume=resume, fork=fork, device=device, tracker=tracker)
    except KeyboardInterrupt:
        raise _stopped(out) from None


def _fit(recipe: Recipe, out: Path, monitor: dict[str, Any] | None, **options: Any) -> None:
    """Trains with progress on stderr, which begins before the imports: these take seconds."""
    _say_once(inert(f"training {encode(recipe.model)['name']} in {out}"))
    with Progress("train", recipe.fit.steps, "steps") as progress, warnings.catch_warnings():
        progress.status("loading PyTorch, the model and the data")
        from zoo_core.distributed import Processes
        from zoo_core.training.fit import fit
        from zoo_core.training.monitor import MonitorConfig

        warnings.showwarning = lambda message, *_: _say_once(f"zoo: warning: {message}", progress.say)
        folder = fit(
            recipe,
            out,
            monitor=MonitorConfig(**monitor) if monitor else None,
            command=f"zoo {shlex.join(sys.argv[1:])}",
            on_report=_Reports(progress, monitor["metrics"] if monitor else ()),
            on_message=lambda text: _say_once(text, progress.say),
            stopping=_signals,
            **options,
        )
    verb = "sample" if json.loads((folder / CONFIG).read_text()).get("sampler") else "show"
    Processes.leave()
    _say_once(f"trained; the checkpoint is {folder} (zoo {verb} local:{out})")


def _for_machine(recipe: Recipe, device: str | None) -> Recipe:
    """The recipe with the precision of a new run on this machine; warns of a slow one."""
    from zoo_core.hardware.devices import resolve_device

    place = resolve_device(device)
    warn_if_emulated(DTYPES.get(recipe.fit.precision, "float32"), place, PRECISION_HINT)
    return with_precision(recipe, auto_precision(place))


def _print_cost(recipe: Recipe) -> None:
    """Prints parameters, operations and memory of a step to stderr."""
    from zoo_core.training.cost import UnknownCost, estimate

    try:
        cost = estimate(recipe)
    except UnknownCost as error:
        click.echo(f"a step       of unknown cost: {error}", err=True)
        return
    phases = ", ".join(f"{name} {count:,}" for name, count in cost.trained.items())
    click.echo(f"parameters   {cost.published:,} published; trained by phase: {phases}", err=True)
    click.echo(f"a step       {cost.flops / 1e9:,.1f} GFLOP, forward and backward", err=True)
    parts = f"{cost.weights / 1e6:,.0f} MB of weights and optimizer, {cost.activations / 1e6:,.0f} MB of activations"
    click.echo(f"memory       {parts}", err=True)


def _print_data(recipe: Recipe) -> None:
    """Prints the size of the data and the number of epochs to stderr.

    Raises:
        ConfigError: if the data does not fit the model.
    """
    from zoo_core.data.dataset import load_data
    from zoo_core.training.cost import check_data

    if recipe.data is None:
        click.echo("data         none yet: --data NAME", err=True)
        return
    try:
        data = load_data(recipe.data)
    except UnsetVariable as error:
        click.echo(f"data         not here: {inert(error.what)}", err=True)
        return
    check_data(recipe, data)
    fit = recipe.fit
    classes = f", {len(data.classes)} classes" if len(data.classes) > 1 else ""
    epochs = fit.steps * fit.batch_size / len(data)
    shape = " x ".join(map(str, data.event.shape))
    click.echo(f"data         {len(data):,} samples of {shape}{classes}; {fit.steps:,} steps are {epochs:,.3g} epochs", err=True)


@contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """Inside a ``with`` block, SIGINT, SIGTERM and SIGHUP stop the loop after its step; a second SIGINT stops it at once.

    Its value is a function that returns the number of the first signal, or 0.
    """
    seen: list[int] = []

    def remember(signum: int, frame: object) -> None:
        if seen and signum == signal.SIGINT:
            raise KeyboardInterrupt
        seen.append(signum)
        if sys.stderr.isatty():
            _say_once("")  # moves the message below the bar and the terminal's own ^C
        _say_once("zoo: saving a checkpoint before stopping")

    before = {signum: signal.signal(signum, remember) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: seen[0] if seen else 0
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _say_once(text: str, write: Callable[[str], None] = say) -> None:
    """Prints a message in the first of a launcher's processes; a terminal that has gone away does not end the run."""
    if os.environ.get("RANK", "0") == "0":
        with suppress(OSError):
            write(text)


class _Reports:
    """Shows the reports of a run; a metric of samples stays until it is measured again."""

    def __init__(self, progress: Progress, metrics: Sequence[str] = ()) -> None:
        self.progress = progress
        self.metrics = metrics
        self.measured: dict[str, float] = {}

    def __call__(self, report: "Report") -> None:
        self.measured |= {name: report.logs[name] for name in self.metrics if name in report.logs}
        losses = {name.removeprefix("loss."): value for name, value in report.logs.items() if name.startswith("loss.")}
        named = [f"loss {value:.4g}" if len(losses) == 1 else f"loss of {name} {value:.4g}" for name, value in losses.items()]
        named += [f"{name} {value:.4g}" for name, value in self.measured.items()]
        owner = {"cpu": "process", "cuda": "GPU"}.get(report.device, report.device)
        memory = f"{owner} memory {human_size(report.memory)}"
        precision = "float32" if report.precision == "no" else report.precision
        speed = f"{rate(report.speed)} samples/s in {precision}"
        left = f"{duration(report.seconds_left)} left"
        self.progress.total = report.steps
        self.progress.show(report.step, [*named, left, speed, memory], now=report.step in (1, report.steps))


def _newest_step(out: Path) -> int:
    """The step of the newest checkpoint of a run, damaged or not; 0 without one."""
    names = [path.name.removeprefix("step-") for path in (out / "steps").glob("step-*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _stopped(out: Path) -> Interrupted:
    """The error that ends a run after Ctrl-C outside of its steps, or after a second one."""
    if step := _newest_step(out):
        what = f"stopped; the newest checkpoint in {out} is that of step {step:,}"
        return Interrupted(what, "the same command goes on from there", signum=signal.SIGINT)
    return Interrupted("stopped before anything was saved", "the same command starts again", signum=signal.SIGINT)
