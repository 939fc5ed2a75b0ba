"""``python -m benchmarks.digits REFERENCE [N]``: whether samples look like digits to classifier-mnist, and whether all digits are there.

Sureness alone is worth nothing: a net that draws only eights is sure. It stands beside the share of each digit, and precision, recall and
fd on the card say the rest.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch
from torch import Tensor

import zoo_core
from zoo_core.datasets import MNISTConfig
from zoo_core.training.data import load_data


def told(name: str, x: Tensor) -> str:
    probability, digit = zoo_core.load("classifier-mnist").classify(x).exp().max(1)
    shares = torch.bincount(digit, minlength=10) / len(x)
    return f"| {name} | {(probability >= 0.9).float().mean():.1%} | {' | '.join(f'{share:.1%}' for share in shares)} |"


def main(reference: str, n: int) -> None:
    test = load_data(MNISTConfig(split="test"))
    print(f"| {n:,} images | sure (p >= 0.9) | {' | '.join(map(str, range(10)))} |\n|---|{'---:|' * 11}")
    print(told("test digits", test.rows(torch.arange(n))))
    print(told(reference, zoo_core.load(reference).sample(n, seed=0)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
