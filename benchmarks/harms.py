"""``python -m benchmarks.harms NAME[:PATH] [KEY=VALUE...]``: effects of known harms on each metric.

One half of a data set is compared with the other half: as it is, blurred, with noise, without one class, and reduced to ten images that
are repeated. Prints a table in markdown; ``fashion-mnist split=test`` takes half a minute, and ``folder:PATH`` reads your own images.
"""

import os
import sys

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

from benchmarks.timing import machine  # see above
from zoo_core.config import apply_overrides, decode
from zoo_core.data.dataset import load_data
from zoo_core.distributed import Processes
from zoo_core.evaluation.compare import Comparison
from zoo_core.evaluation.factory import default_feature_space, make_metric
from zoo_core.evaluation.feature_spaces import load_feature_space
from zoo_core.evaluation.metrics import Metric
from zoo_core.evaluation.real_data import RealData
from zoo_core.interfaces import DatasetConfig

METRICS = ("fd", "kid", "precision", "recall", "density", "coverage")


def main(text: str, options: list[str]) -> None:
    kind, _, path = text.partition(":")
    config: DatasetConfig = decode(DatasetConfig, apply_overrides({"name": kind, **({"path": path} if path else {})}, options), "data")
    data = load_data(config)
    judge = load_feature_space(default_feature_space(config, data.event.shape))
    metrics = {name: value for name in METRICS if isinstance(value := make_metric(name), Metric)}
    bounds = Comparison(metrics, RealData(config, data.event.shape, data=data), judge, Processes("cpu")).bounds
    print(f"{machine()}\n")
    print(f"Halves of {len(data) // 2:,} images of `{text}`, in the features of `{judge.name}`.\n")
    print(f"| one half against the other | {' | '.join(METRICS)} |")
    print(f"|---|{'---|' * len(METRICS)}")
    print(f"| as it is | {' | '.join(_rounded(bounds[name]['floor']) for name in METRICS)} |")
    for harm in bounds[METRICS[0]]["harms"]:
        print(f"| {harm} | {' | '.join(_rounded(bounds[name]['harms'][harm]) for name in METRICS)} |")


def _rounded(entry: dict[str, float]) -> str:
    return f"{entry['value']:.3g}" if abs(entry["value"]) >= 1e-3 or entry["value"] == 0 else f"{entry['value']:.1e}"


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "fashion-mnist", sys.argv[2:])
