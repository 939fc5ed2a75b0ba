"""``python -m benchmarks [NAME...]``: prints ratios and their budgets; the exit code is 1 if a ratio exceeds its budget.

A NAME is a module of this package with a function ``measure``. ``peers`` needs more packages, and runs only if it is named.
"""

import os
import sys
from importlib import import_module

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `zoo` does; read when torch is imported

from benchmarks.timing import machine  # see above

NAMES = ("density", "disk", "listing", "loading", "pulling", "sampling", "streaming", "training")


def main(names: list[str]) -> int:
    print(machine())
    print(f"{'benchmark':40} {'seconds':>9} {'floor':>9} {'ratio':>6} {'budget':>6}  floor is")
    over = 0
    for name in names or NAMES:
        for row in import_module(f"benchmarks.{name}").measure():
            over += row.ratio > row.budget
            mark = "over" if row.ratio > row.budget else ""
            print(
                f"{row.name:40} {row.seconds:9.4f} {row.floor:9.4f} {row.ratio:6.3f} {row.budget:6.2f}  {row.floor_name} {mark}", flush=True
            )
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
