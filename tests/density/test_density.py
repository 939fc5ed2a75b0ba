"""Theorems about log-probabilities as users meet them: units, spaces, methods, metrics, and bounds that say what they are."""

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from PIL import Image
from torch import Tensor

from zoo_core import figures
from zoo_core.cards.tables import numbers_section
from zoo_core.cli.evaluate import evaluate as command
from zoo_core.cli.figure import figure
from zoo_core.cli.show import show
from zoo_core.cli.verify import verify
from zoo_core.data.dataset import load_data
from zoo_core.density.denoiser import Bound
from zoo_core.errors import CapabilityError, ConfigError, UsageError, ZooError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.reproduce import rerun
from zoo_core.images import exact_uint8, from_uint8
from zoo_core.interfaces import LogProb
from zoo_core.loading import load
from zoo_core.pretrained import Pretrained
from zoo_core.schedulers import Cosine
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake import Fake, FakeDenoiser
from zoo_core.testing.fake_config import IMAGES, NOISE, TINY, FakeConfig, FakeDataConfig, FakeDenoiserConfig
from zoo_core.training.fit import fit

SHAPE = (1, 2, 2)
X = from_uint8(torch.randint(0, 256, (5, *SHAPE), generator=torch.Generator().manual_seed(0)))


@pytest.fixture(autouse=True)
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@pytest.fixture
def points(tmp_path: Path) -> str:
    """A trained flow of points in the plane."""
    fit(replace(TINY, fit=replace(TINY.fit, steps=3)), tmp_path / "points")
    return f"local:{tmp_path / 'points'}"


def denoiser(folder: Path) -> str:
    """A trained denoiser of images of 4 pixels, as a checkpoint with its training record."""
    config = FakeDenoiserConfig(shape=SHAPE, bounded=True, scheduler=Cosine(T=6))
    fit(replace(NOISE, model=config, data=FakeDataConfig(shape=SHAPE, count=40), fit=replace(NOISE.fit, steps=3)), folder)
    return f"local:{folder}"


def says(space: str, kind: str = "exact", value: float = -1.0) -> Any:
    """A log_prob of one value for all."""

    def log_prob(self: Fake, x: Tensor, labels: Tensor | None = None, **options: Any) -> LogProb:
        return LogProb(value=torch.full((len(x),), value), kind=kind, space=space)  # type: ignore[arg-type]  # of the test's choice

    return log_prob


# Units and spaces


def test_bits_per_dim_is_longhand() -> None:
    nats = torch.tensor([-4 * math.log(256), 3.0])
    uniform = LogProb(value=nats, kind="exact", space="uint8")
    torch.testing.assert_close(uniform.bits_per_dim(4), torch.tensor([8.0, -3 / (4 * math.log(2))]))
    # A density of 1/2 on all of [-1, 1] is one bit, and the mass of a level of width 1 / 127.5 another log2(127.5) bits.
    flat = LogProb(value=torch.tensor([math.log(0.5)]), kind="exact")
    assert flat.bits_per_dim(1).item() == pytest.approx(1)
    with pytest.raises(UsageError, match=r"undefined for binary images"):
        replace(uniform, space="binary").bits_per_dim(4)
    with pytest.raises(UsageError, match=r"dims must be a whole number of at least 1"):
        uniform.bits_per_dim(0)


def test_8_bit_images_are_levels_to_a_thousandth_of_a_step() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    assert torch.equal(exact_uint8(from_uint8(levels)), levels)
    assert torch.equal(exact_uint8(from_uint8(levels).double() + 0.9e-3 / 127.5), levels)
    for wrong in (from_uint8(levels).double() + 1.1e-3 / 127.5, torch.tensor([256 / 127.5 - 1]), torch.tensor([math.nan])):
        with pytest.raises(UsageError, match=r"is not a level of an 8-bit image in \[-1, 1\] -- "):
            exact_uint8(wrong)


def test_what_is_not_of_the_space_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = FakeConfig(shape=SHAPE, bounded=True)
    model = load(f"local:{write_checkpoint(tmp_path / 'x', Fake(config), config)}")
    model.log_prob(0.3 * X)
    monkeypatch.setattr(Fake, "log_prob", says("uint8"))
    model.log_prob(X)
    with pytest.raises(UsageError, match=r"not a level of an 8-bit image"):
        model.log_prob(0.3 * X)
    monkeypatch.setattr(Fake, "log_prob", says("binary"))
    model.log_prob(X / X.abs().max())  # grey is drawn
    with pytest.raises(UsageError, match=r"x must be in \[-1, 1\] for a model of binary images"):
        model.log_prob(1.5 * X / X.abs().max())
    with pytest.raises(UsageError, match=r"x must be finite"):
        model.log_prob(X / 0)


# Methods


def test_the_method_is_the_familys_own_or_else_the_ode(tmp_path: Path, points: str) -> None:
    flow, model = load(points), load(denoiser(tmp_path / "d"))
    assert (flow.log_prob_method(), model.log_prob_method()) == ("own", "ode")
    assert (flow.log_prob(torch.zeros(1, 2)).kind, model.log_prob(X).kind) == ("exact", "estimate")
    variance = (2 * model.model.log_std).exp() + model.model.sigma_range[0] ** 2  # type: ignore[operator, index]  # a FakeDenoiser
    expected = torch.distributions.Normal(model.model.mean, variance.sqrt()).log_prob(X).flatten(1).sum(1)
    torch.testing.assert_close(model.log_prob(X).value, expected, atol=2e-3, rtol=1e-4)
    found = model.log_prob(X, method="bound")
    assert isinstance(found, Bound)
    assert (found.kind, found.space, found.prior.shape) == ("lower_bound", "uint8", (5,))
    with pytest.raises(UsageError, match=r"method must be one of own, ode, bound, not 'elbo'"):
        model.log_prob(X, method="elbo")


def test_a_model_that_only_decodes_names_the_families_that_can(points: str) -> None:
    model = load(points)
    model.family = replace(model.family, capabilities=frozenset({"decode"}))
    with pytest.raises(CapabilityError, match=r"cannot give a log-probability.*neither density nor denoise") as caught:
        model.log_prob(torch.zeros(1, 2))
    assert caught.value.hint == "families that can: fake, fake-conditional, fake-denoiser, fake-text"
    with pytest.raises(CapabilityError, match=r"by the method bound") as caught:
        model.log_prob(torch.zeros(1, 2), method="bound")
    assert caught.value.hint == "families that can: fake-conditional, fake-denoiser"


@pytest.mark.parametrize("options", [{"method": "ode"}, {"method": "ode", "k": 2}, {"method": "bound"}, {"method": "bound", "k": 2}])
def test_row_i_draws_the_noise_of_its_image_in_every_batch(tmp_path: Path, options: dict[str, Any]) -> None:
    model = load(denoiser(tmp_path / "d"))
    whole = model.log_prob(X, seed=3, **options)
    small = model.log_prob(X, seed=3, batch_size=2, **options)
    later = model.log_prob(X[3:], seed=3, first=3, **options)
    torch.testing.assert_close(small.value, whole.value, atol=2e-4, rtol=2e-5)
    torch.testing.assert_close(later.value, whole.value[3:], atol=2e-4, rtol=2e-5)
    if options["method"] == "bound":  # the Jacobian of this denoiser is diagonal, and all probes of signs find its trace
        assert not torch.allclose(model.log_prob(X, seed=4, **options).value, whole.value)


def test_narrow_dtypes_change_no_log_probability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, seen = load(denoiser(tmp_path / "d")), []
    original = FakeDenoiser.denoise

    def denoise(self: FakeDenoiser, *args: Any) -> Tensor:
        seen.append(torch.is_autocast_enabled("cpu"))
        return original(self, *args)

    monkeypatch.setattr(FakeDenoiser, "denoise", denoise)
    before = model.log_prob(X, method="bound").value
    assert torch.equal(model.to(dtype="bfloat16").log_prob(X, method="bound").value, before)
    assert not any(seen)
    model.denoise(X, 1.0)
    assert seen[-1]


# Metrics


def test_nll_and_bpd_of_a_flow_are_the_closed_form(points: str) -> None:
    nll, bpd = evaluate(points, ["nll", "bpd"], batch_size=50)
    model, x = load(points), load_data(TINY.data).x  # type: ignore[arg-type]  # TINY has data
    flow = model.model
    each = -torch.distributions.Normal(flow.shift, flow.log_scale.exp()).log_prob(x).sum(1).double()  # type: ignore[operator, arg-type]  # a Fake
    assert nll["value"] == pytest.approx(each.mean().item(), rel=1e-6)
    assert nll["stderr"] == pytest.approx(each.std().item() / 16, rel=1e-6)
    assert bpd["value"] == pytest.approx(nll["value"] / 2 / math.log(2), rel=1e-6)
    assert bpd["stderr"] == pytest.approx(nll["stderr"] / 2 / math.log(2), rel=1e-6)
    told = [(record["unit"], record["kind"], record["space"], record["method"], record["options"]) for record in (nll, bpd)]
    assert told == [("nats", "exact", "continuous", "own", {}), ("bits/dim", "exact", "continuous", "own", {})]
    assert nll["n"] == {"real": 256}


def test_two_metrics_of_one_log_probability_compute_it_once(points: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    log_prob = Pretrained.log_prob

    def counting(self: Pretrained, x: Tensor, *args: Any, **options: Any) -> LogProb:
        asked.append(len(x))
        return log_prob(self, x, *args, **options)

    monkeypatch.setattr(Pretrained, "log_prob", counting)
    evaluate(points, ["nll", "bpd"], n=100, batch_size=64)
    assert asked == [64, 36]
    evaluate(points, ["nll", "bpd"], options={"nll": {"k": 2}}, n=100, batch_size=64)
    assert asked[2:] == [64, 64, 36, 36]


def test_the_bound_of_a_denoiser_is_measured_with_its_terms_and_again(tmp_path: Path) -> None:
    reference = denoiser(tmp_path / "d")
    out, options = tmp_path / "d" / "export" / "metrics.json", {"bpd": {"method": "bound", "k": 3}}
    [record] = evaluate(reference, ["bpd"], options=options, out=out, batch_size=16)
    [other] = evaluate(reference, ["bpd"], options=options, batch_size=7)
    assert other["value"] == pytest.approx(record["value"], rel=1e-6)
    assert (record["kind"], record["space"], record["method"], record["options"]) == ("upper_bound", "uint8", "bound", options["bpd"])
    assert sum(term["value"] for term in record["terms"].values()) == pytest.approx(record["value"], rel=1e-6)
    model, x = load(reference), load_data(FakeDataConfig(shape=SHAPE, count=40)).rows(torch.arange(40))
    by_hand = model.log_prob(x, method="bound", k=3).bits_per_dim(4).double().mean().item()
    assert record["value"] == pytest.approx(by_hand, rel=1e-6)
    assert [again.state for again in rerun(reference, batch_size=9)] == ["pass"]
    for change in ({"kind": "exact"}, {"space": "continuous"}, {"method": "ode"}, {"options": {"method": "bound", "k": 4}}, {"terms": {}}):
        out.write_text(json.dumps({"metrics": [{**record, **change}]}))
        assert [again.state for again in rerun(reference)] == ["fail"], change


def test_a_bound_says_so_wherever_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(replace(IMAGES, fit=replace(IMAGES.fit, steps=1)), tmp_path / "run")
    monkeypatch.setattr(Fake, "log_prob", says("uint8", "lower_bound", -192 * math.log(2)))
    out, words = tmp_path / "run" / "export" / "metrics.json", [f"local:{tmp_path / 'run'}", "--metrics", "bpd,nll", "-n", "9"]

    def told(*more: str) -> str:
        return CliRunner().invoke(command, [*words, *more], catch_exceptions=False).stdout

    rows = [line.split() for line in told("--out", str(out)).splitlines()]
    assert rows[1][:11] == ["bpd", "<=", "1.000", "+-", "0.000", "bits/dim", "of", "8-bit", "images", "(an", "upper"]
    assert rows[2][:6] == ["nll", "<=", "133.1", "+-", "0.0", "nats"]
    assert {(record["kind"], record["space"]) for record in json.loads(told("--json"))["metrics"]} == {("upper_bound", "uint8")}
    shown = CliRunner().invoke(show, words[:1], catch_exceptions=False).stdout
    assert "bpd <= 1 +- 0 bits/dim of 8-bit images (an upper bound) on the 9 of fake-data" in shown
    card = numbers_section("run", json.loads(out.read_text()))
    assert "- bpd ≤ 1 ± 0 bits/dim of 8-bit images (an upper bound) on the 9 of `fake-data`" in card
    assert "bpd <= 1 now 1" in CliRunner().invoke(verify, [*words[:1], "--metrics"], catch_exceptions=False).stdout
    monkeypatch.setattr(Fake, "log_prob", says("continuous", "estimate"))
    assert "~ 1.000 +- 0.000" in told("--metrics", "nll")


def test_an_option_of_a_metric_is_its_own(tmp_path: Path) -> None:
    reference = denoiser(tmp_path / "d")

    def run(*words: str) -> Any:
        return CliRunner().invoke(command, [reference, "-n", "6", *words])

    done = run("--metrics", "bpd,nll", "-o", "bpd.method=bound", "-o", "bpd.k=2", "--json")
    found = json.loads(done.stdout)["metrics"]
    assert [(record["method"], record["options"]) for record in found] == [("bound", {"method": "bound", "k": 2}), ("ode", {})]
    for words, match in (
        (["--metrics", "bpd", "-o", "bpd.steps=2"], r"bpd.*steps"),
        (["--metrics", "bpd", "-o", "bpd.k=0"], r"bpd.*k must be in \[1, "),
        (["--metrics", "bpd", "-o", "bpd.k=true"], r"bpd\.k"),
        (["--metrics", "bpd", "-o", "bpd.method=3"], r"bpd\.method"),
        (["--metrics", "bpd", "-o", "bpd.method=elbo"], r"method must be one of own, ode, bound, not elbo"),
        (["--metrics", "recall", "-o", "recall.k=many"], r"recall\.k"),
        (["--metrics", "bpd", "-o", "nll.k=3"], r"options of nll, which is not measured"),
    ):
        error = run(*words).exception
        assert isinstance(error, ConfigError)
        with pytest.raises(ConfigError, match=match):
            raise error


def test_a_log_probability_that_is_no_number_is_an_error(points: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fake, "log_prob", says("continuous", value=-math.inf))
    with pytest.raises(ZooError, match=r"a log-probability that is not finite"):
        evaluate(points, ["nll"])


# The figure


def test_the_figure_of_a_density_is_its_values_at_the_middles_of_cells(points: str, tmp_path: Path) -> None:
    model, data = load(points), load_data(TINY.data)  # type: ignore[arg-type]  # TINY has data
    found = figures.density(model, 3 * data.x, side=40)
    left, right, bottom, top = found.extent
    assert right - left == pytest.approx(1.2 * 3 * float(data.x[:, 0].max() - data.x[:, 0].min()), rel=1e-5)
    middle = torch.tensor([[left + 30.5 * (right - left) / 40, bottom + 7.5 * (top - bottom) / 40]])
    assert found.values[7, 30].item() == pytest.approx(model.log_prob(middle).value.exp().item(), rel=1e-3)
    assert found.mass == pytest.approx(1, abs=0.01)
    out = tmp_path / "density.png"
    done = CliRunner().invoke(figure, [points, "density", "--out", str(out)], catch_exceptions=False)
    assert "density.png: density; the part that is shown has a mass of 0." in done.stderr
    with Image.open(out) as image:
        assert (image.text["data"], image.text["caption"]) == (f"sha256:{data.digest}", "density")


def test_the_density_of_a_denoiser_says_that_it_is_of_noisy_data(tmp_path: Path) -> None:
    config = FakeDenoiserConfig(scheduler=Cosine(T=5))
    model: Pretrained = load(f"local:{write_checkpoint(tmp_path / 'x', FakeDenoiser(config), config)}")
    found = figures.density(model, torch.tensor([[-2.0, -2.0], [2.0, 2.0]]), side=24)
    assert found.caption == f"density of data with noise of sigma {model.model.sigma_range[0]:g}, by the ODE"  # type: ignore[index]  # a FakeDenoiser
    assert found.mass == pytest.approx(1, abs=0.02)
    image = load(denoiser(tmp_path / "d"))
    with pytest.raises(UsageError, match=r"of points in the plane"):
        figures.density(image, X)


# What is refused


def test_a_log_probability_of_nothing_or_of_no_tensor_is_refused(points: str) -> None:
    model = load(points)
    for x, match in (
        (torch.empty(0, *model.event.shape), "the number of rows of x must be at least 1, not 0"),
        (torch.tensor(1.0), r"x must have the shape"),
        ([[1.0, 2.0]], r"x must be a tensor, not list"),
    ):
        with pytest.raises(UsageError, match=match):
            model.log_prob(x)  # type: ignore[arg-type]  # that is the point
    with pytest.raises(UsageError, match=r"method must be one of own, ode, bound, not '3'"):
        model.log_prob(torch.zeros(1, *model.event.shape), method=3)  # type: ignore[arg-type]


@pytest.mark.parametrize("words", [("-o", "bdp.k=3"), ("--sampler", "ddim"), ("--steps", "3,4"), ("--scheduler", "karras"), ("--floors",)])
def test_what_says_how_to_draw_is_refused_where_nothing_is_drawn(points: str, words: tuple[str, ...]) -> None:
    done = CliRunner().invoke(command, [points, "--metrics", "nll", *words])
    assert isinstance(done.exception, UsageError)
    assert "mean nothing to nll, which draws no samples" in str(done.exception)
