"""Accuracy of the pixel measurements of ``caption-accuracy`` on real captioned images: the most that a model can reach.

python -m benchmarks.captions --data-root data
"""

import argparse

import torch

from zoo_core.data.dataset import load_data
from zoo_core.evaluation.seen import seen

__all__ = ["main"]

_ROWS = 500


def main() -> None:
    """Prints, for the real held-out images of both sets, the share of right measurements of each attribute and of all of them."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--data-root", default="$ZOO_DATA", help="folder with the files of MNIST and Fashion-MNIST")
    root = parser.parse_args().data_root
    for name in ("captioned-mnist", "captioned-fashion-mnist"):
        data = load_data({"name": name, "split": "heldout", "root": root})
        parts = [seen(data.rows(rows)) for rows in torch.arange(len(data)).split(_ROWS)]
        right = {key: torch.cat([part[key] for part in parts]) == data.attributes[key].labels for key in parts[0]}
        shares = {**right, "all five": torch.stack(list(right.values())).all(0)}
        print(f"{name}: " + ", ".join(f"{key} {100 * hits.double().mean():.2f} %" for key, hits in shares.items()))


if __name__ == "__main__":
    main()
