"""``python -m benchmarks peers``: ddpm's course recipe against common implementations of a net of its size, in one run.

The peers are ``denoising-diffusion-pytorch`` (lucidrains) and ``diffusers``, which ``pip install 'zoo-core[bench]'`` installs. They train
and sample as in their own examples, in float32, with random weights, which take as long as trained ones; in one row lucidrains runs in
bfloat16 where it is native. Our training step is the whole step of the loop, with data, noise and moving average; theirs is loss, backward
and Adam.

The last rows compare images of equal quality: the metrics of ddpm-afhq-cat name the sampler that reaches the fd of 50 ancestral steps in
the fewest passes, and its time here is compared with 50 steps of the peer.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from functools import partial
from io import StringIO
from typing import Any

import torch

import zoo_core
from benchmarks.timing import Ratio, clock, compare
from zoo_core.cards.metrics_json import METRICS, metric_records, subrecord
from zoo_core.config import load_json
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.errors import UsageError
from zoo_core.hardware.precision import is_native
from zoo_core.training.loop import Loop, build
from zoo_ddpm.recipes import COURSE

NAME = "ddpm-afhq-cat"
IMAGES = 16
STEPS = 50
ROUNDS = 3
BATCH = COURSE.fit.batch_size
SIDE = 32


def measure() -> Iterator[Ratio]:
    """Training steps, 50 ancestral steps, and the fewest steps of a solver with the same fd."""
    native = is_native("bfloat16")
    budgets = {"lucidrains": 0.25 if native else 0.35, "diffusers": 1.0}
    peers = {"lucidrains": _lucidrains(), "diffusers": _diffusers()}
    ours = _training()
    cats = zoo_core.load(NAME, dtype="auto")
    for name, (model, step, _) in peers.items():
        print(f"{name}: {_size(model):,} parameters; ours: {_size(cats.model):,}")
        yield compare(f"training step, batch {BATCH}", ours, f"{name}, float32", step, budget=budgets[name], rounds=ROUNDS, now=clock)
    if native:
        theirs = _narrow(peers["lucidrains"][1])
        yield compare(f"training step, batch {BATCH}", ours, "lucidrains, bfloat16", theirs, budget=1.0, rounds=ROUNDS, now=clock)
    ancestral = partial(cats.sample, IMAGES, sampler={"name": "ancestral", "steps": STEPS})
    record, baseline = _cheapest()
    solver = partial(cats.sample, IMAGES, sampler=record["sampler"], scheduler=subrecord(record, "scheduler") or None)
    few = f"{record['nfe']} passes of {record['sampler']['name']}"
    for name, (_, _, sample) in peers.items():
        floor_name = f"{name}, {STEPS} ancestral steps"
        yield compare(f"{STEPS} ancestral steps, {IMAGES} images", ancestral, floor_name, sample, budget=0.5, rounds=ROUNDS, now=clock)
        fast = compare(f"{few}, {IMAGES} images", solver, floor_name, sample, budget=0.1, rounds=ROUNDS, now=clock)
        yield fast
        print(
            f"to the fd of {STEPS} ancestral steps ({baseline['value']:.2f}; {few}: {record['value']:.2f}): "
            f"{fast.seconds / IMAGES:.4f} s an image, {name} {fast.floor / IMAGES:.4f} s"
        )


def _cheapest() -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Two fd records of the checkpoint: that with the fewest passes that is no worse than 50 ancestral steps, and that of those steps."""
    files = zoo_core.load(NAME).files
    records = [record for record in metric_records(load_json(files.folder / METRICS)) if record["metric"] == "fd"]
    baseline = next(record for record in records if record["sampler"]["name"] == "ancestral" and record["nfe"] == STEPS)
    as_good = [record for record in records if record["value"] <= baseline["value"]]
    return min(as_good, key=lambda record: (record["nfe"], record["value"])), baseline


@contextmanager
def _installed() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise UsageError(f"{error.name} is not installed", "pip install 'zoo-core[bench]'") from error


def _size(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _training() -> Callable[[], None]:
    images = torch.randint(256, (1024, 3, SIDE, SIDE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    loop = Loop(COURSE, build(COURSE), Data(x=images, flip=True), Processes("cpu"))
    loop.start()
    return loop.advance


def _narrow(step: Callable[[], None]) -> Callable[[], None]:
    def narrow() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            step()

    return narrow


def _lucidrains() -> tuple[torch.nn.Module, Callable[[], None], Callable[[], object]]:
    """The model, a training step and 50 steps of sampling, as in its README."""
    with _installed():
        from denoising_diffusion_pytorch import GaussianDiffusion, Unet
    model = Unet(dim=16, dim_mults=(1, 2, 4, 8))
    diffusion = GaussianDiffusion(model, image_size=SIDE, timesteps=STEPS, objective="pred_v", beta_schedule="cosine")
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    x = torch.rand(BATCH, 3, SIDE, SIDE)

    def step() -> None:
        loss = diffusion(x)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    def sample() -> object:
        with redirect_stderr(StringIO()):  # its progress bars
            return diffusion.sample(batch_size=IMAGES)

    return model, step, sample


def _diffusers() -> tuple[torch.nn.Module, Callable[[], None], Callable[[], object]]:
    """The model, a training step and 50 steps of sampling, as in its tutorial of unconditional generation."""
    with _installed():
        from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel
    widths = (16, 32, 64, 128)
    down = ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D")
    up = ("UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D")
    model: Any = UNet2DModel(
        sample_size=SIDE,
        in_channels=3,
        out_channels=3,
        layers_per_block=1,
        block_out_channels=widths,
        down_block_types=down,
        up_block_types=up,
        norm_num_groups=4,
    )
    scheduler: Any = DDPMScheduler(num_train_timesteps=STEPS, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    x = torch.rand(BATCH, 3, SIDE, SIDE)

    def step() -> None:
        noise = torch.randn_like(x)
        t = torch.randint(0, STEPS, (BATCH,))
        out = model(scheduler.add_noise(x, noise, t), t, return_dict=False)[0]
        torch.nn.functional.mse_loss(out, noise).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    pipeline: Any = DDPMPipeline(unet=model, scheduler=scheduler)
    pipeline.set_progress_bar_config(disable=True)
    return model, step, partial(pipeline, batch_size=IMAGES, num_inference_steps=STEPS, output_type="np")
