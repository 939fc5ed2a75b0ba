"""The conformance checks pass for the fake families, and name what does not conform."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from zoo_core.errors import UnknownNameError
from zoo_core.testing import checks_of, fake_zoo, installed, parametrize_checks
from zoo_core.testing.conformance import Check
from zoo_core.testing.fake_config import FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


with fake_zoo():
    FLOW = parametrize_checks("fake")
    UNLABELLED = parametrize_checks("fake", config=FakeConfig(classes=0), capabilities={"decode", "encode", "density"})
    IMAGES = parametrize_checks("fake", config=FakeConfig(shape=(3, 4, 4), bounded=True))
    DENOISER = parametrize_checks("fake-denoiser", config=FakeDenoiserConfig(classes=3))
    WRONG = parametrize_checks("fake", capabilities={"decode"}, expected_failures={"capabilities_are_there": "it can do more"})


@FLOW
def test_the_fake_flow_conforms(check: Check) -> None:
    check()


@UNLABELLED
def test_the_fake_flow_without_labels_conforms(check: Check) -> None:
    check()


@IMAGES
def test_the_fake_flow_of_images_conforms(check: Check) -> None:
    check()


@DENOISER
def test_the_fake_denoiser_conforms(check: Check) -> None:
    check()


def test_ids_are_the_names_of_the_checks_and_expected_failures_are_strict() -> None:
    marks = {param.id: param.marks for param in WRONG.args[1]}
    assert set(marks) == {check.name for check in checks_of("fake", capabilities={"decode"})}
    (expected,) = marks["capabilities_are_there"]
    assert (expected.name, expected.kwargs) == ("xfail", {"reason": "it can do more", "strict": True})
    assert not any(mark for name, mark in marks.items() if name != "capabilities_are_there")


def test_only_checks_that_apply_are_run() -> None:
    names = {check.name for check in checks_of("fake")}
    assert "decodes" in names
    assert "denoises" not in names


def test_an_expected_failure_that_is_no_check_is_refused() -> None:
    with pytest.raises(UnknownNameError, match="decodes"):
        parametrize_checks("fake", expected_failures={"decode": "a slip"})


@pytest.mark.parametrize("denoiser", [False, True])
def test_the_copy_without_a_fault_conforms(denoiser: bool, write_broken: Callable[..., Path], tmp_path: Path) -> None:
    with installed(write_broken(tmp_path, denoiser=denoiser), names=["zoo-broken"]):
        for check in checks_of("broken"):
            check()


def test_nan_is_named_by_the_check_of_what_gives_it(write_broken: Callable[..., Path], tmp_path: Path) -> None:
    model = "def decode(self, z, labels=None):\n    return super().decode(z, labels) * float('nan')"
    trainer = "def forward(self, phase, batch, rng):\n    return Loss(value=super().forward(phase, batch, rng).value * float('nan'))"
    faults = {}
    with installed(write_broken(tmp_path, model=model, trainer=trainer), names=["zoo-broken"]):
        for check in checks_of("broken", capabilities={"decode", "labels"}):
            try:
                check()
            except AssertionError as error:
                faults[check.name] = str(error)
    assert set(faults) == {"capabilities_are_there", "decodes", "trainer_gives_gradients"}
    assert faults["decodes"] == "decode gives values that are not finite"
    assert faults["trainer_gives_gradients"] == "the loss of critic is nan"
