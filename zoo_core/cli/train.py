"""``zoo train``."""

import json
import os
import shlex
import signal
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from zoo_core.checkpoint.config import read_config
from zoo_core.cli.console import human_size, inert, say
from zoo_core.cli.options import REFERENCE, data_name
from zoo_core.cli.progress import Progress, duration, rate
from zoo_core.config import apply_overrides, dump_json, encode, load_json
from zoo_core.datasets import UnsetVariable
from zoo_core.errors import ConfigError, Interrupted, PluginError, UnknownNameError, UsageError
from zoo_core.hardware.precision import DTYPES, PRECISION_HINT, auto_precision, warn_if_emulated
from zoo_core.hub.fetch import fetch
from zoo_core.recipes import Recipe, with_precision
from zoo_core.registry import Claim, registry, resolve
from zoo_core.registry.faults import HINT
from zoo_core.specs import DatasetSpec, ModelSpec, RecipeSpec

if TYPE_CHECKING:
    from zoo_core.training.fit import Report

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
@click.argument("family")
@click.option("--recipe", "recipe_name", metavar="[DIST:]NAME|FILE", help="A preset of the family (default: its first), or a file.")
@click.option("--data", metavar="[DIST:]NAME[:PATH]", help="The data set, such as folder:PATH, mnist or moons.")
@click.option("--data-root", metavar="DIR", help="Where the files of mnist, cifar10, ... are (data.root). Default: $ZOO_DATA.")
@click.option("--steps", type=int, help="Training steps (fit.steps).")
@click.option("--batch-size", type=int, help="Rows of a batch (fit.batch_size).")
@click.option("--lr", type=float, help="Learning rate of every phase (fit.optimizer.lr).")
@click.option("--seed", type=int, help="Seed of everything random (fit.seed).")
@click.option("--keep", type=int, help="How many checkpoints stay (fit.keep).")
@click.option("--compile", "compile_", is_flag=True, default=None, help="Compile the nets that the family allows it for (fit.compile).")
@click.option(
    "--from",
    "start_from",
    type=REFERENCE,
    metavar="REF",
    help="Begin with the weights of a checkpoint, and its model unless --recipe is given.",
)
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="Changes one value of the recipe; may be repeated.")
@click.option("--out", type=click.Path(path_type=Path), help="The run folder. Default: runs/FAMILY-RECIPE.")
@click.option("--resume/--no-resume", default=True, help="Go on with a run that the folder holds, or refuse to.")
@click.option("--fork", is_flag=True, help="Go on with the run in the folder under a changed recipe or on other data; its record tells.")
@click.option("--device", help="cpu, cuda, mps. Default: the first accelerator, or the CPU.")
@click.option("--tracker", type=click.Choice(["tensorboard", "wandb", "trackio"]), help="Also send the metrics there.")
@click.option("--eval-every", type=click.IntRange(1), metavar="N", help="Measure samples every N steps; the numbers go with the losses.")
@click.option("--metrics", default="fd", show_default=True, metavar="NAME,...", help="What --eval-every measures.")
@click.option("--eval-n", type=click.IntRange(2), default=1000, show_default=True, metavar="N", help="Samples to measure.")
@click.option("--features", metavar="NAME", help="The feature space, as `zoo evaluate` has it.  [default: by the data]")
@click.option("--dry-run", is_flag=True, help="Print the with_precision recipe, what a step costs and whether the data fits, and stop.")
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

    A folder that holds a run is gone on with from its newest checkpoint; Ctrl-C saves one before it stops. The result is a checkpoint
    folder, OUT/export: `zoo sample local:OUT` uses it.

    Under torchrun or accelerate launch, the processes share each batch: the batch size is that of all of them together.
    """
    if given["start_from"] and not recipe_name:
        given["model"] = _model_of(given["start_from"], family)
    recipe_name = recipe_name or _first_preset(family)
    recipe = _recipe(family, recipe_name, data, data_root, given)
    if dry_run:
        recipe = _for_machine(recipe, device)
        click.echo(dump_json(recipe.to_dict()), nl=False)
        _tell_cost(recipe)
        _tell_data(recipe)
        return
    out = out or Path("runs") / f"{_bare(family)}-{_bare(Path(recipe_name).stem)}"
    names = tuple(name.strip() for name in metrics.split(",") if name.strip()) if eval_every else ()
    watched = {"every": eval_every, "metrics": names, "n": eval_n, "features": features} if eval_every else None
    try:
        _fit(recipe, out, watched, resume=resume, fork=fork, device=device, tracker=tracker)
    except KeyboardInterrupt:
        raise _stopped(out) from None


def _fit(recipe: Recipe, out: Path, watched: dict[str, Any] | None, **options: Any) -> None:
    """Trains, with progress on stderr from the first moment on: the imports alone take seconds."""
    _say_once(inert(f"training {encode(recipe.model)['name']} in {out}"))
    with Progress("train", recipe.fit.steps, "steps") as progress, warnings.catch_warnings():
        progress.status("loading PyTorch, the model and the data")
        from zoo_core.distributed import Processes
        from zoo_core.training.fit import fit
        from zoo_core.training.monitor import Watching

        warnings.showwarning = lambda message, *_: _say_once(f"zoo: warning: {message}", progress.say)
        folder = fit(
            recipe,
            out,
            watching=Watching(**watched) if watched else None,
            command=f"zoo {shlex.join(sys.argv[1:])}",
            on_report=_Reports(progress, watched["metrics"] if watched else ()),
            on_message=lambda text: _say_once(text, progress.say),
            stopping=_signals,
            **options,
        )
    verb = "sample" if recipe.sampler else "show"
    Processes.leave()
    _say_once(f"trained; the checkpoint is {folder} (zoo {verb} local:{out})")


def _for_machine(recipe: Recipe, device: str | None) -> Recipe:
    """The recipe with the precision that a new run would have here; warns of one that is slow."""
    from zoo_core.hardware.devices import device_of

    place = device_of(device)
    warn_if_emulated(DTYPES.get(recipe.fit.precision, "float32"), place, PRECISION_HINT)
    return with_precision(recipe, auto_precision(place))


def _tell_cost(recipe: Recipe) -> None:
    from zoo_core.training.cost import estimate

    cost = estimate(recipe)
    phases = ", ".join(f"{name} {count:,}" for name, count in cost.trained.items())
    click.echo(f"parameters   {cost.published:,} published; trained by phase: {phases}", err=True)
    click.echo(f"a step       {cost.flops / 1e9:,.1f} GFLOP, forward and backward", err=True)
    click.echo(
        f"memory       {cost.weights / 1e6:,.0f} MB of weights and optimizer, {cost.activations / 1e6:,.0f} MB of activations", err=True
    )


def _tell_data(recipe: Recipe) -> None:
    """Prints how often the steps go through the data; raises ConfigError if it cannot be used: a run would not begin."""
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
    fit, classes = recipe.fit, f", {len(data.classes)} classes" if len(data.classes) > 1 else ""
    epochs = fit.steps * fit.batch_size / len(data)
    shape = " x ".join(map(str, data.event.shape))
    click.echo(f"data         {len(data):,} samples of {shape}{classes}; {fit.steps:,} steps are {epochs:,.3g} epochs", err=True)


def _model_of(reference: str, family: str) -> dict[str, Any]:
    """The model of a checkpoint, as a recipe has it."""
    model: dict[str, Any] = encode(read_config(fetch(reference)).model)
    if not _is_of(model["name"], family):
        raise UsageError(
            f"{reference} is a checkpoint of {model['name']}, not of {family}", f"zoo train {model['name']} --from {reference}"
        )
    return model


def _bare(name: str) -> str:
    return name.rpartition(":")[2]


def _is_of(name: object, family: str) -> bool:
    """Whether a config's name is that of FAMILY, either of them with its distribution or without; a bare one may be claimed by several."""
    claim = registry().claim(ModelSpec, family)
    return name in (claim.spec.key, claim.name)


def _first_preset(family: str) -> str:
    """The first recipe in the order of the plugin that has the family; of another plugin's where it has none."""
    claim = registry().claim(ModelSpec, family)
    others = [other.spec for claims in registry().claims(RecipeSpec).values() for other in claims]
    presets = [spec.name for spec in (*claim.plugin.specs, *others) if isinstance(spec, RecipeSpec) and spec.family == claim.spec.name]
    if not presets:
        raise UsageError(f"{family} has no preset", "pass --recipe FILE.json")
    return presets[0]


def _recipe(family: str, name: str, data: str | None, data_root: str | None, given: dict[str, Any]) -> Recipe:
    own = registry().claim(ModelSpec, family)
    plain = _preset(own, name)
    made_for = plain.get("model", {}).get("name") if isinstance(plain.get("model"), dict) else None
    if made_for is None:
        raise ConfigError(f"{name} is no recipe: it names no model", "a run's recipe.json is one, and so is an export's training.json")
    if not _is_of(made_for, family):
        raise UsageError(f"{name} is a recipe of {made_for}, not of {family}", f"zoo train {made_for} --recipe {name}")
    short = {"lr": "fit.optimizer.lr", "compile_": "fit.compile", "start_from": "start_from"}
    short |= {name: f"fit.{name}" for name in ("steps", "batch_size", "seed", "keep")}
    overrides = [f"{key}={json.dumps(given[option])}" for option, key in short.items() if given[option] is not None]
    if given["lr"] is not None:
        overrides += [f"fit.optimizers.{phase}.lr={given['lr']}" for phase in plain["fit"].get("optimizers", {})]
    if "model" in given:
        plain["model"] = given["model"]
    if data is not None:
        plain["data"] = _data(data, plain.get("data"))
    if data_root is not None:
        plain["data"] = _rooted(plain.get("data"), data_root)
    _check_parts(plain, given["options"])
    return Recipe.from_dict(apply_overrides(plain, [*overrides, *given["options"]]), prefer=own.plugin.dist)


def _check_parts(recipe: Mapping[str, Any], options: Sequence[str]) -> None:
    """Refuses an option that names no part of a recipe, where a part has a value of that name."""
    for text in options:
        key, equals, value = text.partition("=")
        key = key.strip()
        parts = [name for name, part in recipe.items() if isinstance(part, dict) and key in part]
        if equals and parts and key not in recipe:
            places = " or ".join(f"-o {name}.{key}={value}" for name in parts)
            raise UsageError(f"-o {text[:60]}: a recipe has parts, and no {key} of its own", f"did you mean {places}?")


def _preset(family: Claim, name: str) -> dict[str, Any]:
    if name.endswith(".json") or "/" in name:
        plain = load_json(Path(name))
        # training.json is a recipe and the record of a run by it.
        recorded = plain.get("recipe")
        return recorded if isinstance(recorded, dict) else plain
    dist, colon, bare = name.rpartition(":")
    claim = registry().claim(RecipeSpec, f"{dist}{colon}{family.spec.key}/{bare}", prefer=family.plugin.dist)
    target = cast(RecipeSpec, claim.spec).target
    recipe = resolve(target)
    if not isinstance(recipe, Recipe):
        raise PluginError(f"in {claim.plugin.dist}: {target} is no Recipe", HINT)
    return recipe.to_dict()


def _data(text: str, preset: object) -> dict[str, Any]:
    name, path = data_name(text)
    place = _place(name)
    if path and not place:
        raise UsageError(f"{name} is made, not read: it takes no path", f"--data {name}")
    # The preset's other choices (size, flips) hold for the user's own folder too; its class names do not.
    dropped = ("path", "classes") if place == "path" else ()
    kept: dict[str, Any] = {"name": name}
    if isinstance(preset, dict) and preset.get("name") == name:
        kept = {key: value for key, value in preset.items() if key not in dropped}
    return {**kept, place: path} if path else kept


def _place(name: str) -> str:
    """The field that says where a data set is: ``path`` (the user's own files), ``root`` (a well-known set), or none."""
    try:
        config = resolve(registry().spec(DatasetSpec, name).config)
    except UnknownNameError as error:
        raise ConfigError(error.what, error.hint) from error
    return next((key for key in ("path", "root") if key in {item.name for item in fields(config)}), "")


def _rooted(data: object, root: str) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise UsageError("--data-root: the recipe names no data", "add --data NAME")
    if _place(name := str(data.get("name"))) != "root":
        raise UsageError(f"--data-root: {name} has no root", "leave it out, or choose another --data")
    return {**data, "root": root}


@contextmanager
def _signals() -> Iterator[Callable[[], int]]:
    """While inside, SIGINT, SIGTERM and SIGHUP are remembered for the loop to stop after its step; a second SIGINT stops at once."""
    seen: list[int] = []

    def remember(signum: int, frame: object) -> None:
        if seen and signum == signal.SIGINT:
            raise KeyboardInterrupt
        seen.append(signum)
        if sys.stderr.isatty():
            _say_once("")  # so that the message is below the bar and the terminal's own ^C
        _say_once("zoo: saving a checkpoint before stopping")

    before = {signum: signal.signal(signum, remember) for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: seen[0] if seen else 0
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)


def _say_once(text: str, write: Callable[[str], None] = say) -> None:
    """A message, from the first of the processes that a launcher started; a terminal that is gone is not worth the run."""
    if os.environ.get("RANK", "0") == "0":
        with suppress(OSError):
            write(text)


class _Reports:
    """Shows the reports of a run; a metric that is watched stays until it is measured again."""

    def __init__(self, progress: Progress, watched: Sequence[str] = ()) -> None:
        self.progress, self.names, self.watched = progress, watched, dict[str, float]()

    def __call__(self, report: "Report") -> None:
        self.watched |= {name: report.logs[name] for name in self.names if name in report.logs}
        losses = {name.removeprefix("loss."): value for name, value in report.logs.items() if name.startswith("loss.")}
        named = [f"loss {value:.4g}" if len(losses) == 1 else f"loss of {name} {value:.4g}" for name, value in losses.items()]
        named += [f"{name} {value:.4g}" for name, value in self.watched.items()]
        whose = {"cpu": "process", "cuda": "GPU"}.get(report.device, report.device)
        memory = f"{whose} memory {human_size(report.memory)}"
        precision = "float32" if report.precision == "no" else report.precision
        speed, left = f"{rate(report.speed)} samples/s in {precision}", f"{duration(report.seconds_left)} left"
        self.progress.total = report.steps
        self.progress.show(report.step, [*named, left, speed, memory], now=report.step in (1, report.steps))


def _newest_step(out: Path) -> int:
    """The number of the newest checkpoint of a run, damaged or not; 0 for none."""
    names = [path.name.removeprefix("step-") for path in (out / "steps").glob("step-*")]
    return max((int(name) for name in names if name.isdecimal()), default=0)


def _stopped(out: Path) -> Interrupted:
    """The end of a run by Ctrl-C outside of its steps, or by a second one."""
    if step := _newest_step(out):
        return Interrupted(
            f"stopped; the newest checkpoint in {out} is that of step {step:,}", "the same command goes on from there", signum=signal.SIGINT
        )
    return Interrupted("stopped before anything was saved", "the same command starts again", signum=signal.SIGINT)
