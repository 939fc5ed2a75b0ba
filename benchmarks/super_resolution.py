"""``python -m benchmarks.super_resolution REFERENCE NAME[:PATH] [KEY=VALUE...]``: enlarged images beside real ones.

The images of the data set are reduced to the conditions of the checkpoint and enlarged again, by the checkpoint and by bicubic
interpolation. For both it prints the mean PSNR of the reduced result against the condition (is it kept?), that of the result against the
image, and the Frechet distance from the images, at their own resolution, in the features of a classifier of its squares of 32x32.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above
import torch.nn.functional as F
from torch import Tensor

import zoo_core
from zoo_core.config import apply_overrides, decode
from zoo_core.data.dataset import load_data
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.statistics import Moments
from zoo_core.interfaces import DatasetConfig

BATCH = 64
SPACE = "classifier-cifar10"


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of images in [-1, 1], in dB, (n,)."""
    return 10 * torch.log10(4 / (x - y).square().flatten(1).mean(1))


def main(reference: str, text: str, options: list[str]) -> None:
    kind, _, path = text.partition(":")
    data = load_data(decode(DatasetConfig, apply_overrides({"name": kind, **({"path": path} if path else {})}, options), "data"))
    model, judge = zoo_core.load(reference), load_feature_space(SPACE)
    side = model.model.condition_event.shape[-1]  # type: ignore[union-attr]  # the capability condition
    squares = zoo_core.load(SPACE).event.shape[-1]
    seen: dict[str, Moments] = {}
    kept: dict[str, list[Tensor]] = {"checkpoint": [], "bicubic": []}
    near: dict[str, list[Tensor]] = {"checkpoint": [], "bicubic": []}
    for places in torch.split(torch.arange(len(data)), BATCH):
        x = data.rows(places)
        small = F.adaptive_avg_pool2d(x, side)
        results = {
            "checkpoint": model.sample(condition=small, first=int(places[0])),
            "bicubic": F.interpolate(small, size=x.shape[-2:], mode="bicubic", align_corners=False).clamp(-1, 1),
        }
        for name, y in results.items():
            kept[name].append(psnr(F.adaptive_avg_pool2d(y, side), small))
            near[name].append(psnr(y, x))
        for name, y in {"real": x, **results}.items():
            features, _ = judge(F.unfold(y, squares, stride=squares).transpose(1, 2).reshape(-1, x.shape[1], squares, squares))
            seen.setdefault(name, Moments(features.shape[1])).add(features)
    print(f"{len(data):,} images of {text}, from {side}x{side}")
    for name in kept:
        distance = frechet(seen[name], seen["real"])
        print(
            f"{name}: condition kept {torch.cat(kept[name]).mean():.1f} dB, image {torch.cat(near[name]).mean():.1f} dB, fd {distance:.3f}"
        )


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
