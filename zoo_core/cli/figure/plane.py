"""Figures of models of points in the plane: scores and densities."""

import json
from collections.abc import Sequence
from pathlib import Path

from zoo_core import __version__
from zoo_core.cli.console import inert, say
from zoo_core.cli.figure.common import POINTS, opened, percents_of, record_of, sampler_of
from zoo_core.cli.options import data_option
from zoo_core.config import encode
from zoo_core.hub import WEIGHTS

__all__ = ["draw_density", "draw_score_field"]


def draw_score_field(
    target: str, out: Path | None, *, at: str | None, n: int, seed: int, sampler: str | None = None, options: Sequence[str] = ()
) -> None:
    """The score of a model of points in the plane at noise levels ``at``, and ``n`` paths of annealed Langevin dynamics over it."""
    percents = percents_of(at) if at else [0.0]
    model, path = opened(target, out, "score-field")
    from zoo_core import figures
    from zoo_core.figures.scores import score_fields
    from zoo_core.files import write_file

    levels = figures.trained_levels(figures.denoiser(model, images=False, points=True))
    chosen = figures.annealed(model, sampler_of(model, sampler, options, "langevin"))
    points = model.sample(POINTS, seed=seed, sampler=chosen, batch_size=POINTS)
    # Percentage 0 is the clean data, whose score nobody knows: there, the smallest level.
    sigmas = [max(figures.level_at(levels, percent)[1], levels[0]) for percent in percents]
    fields = [figures.score_field(model, sigma, points) for sigma in sigmas]
    paths = figures.paths(model, n, fields[0], seed=seed, sampler=chosen)
    facts = {"seed": str(seed), "sampler": json.dumps(encode(chosen)), "sigma": ",".join(f"{sigma:g}" for sigma in sigmas)}
    write_file(path, score_fields(fields, paths, record_of(model, facts), title=model.name))
    found = ", ".join(f"{sigma:.3g}" for sigma in sigmas)
    say(inert(f"{path}: the score at sigma {found}; where Langevin dynamics takes {n} samples, from circle to star"))


def draw_density(target: str, out: Path | None, *, data: str | None, data_root: str | None) -> None:
    """The learned density of points in the plane, under points of the data."""
    model, path = opened(target, out, "density")
    import torch

    from zoo_core import figures
    from zoo_core.cli.progress import Images
    from zoo_core.evaluation.evaluate import data_of, some_of
    from zoo_core.evaluation.real import Real
    from zoo_core.figures.densities import plot_density
    from zoo_core.files import write_file

    figures.check_density(model)
    real = Real(data_option(target, data, data_root, ()) or data_of(model.files), model.event.shape).data
    points = real.rows(some_of(len(real), min(len(real), POINTS)))  # the first of them need not be like the others
    with Images() as on_batch:
        found = figures.density(model, real.rows(torch.arange(len(real))), on_batch=on_batch)
    facts = {"Software": f"zoo-core {__version__}", "reference": str(model.files.reference), "data": f"sha256:{real.digest}"}
    facts |= {"weights": f"sha256:{model.files.digest(WEIGHTS)}", "caption": found.caption}
    write_file(path, plot_density(found, points, facts, title=model.name))
    say(inert(f"{path}: {found.caption}; the part that is shown has a mass of {found.mass:.3f}"))
