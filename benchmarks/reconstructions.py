"""``python -m benchmarks.reconstructions REFERENCE NAME[:PATH] [KEY=VALUE...]``: the errors of an autoencoder on images of a data set.

Prints the mean PSNR of decode(encode(x)); its Frechet distance from the images themselves, in the features of a classifier; and the root
mean square of encode(decode(z)) - z, over that of z, for the latents z of the images. REFERENCE is a checkpoint with the capability
``encode``, such as a first stage or a whole latent-diffusion model.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above

import zoo_core
from zoo_core.config import apply_overrides, decode
from zoo_core.data.dataset import load_data
from zoo_core.evaluation.distances import frechet
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.statistics import Moments
from zoo_core.interfaces import DatasetConfig

BATCH = 64
SPACE = "classifier-cifar10"


def main(reference: str, text: str, options: list[str]) -> None:
    kind, _, path = text.partition(":")
    data = load_data(decode(DatasetConfig, apply_overrides({"name": kind, **({"path": path} if path else {})}, options), "data"))
    model, judge = zoo_core.load(reference), load_feature_space(SPACE)
    seen: dict[str, Moments] = {}
    peaks, errors, sizes = [], [], []
    for places in torch.split(torch.arange(len(data)), BATCH):
        x = data.rows(places)
        z = model.encode(x)
        y = model.decode(z)
        for name, images in (("real", x), ("again", y)):
            features, _ = judge(images)
            seen.setdefault(name, Moments(features.shape[1])).add(features)
        peaks.append(10 * torch.log10(4 / (y - x).square().flatten(1).mean(1)))
        errors.append((model.encode(y) - z).square().flatten(1).mean(1))
        sizes.append(z.square().flatten(1).mean(1))
    print(f"{len(data):,} images of {text}")
    print(f"PSNR of decode(encode(x)) {torch.cat(peaks).mean():.2f} dB")
    print(f"fd of decode(encode(x)) from x, in {SPACE}: {frechet(*seen.values()):.3f}")
    print(f"encode(decode(z)) - z over z, root mean squares: {(torch.cat(errors).mean() / torch.cat(sizes).mean()).sqrt():.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
