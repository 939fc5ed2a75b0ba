"""``python -m benchmarks.seconds [REFERENCE...]``: seconds an image and fd of every measured way to draw, as a Markdown table.

The distances are those of the checkpoints' own records, at the largest number of samples that each has; the seconds are measured here, in
turn, at batch 16. Where ``pip install 'zoo-core[bench]'`` was run, two more rows walk the net of the first checkpoint by schedulers of
diffusers, on the levels of its own sampler. Their images are compared with ours from the same noise: the same images have the same fd.
"""

import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

import zoo_core
from benchmarks.timing import clock, machine
from zoo_core.cards.metrics_json import METRICS, metric_records
from zoo_core.config import load_json
from zoo_core.pretrained import Pretrained
from zoo_core.rng import ImageRng
from zoo_core.samplers.factory import as_sampler

REFERENCES = ("ddpm-afhq-cat", "ddpm-afhq-cat-distilled")
IMAGES = 16
ROUNDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Way:
    """A way to draw: its names, its number of passes, its fd with the number of samples, and a call that draws IMAGES images."""

    reference: str
    sampler: str
    passes: int
    fd: str
    draw: Callable[[], object]


def measured(reference: str) -> Iterator[Way]:
    """The ways of a checkpoint's records of ``fd`` with the most samples."""
    model = zoo_core.load(reference)
    records = [record for record in metric_records(load_json(model.files.folder / METRICS)) if record["metric"] == "fd"]
    most = max(record["n"]["drawn"] for record in records)
    for record in records:
        if record["n"]["drawn"] == most and "guidance" not in record:
            sampler, scheduler = record["sampler"], record.get("scheduler")
            levels = "" if scheduler is None else f" on {scheduler['name']}"
            largest = f" from {scheduler['sigma_max']:g}" if scheduler and scheduler.get("sigma_max") else ""
            eta = f", eta={sampler['eta']:g}" if sampler.get("eta") == 0 else ""
            yield Way(
                reference=reference,
                sampler=f"{sampler['name']}{eta}{levels}{largest}",
                passes=record["nfe"],
                fd=f"{record['value']:.3f} ± {record['stderr']:.3f} (n = {most:,})",
                draw=partial(model.sample, IMAGES, sampler=sampler, scheduler=scheduler),
            )


def of_diffusers(reference: str) -> Iterator[Way]:
    """The checkpoint's net by the fastest schedulers of diffusers, with the levels of the checkpoint's own sampler."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            import diffusers
        except ModuleNotFoundError:
            return
    model = zoo_core.load(reference)
    sampler = as_sampler(model.sampler)
    sigmas = sampler.noise_levels(model.model, model.scheduler_of(sampler))
    options: Mapping[str, Any] = {"prediction_type": "sample", "final_sigmas_type": "zero"}
    schedulers: dict[str, Callable[[], Any]] = {
        "DPMSolverMultistepScheduler": partial(diffusers.DPMSolverMultistepScheduler, algorithm_type="dpmsolver++", **options),
        "UniPCMultistepScheduler": partial(diffusers.UniPCMultistepScheduler, **options),
    }
    ours = model.sample(IMAGES, sampler={**_plain(model), "clip": False})
    for name, scheduler in schedulers.items():
        draw = partial(_walk, model, scheduler, sigmas)
        apart = float((draw().clamp(-1, 1) - ours.clamp(-1, 1)).abs().max())
        yield Way(
            reference=f"{reference} in diffusers {diffusers.__version__}",
            sampler=name,
            passes=len(sigmas) - 1,
            fd=f"images at most {apart:.1g} from ours without clip",
            draw=draw,
        )


def _plain(model: Pretrained) -> dict[str, Any]:
    return {"name": "dpmpp-2m", "steps": as_sampler(model.sampler).steps}


@torch.inference_mode()
def _walk(model: Pretrained, make: Callable[[], Any], sigmas: tuple[float, ...]) -> Tensor:
    """Samples by a scheduler of diffusers, which walks in x_t = x_sigma / sqrt(1 + sigma^2) and takes estimates of x_0."""
    net: Any = model.model
    scheduler = make()
    scheduler.set_timesteps(len(sigmas) - 1)
    scheduler.sigmas = torch.tensor(sigmas, dtype=torch.float32)
    scheduler.timesteps = torch.arange(len(sigmas) - 1, 0, -1)
    x = net.start(ImageRng(0, range(IMAGES)), sigmas[0])
    x_t = x / (1 + sigmas[0] ** 2) ** 0.5
    for t, sigma in zip(scheduler.timesteps, sigmas, strict=False):
        x0 = net.denoise(x_t * (1 + sigma**2) ** 0.5, sigma)
        x_t = scheduler.step(x0, t, x_t).prev_sample
    return x_t


def seconds(ways: list[Way]) -> list[float]:
    """Seconds an image of each way: the least of the rounds, which measure all ways in turn."""
    best = [float("inf")] * len(ways)
    for _ in range(ROUNDS):
        for place, way in enumerate(ways):
            begun = clock()
            way.draw()
            best[place] = min(best[place], (clock() - begun) / IMAGES)
    return best


def main(references: list[str]) -> None:
    chosen = references or list(REFERENCES)
    ways = [way for reference in chosen for way in measured(reference)] + list(of_diffusers(chosen[0]))
    rows = sorted(zip(seconds(ways), ways, strict=True), key=lambda row: row[0])
    print(f"{machine()}; batch {IMAGES}\n")
    print("| checkpoint | sampler | passes | seconds an image | fd |\n|---|---|---:|---:|---|")
    for took, way in rows:
        print(f"| `{way.reference}` | `{way.sampler}` | {way.passes} | {took:.2g} | {way.fd} |")


if __name__ == "__main__":
    main(sys.argv[1:])
