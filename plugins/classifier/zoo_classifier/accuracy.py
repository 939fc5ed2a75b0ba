"""``python -m zoo_classifier.accuracy classifier-mnist --data mnist --data-root DIR -o split=test``: how often a classifier is right."""

import json
import math
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from zoo_core.config import apply_overrides, decode
from zoo_core.errors import ConfigError, ZooError
from zoo_core.interfaces import DatasetConfig

if TYPE_CHECKING:
    from zoo_core.training.data import Data

__all__ = ["Accuracy", "accuracy", "main"]

_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Accuracy:
    """The share ``value`` of ``n`` images whose most probable class is their label; ``stderr`` is sqrt(value (1 - value) / n)."""

    value: float
    stderr: float
    n: int


def accuracy(reference: str, data: "Data") -> Accuracy:
    """How often the checkpoint ``reference``, which can ``classify``, is right about the images of ``data``.

    Raises:
        CapabilityError: it cannot classify.
        ConfigError: the data has no labels, or more classes than the checkpoint.
        ZooError: as :func:`zoo_core.load` does.
    """
    import torch

    import zoo_core

    judge = zoo_core.load(reference)
    labels = data.labels
    if labels is None:
        raise ConfigError("the data has no labels", "name images in class folders, or a set that has labels")
    places = [torch.arange(first, min(first + _AT_ONCE, len(data))) for first in range(0, len(data), _AT_ONCE)]
    classes = torch.cat([judge.classify(data.rows(place)) for place in places])
    if labels.max() >= classes.shape[1]:
        raise ConfigError(f"the data has {int(labels.max()) + 1} classes, and {judge.name} tells {classes.shape[1]} apart")
    value = (classes.argmax(dim=1) == labels).double().mean().item()
    return Accuracy(value=value, stderr=math.sqrt(value * (1 - value) / len(data)), n=len(data))


@click.command()
@click.argument("reference")
@click.option("--data", "text", required=True, metavar="NAME[:PATH]", help="The data set, such as mnist or folder:PATH.")
@click.option("--data-root", metavar="DIR", help="Where the files of mnist, cifar10, ... are. Default: $ZOO_DATA.")
@click.option("-o", "--option", "options", multiple=True, metavar="KEY=VALUE", help="An option of the data set, such as split=test.")
@click.option("--json", "as_json", is_flag=True, help="Print a metrics.json.")
def _command(reference: str, text: str, data_root: str | None, options: Sequence[str], as_json: bool) -> None:
    """How often the classifier REFERENCE is right about a data set."""
    name, _, path = text.partition(":")
    plain = {"name": name, **({"path": path} if path else {}), **({"root": data_root} if data_root else {})}
    config = decode(DatasetConfig, apply_overrides(plain, list(options)), "data")
    from zoo_core.training.data import load_data

    data = load_data(config)
    found, split = accuracy(reference, data), getattr(config, "split", "")
    if as_json:
        entry = {"metric": "accuracy", "value": found.value, "stderr": found.stderr, "n": found.n, "dataset": name, "split": split}
        entry |= {"digest": data.digest, "command": _told(reference, text, options)}
        click.echo(json.dumps({"metrics": [entry]}, indent=2))
    else:
        click.echo(f"accuracy {found.value:.4f} +- {found.stderr:.4f} (standard error) of {found.n:,} images, {name} {split}".rstrip(", "))


def _told(reference: str, text: str, options: Sequence[str]) -> str:
    """The command without the root, which is another everywhere: ``$ZOO_DATA`` stands for it."""
    more = [word for option in options for word in ("-o", option)]
    return shlex.join(["python", "-m", "zoo_classifier.accuracy", reference, "--data", text, *more])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit code."""
    from zoo_core.cli.console import error_line

    try:
        _command.main(argv, standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except ZooError as error:
        click.echo(error_line(error.what, error.hint), err=True)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
