"""Figures of plugins."""

from collections.abc import Container
from typing import cast

from zoo_core.capabilities import capability_error
from zoo_core.cli.figure.common import Page, opened
from zoo_core.figures.titles import title_line
from zoo_core.registry import registry, resolve
from zoo_core.registry.faults import expect
from zoo_core.specs import FigureSpec

__all__ = ["draw_plugin_figure", "plugin_figures"]


def plugin_figures(own: Container[str]) -> dict[str, FigureSpec]:
    """The figures of plugins, by the name that draws them: with its distribution, if another plugin or zoo-core has that name too.

    Args:
        own: names of zoo-core's figures.
    """
    return {
        claim.name if len(claims) > 1 or name in own else name: cast(FigureSpec, claim.spec)
        for name, claims in registry().claims(FigureSpec).items()
        for claim in claims
    }


def draw_plugin_figure(kind: str, target: str, page: Page, *, n: int | None, seed: int) -> None:
    """Draws the figure ``kind`` of a plugin, by its name or ``DIST:NAME``.

    Raises:
        CapabilityError: if the checkpoint has none of the capabilities that it requires.
        PluginError: if the plugin returns something else than a figure of matplotlib.
    """
    from zoo_core.figures.canvas import figure_class, to_title
    from zoo_core.figures.origin import origin_of

    spec = registry().spec(FigureSpec, kind)
    number = n or spec.n
    model, page = opened(target, page, spec.name)
    required = spec.requires.split()
    if required and not model.capabilities.intersection(required):
        raise capability_error(f"the figure {kind} needs a model that can {' or '.join(required)}, and {model.name} cannot", spec.requires)
    figure_type = figure_class()
    draw = resolve(spec.target)
    figure = expect(draw, draw(model, n=number, seed=seed), figure_type)
    line = title_line(model.name, spec.name, f"seed {seed}")
    if page.title is not None or not figure.get_suptitle():
        to_title(figure, page.titled(line))
    page.plot(figure, origin_of(model, figure=kind, n=number, seed=seed), line)
    page.say(f"{spec.summary or spec.name}; n = {number}")
