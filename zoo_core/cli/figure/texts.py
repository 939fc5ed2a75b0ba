"""The figure of texts: hidden places that are shown step by step."""

from collections.abc import Sequence

from zoo_core.cli.figure.common import Page, opened, plain, sampler_of, with_steps
from zoo_core.figures.origin import origin_of

__all__ = ["draw_unmasking"]


def draw_unmasking(
    target: str, page: Page, *, n: int, seed: int, points: int, steps: int | None, sampler: str | None, options: Sequence[str]
) -> None:
    """``n`` texts at ``points`` stages of the sampler, from all places hidden to none."""
    model, page = opened(target, page, "unmasking")
    page.of_pixels()
    from zoo_core.atomic import write_file
    from zoo_core.figures.canvas import picture
    from zoo_core.figures.page import text_page
    from zoo_core.figures.unmasking import unmasking
    from zoo_core.images import png

    model.require("unmask", "be drawn while places are shown")
    chosen = sampler_of(model, sampler, with_steps(steps, options)) or model.sampler
    stages = unmasking(model, n, stages=points, seed=seed, sampler=chosen)
    line = plain(model, chosen, seed=seed)
    names = [f"{stage.hidden:.0%}" for stage in stages]
    texts = [stage.texts[i] for i in range(n) for stage in stages]
    pixels = text_page(texts, title=page.titled(line), names=names * n)
    facts = {"title": page.titled(line), **origin_of(model, seed=seed, sampler=chosen)}
    if page.path.suffix.lower() == ".png":
        write_file(page.path, png(pixels, facts))
    else:
        page.plot(picture(pixels.permute(1, 2, 0).numpy()), facts, line)
    page.say(f"{n} text{'s' if n > 1 else ''} at {len(stages)} stages, with the share of hidden places")
