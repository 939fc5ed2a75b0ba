"""``zoo levels``."""

import json
from typing import Any

import click

from zoo_core.cli.console import echo_json, inert, say
from zoo_core.cli.options import REFERENCE, option
from zoo_core.cli.progress import loading
from zoo_core.config import apply_overrides, encode
from zoo_core.samplers.factory import as_sampler

__all__ = ["levels"]


@click.command()
@click.argument("reference", type=REFERENCE)
@option("sampler", default="dpmpp-2m", show_default=True, help="A sampler that adds no noise; see `zoo list samplers`.")
@option("steps", default=8, show_default=True, type=click.IntRange(2, 1000))
@option("options")
@option("n", type=click.IntRange(1, 4096), default=16, show_default=True, help="Images of the search; of points take 200.")
@option("seed")
@click.option("--sigma-max", type=float, default=80.0, show_default=True, help="First level, or the model's largest if that is less.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=6, show_default=True, help="Rounds of the search.")
@option("device")
@click.option("--json", "as_json", is_flag=True, help="Print the levels and errors as JSON.")
def levels(reference: str, options: tuple[str, ...], as_json: bool, **given: Any) -> None:
    """Find noise levels at which few steps of a sampler come nearest to many, for the checkpoint REFERENCE.

    The search begins with the levels of karras. An error is the root mean square, over the values of a sample, of its distance to 48 steps
    of Heun's method from the same noise; the means over samples are printed, of images that the search did not see. A small error is no
    small Frechet distance: compare both with `zoo evaluate`.

    \b
    Examples:
      zoo levels ddpm-afhq-cat --steps 6
      zoo levels ncsn-mnist --sampler unipc --steps 8 --sigma-max 20
    """
    sampler = as_sampler(apply_overrides({"name": given["sampler"], "steps": given["steps"]}, options))
    with loading("levels"):
        from zoo_core.evaluation.optimal_levels import optimise_levels
        from zoo_core.loading import load

        model = load(reference, device=given["device"])
    found = optimise_levels(
        model,
        sampler,
        n=given["n"],
        seed=given["seed"],
        sigma_max=given["sigma_max"],
        rounds=given["rounds"],
        on_round=lambda done, error: say(f"zoo: {done}/{given['rounds']} rounds  error {error:.4f} on the images of the search"),
    )
    if found.after >= found.before:
        say(f"zoo: warning: on images that the search did not see, these levels are no better than those of karras: raise -n {given['n']}")
    scheduler = encode(found.scheduler)
    if as_json:
        echo_json({"scheduler": scheduler, "error": {"karras": found.before, "levels": found.after, "seen": found.seen}})
        return
    click.echo(
        f"error {found.before:.4f} on karras, {found.after:.4f} on the levels found, of {given['n']} images that the search did not see"
    )
    chosen = " ".join(f"-o {inert(text)}" for text in options)
    words = ["zoo sample", inert(reference), "-n 16 --sampler", given["sampler"], "--steps", str(given["steps"]), chosen]
    shown = json.dumps(scheduler["levels"], separators=(",", ":"))
    click.echo(f"{' '.join(filter(None, words))} --scheduler levels -o scheduler.levels={shown} --out samples.png")
