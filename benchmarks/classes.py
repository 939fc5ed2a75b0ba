"""``python -m benchmarks.classes REFERENCE [N]``: predicted classes of samples and of test images, and the confidence of the predictions.

Confidence alone proves nothing: a model that draws only eights gets high confidence. So the table also has the share of each class;
precision, recall and fd are on the card. For a model with labels, which draws all classes equally often, a further row has the share of
each class whose samples are classified as that class.
"""

import os
import sys
from dataclasses import replace

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

import torch  # see above
from torch import Tensor

import zoo_core
from benchmarks.timing import machine
from zoo_core.data.dataset import load_data
from zoo_core.datasets import ImageSetConfig
from zoo_core.evaluation.factory import default_feature_space, training_data_config

SURE = 0.9


def rows(name: str, judge: str, x: Tensor, labels: Tensor | None, classes: int) -> list[str]:
    """Lines of the table: the share of each predicted class and, for images with ``labels``, the accuracy of each class."""
    probability, predicted = zoo_core.load(judge).classify(x).exp().max(1)
    shares = torch.bincount(predicted, minlength=classes) / len(x)
    lines = [_line(name, (probability >= SURE).float().mean(), shares)]
    if labels is not None:
        right = predicted == labels
        accuracies = torch.bincount(labels[right], minlength=classes) / torch.bincount(labels, minlength=classes)
        lines.append(_line(f"{name}: right, all and of each class", right.float().mean(), accuracies))
    return lines


def _line(name: str, first: Tensor, rest: Tensor) -> str:
    return f"| {name} | {first:.1%} | {' | '.join(f'{value:.1%}' for value in rest)} |"


def main(reference: str, n: int) -> None:
    model = zoo_core.load(reference)
    config = training_data_config(model.files)
    judge = default_feature_space(config, model.event.shape)
    test = load_data(replace(config, split="test") if isinstance(config, ImageSetConfig) else config)
    classes = len(test.classes)
    labels = torch.arange(n) % classes if "labels" in model.capabilities else None
    index = torch.arange(min(n, len(test)))
    print(f"{machine()}\n")
    print(f"| {n:,} images, classified by {judge} | sure (p >= {SURE}) | {' | '.join(test.classes)} |\n|---|{'---:|' * (classes + 1)}")
    real = test.rows(index)
    print(*rows("test images", judge, real, None if test.labels is None else test.labels[index], classes), sep="\n")
    print(*rows(reference, judge, model.sample(n, seed=0, labels=labels), labels, classes), sep="\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 2000)
