"""The cost of drawing from autoregressive models, beside that of one pass over whole images.

``python -m benchmarks.pixels [N]`` prints a table for N binary digits at a time; 16 by default.
"""

import sys
import time
from collections.abc import Callable

import torch

from zoo_autoregressive.config import PixelCNNConfig, PixelTransformerConfig
from zoo_autoregressive.model import Autoregressive, PixelCNN, PixelTransformer
from zoo_core.rng import ImageRng


def seconds(work: Callable[[], object], times: int) -> float:
    """The least CPU time of some calls: other programs do not count."""
    found = []
    for _ in range(times):
        started = time.process_time()
        work()
        found.append(time.process_time() - started)
    return min(found)


def row(name: str, net: Autoregressive, n: int) -> str:
    """A row of the table: seconds of a pass and of drawing ``n`` images, and their ratio."""
    net.eval().requires_grad_(False)
    z = net.prior(ImageRng(0, range(n)))
    x = net.decode(z)
    whole = seconds(lambda: net.log_prob(x), 5)
    drawing = seconds(lambda: net.decode(z), 2)
    values = x[0].numel()
    return f"| {name}, {n} images | {whole:.3g} s | {drawing:.3g} s | {drawing / whole:.1f} | {values} |"


def main(n: int) -> None:
    print("| one thread, binary digits | `log_prob` | drawing | drawing / `log_prob` | the ratio without caches |")
    print("|---|---:|---:|---:|---:|")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        print(row("`pixelcnn`, the net of `mnist`", PixelCNN(PixelCNNConfig()), n))
        print(row("`pixel-transformer`, the net of `mnist`", PixelTransformer(PixelTransformerConfig()), n))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 16)
