"""``python -m benchmarks.inpainting REFERENCE[,REFERENCE...] NAME[:PATH] MASK [KEY=VALUE...]``: inpainting by several checkpoints.

For each checkpoint it prints the mean squared error of the hidden pixels, the Frechet distance of the filled images from the images
themselves in the features of a classifier, and the seconds an image of one thread. Denoisers walk with the sampler and the levels of
their checkpoint, once over each level. MASK names the known part: top, left, centre, border, ...
"""

import os
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above

import zoo_core
from zoo_core.config import apply_overrides, decode
from zoo_core.data.dataset import load_data
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.statistics import Moments
from zoo_core.hardware.environment import build
from zoo_core.interfaces import DatasetConfig
from zoo_core.samplers.masks import part_mask

BATCH = 64
SPACE = "classifier-cifar10"


def main(references: list[str], text: str, part: str, options: list[str]) -> None:
    kind, _, path = text.partition(":")
    data = load_data(decode(DatasetConfig, apply_overrides({"name": kind, **({"path": path} if path else {})}, options), "data"))
    judge = load_feature_space(SPACE)
    torch.set_num_threads(1)
    print(f"{len(data):,} images of {text}, known: {part}; one thread, {build()['capability']}")
    for reference in references:
        model = zoo_core.load(reference)
        walk = {"times": 1} if model.denoises else {}
        size = judge(data.rows(torch.arange(2)))[0].shape[1]
        seen = {name: Moments(size) for name in ("x", "y")}
        errors, seconds = [], 0.0
        for places in torch.split(torch.arange(len(data)), BATCH):
            x = data.rows(places)
            known = part_mask(part, x.shape[1:])
            started = time.perf_counter()
            y = model.inpaint(x, known, first=int(places[0]), **walk)
            seconds += time.perf_counter() - started
            hidden = (~known).expand_as(x)
            errors.append((y - x).square()[hidden].view(len(x), -1).mean(1))
            for name, images in (("x", x), ("y", y)):
                seen[name].add(judge(images)[0])
        mean, pace = torch.cat(errors).mean(), seconds / len(data)
        print(f"{reference}: squared error {mean:.4f}, fd {frechet(*seen.values()):.3f}, {pace:.4f} s an image")


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2], sys.argv[3], sys.argv[4:])
