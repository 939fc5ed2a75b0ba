"""Each conformance check catches its faults, in copies of the fake families."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zoo_core.errors import ZooError
from zoo_core.testing import checks_of, fake_zoo, installed
from zoo_core.testing.conformance import CHECKS

from .fault import Fault
from .faults import FAULTS, JUDGE, JUDGES
from .text_faults import TEXT_FAULTS


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.mark.parametrize("fault", [*FAULTS, *TEXT_FAULTS], ids=lambda fault: f"{fault.check}: {fault.what}")
def test_a_check_catches_its_fault(fault: Fault, write_broken: Callable[..., Path], tmp_path: Path) -> None:
    with installed(fault.write(write_broken, tmp_path), names=["zoo-broken"]):
        (check,) = (check for check in checks_of("broken") if check.name == fault.check)
        with pytest.raises((AssertionError, ZooError)):
            check()


def test_the_judge_without_a_fault_gives_features_and_classifies(write_broken: Callable[..., Path], tmp_path: Path) -> None:
    with installed(write_broken(tmp_path, hook=JUDGES, model=JUDGE), names=["zoo-broken"]):
        checks = {check.name: check for check in checks_of("broken")}
        for name in ("gives_features", "classifies", "rows_do_not_depend_on_their_batch", "loads_from_meta"):
            checks[name]()


def test_every_check_has_a_fault_that_it_catches() -> None:
    assert {fault.check for fault in [*FAULTS, *TEXT_FAULTS]} == set(CHECKS)
