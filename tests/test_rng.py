"""Random numbers depend on what they are for, and on nothing else."""

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from zoo_core.errors import ConfigError
from zoo_core.interfaces import Rng
from zoo_core.rng import ImageRng, StepRng, Stream, generator, isolated, permutation

SEEDS = st.integers(0, 2**64 - 1)


def draws(rng: Rng) -> list[Tensor]:
    """A bit of everything, in an order in which left-over bits of one draw could reach the next."""
    return [
        rng.normal(3),
        rng.integers(0, 10),
        rng.uniform(2, 2),
        rng.normal(),
        rng.integers(-5, 2**40, 3),
        rng.normal(1, 2, 3),
        rng.uniform(),
    ]


def test_the_values_are_pinned() -> None:
    """A change of numpy, of the key or of the order of bits would change every image that a card shows."""
    rng = ImageRng(7, [0, 1, 2**64 - 1])
    assert rng.normal(2).tolist() == [
        [-0.2933390140533447, 1.703830599784851],
        [-0.5934703350067139, 1.5478249788284302],
        [-0.09429973363876343, 0.38478776812553406],
    ]
    rng = ImageRng(7, [0, 1, 2**64 - 1])
    assert rng.normal(3)[:, 2].tolist() == [1.5391918420791626, -0.5029522180557251, 0.25927403569221497]
    assert rng.uniform(2).tolist() == [
        [0.2953653335571289, 0.31412768363952637],
        [0.36903828382492065, 0.42710793018341064],
        [0.030982792377471924, 0.8641645312309265],
    ]
    assert rng.integers(0, 1000, 3).tolist() == [[420, 694, 405], [517, 713, 331], [608, 630, 765]]


def test_the_values_of_a_step_are_pinned() -> None:
    rng = StepRng(7, 5, 3)
    assert rng.normal(2).tolist() == [
        [1.3608157634735107, 1.1469956636428833],
        [-0.6205678582191467, 0.26570144295692444],
        [0.8672758340835571, -0.38933706283569336],
    ]
    assert rng.uniform(2)[0].tolist() == [0.5501287579536438, 0.8780120611190796]
    assert rng.integers(0, 1000).tolist() == [999, 365, 338]
    assert permutation(7, 0, 8).tolist() == [3, 4, 7, 1, 6, 5, 2, 0]
    assert generator(2**64 - 1, 3, Stream.DATA).integers(2**63) == 2901112171260463615


def test_the_values_of_an_initialisation_are_pinned() -> None:
    with isolated(3, 1, 2, stream=Stream.INIT):
        assert torch.randn(2).tolist() == pytest.approx([0.7365359663963318, 1.2705422639846802], abs=1e-6)


@settings(max_examples=30)
@given(SEEDS, st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=8), st.data())
def test_image_i_does_not_depend_on_batch_size(seed: int, images: list[int], data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(range(len(images))), min_size=1, max_size=4))
    together = draws(ImageRng(seed, images))
    apart = draws(ImageRng(seed, [images[i] for i in chosen]))
    for whole, part in zip(together, apart, strict=True):
        assert torch.equal(whole[chosen], part)


@settings(max_examples=30)
@given(SEEDS, st.integers(0, 2**40), st.integers(1, 8), st.integers(1, 3))
def test_the_rows_of_a_process_are_a_slice_of_the_global_batch(seed: int, step: int, size: int, processes: int) -> None:
    whole = draws(StepRng(seed, step, size))
    parts = [draws(StepRng(seed, step, size, rows=slice(rank, None, processes))) for rank in range(processes)]
    for index, values in enumerate(whole):
        for rank in range(processes):
            assert torch.equal(values[rank::processes], parts[rank][index])
    assert sum(len(StepRng(seed, step, size, rows=slice(rank, None, processes))) for rank in range(processes)) == size


def test_a_process_without_rows_still_draws_what_the_others_draw() -> None:
    assert [tuple(x.shape) for x in draws(StepRng(0, 0, 2, rows=slice(2, 4)))] == [(0, *x.shape[1:]) for x in draws(StepRng(0, 0, 2))]


def test_no_images_give_no_rows() -> None:
    rng = ImageRng(0, [])
    assert len(rng) == 0
    assert [tuple(x.shape) for x in draws(rng)] == [(0, *x.shape[1:]) for x in draws(ImageRng(0, [0]))]


@pytest.mark.parametrize("rng", [ImageRng(0, range(4)), StepRng(0, 0, 4)], ids=["image", "step"])
def test_shapes_types_and_ranges_are_as_promised(rng: Rng) -> None:
    assert len(rng) == 4
    normal, uniform, whole = rng.normal(2, 3), rng.uniform(1000), rng.integers(-1, 2, 1000)
    assert (normal.shape, normal.dtype) == ((4, 2, 3), torch.float32)
    assert (uniform.shape, uniform.dtype) == ((4, 1000), torch.float32)
    assert (whole.shape, whole.dtype) == ((4, 1000), torch.int64)
    assert rng.normal().shape == rng.uniform().shape == rng.integers(0, 2).shape == (4,)
    assert float(uniform.min()) >= 0
    assert float(uniform.max()) < 1
    assert whole.unique().tolist() == [-1, 0, 1]


@pytest.mark.parametrize("make", [lambda: ImageRng(3, range(4)), lambda: StepRng(3, 1, 4)], ids=["image", "step"])
def test_every_call_draws_anew(make: Callable[[], Rng]) -> None:
    rng = make()
    assert not torch.equal(rng.normal(5), rng.normal(5))
    assert not torch.equal(rng.uniform(5), rng.uniform(5))


def test_images_seeds_steps_and_streams_are_all_distinct() -> None:
    firsts = [ImageRng(seed, [image]).normal(4) for seed in (0, 1, 2**63, 2**64 - 1) for image in (0, 1, 2**63, 2**64 - 1)]
    firsts += [StepRng(seed, step, 1, stream=stream).normal(4) for seed in (0, 1) for step in (0, 1) for stream in list(Stream)[1:]]
    assert len({tuple(first.flatten().tolist()) for first in firsts}) == len(firsts)


def test_streams_of_one_seed_never_overlap() -> None:
    """The stream is the counter's highest word: a stream would have to draw 2**192 blocks to reach the next."""
    states = [generator(1, 2, stream).bit_generator.state["state"] for stream in Stream]
    assert [state["counter"].tolist() for state in states] == [[0, 0, 0, stream] for stream in Stream]
    assert all(state["key"].tolist() == [1, 2] for state in states)


def test_numbers_of_streams_never_change() -> None:
    """They are part of what a seed means."""
    numbers = {"SAMPLE": 0, "STEP": 1, "ORDER": 2, "INIT": 3, "AUGMENT": 4, "DATA": 5, "NOISE": 6, "CONDITION": 7}
    assert {stream.name: int(stream) for stream in Stream} == numbers


@pytest.mark.parametrize(("seed", "item"), [(-1, 0), (0, -1), (2**64, 0), (0, 2**64)])
def test_a_seed_out_of_range_is_refused(seed: int, item: int) -> None:
    with pytest.raises(ConfigError, match="must be in"):
        ImageRng(seed, [item])


def moments(x: Tensor) -> Sequence[float]:
    return (x.mean().item(), x.var().item(), ((x - x.mean()) ** 4).mean().item() / x.var().item() ** 2)


@pytest.mark.parametrize(
    "values",
    [ImageRng(11, range(200)).normal(500), StepRng(11, 0, 200).normal(500)],
    ids=["within and across images", "within and across rows"],
)
def test_normals_are_normal(values: Tensor) -> None:
    n = values.numel()
    mean, variance, kurtosis = moments(values.double())
    assert abs(mean) < 5 / n**0.5
    assert abs(variance - 1) < 5 * (2 / n) ** 0.5
    assert abs(kurtosis - 3) < 5 * (24 / n) ** 0.5
    # Rows are independent of each other, and so are the numbers within a row.
    for matrix in (values.double(), values.double().T):
        correlations = torch.corrcoef(matrix).fill_diagonal_(0)
        assert correlations.abs().max() < 6.5 / matrix.shape[1] ** 0.5


def test_uniforms_are_uniform_and_whole_numbers_even() -> None:
    values = ImageRng(5, range(100)).uniform(1000).flatten().double().sort().values
    distance = (values - (torch.arange(len(values)) + 0.5) / len(values)).abs().max().item()
    assert distance < 2.2 / len(values) ** 0.5  # Kolmogorov-Smirnov: p = 1e-4
    counts = ImageRng(5, range(100)).integers(0, 7, 1000).flatten().bincount()
    expected = 100_000 / 7
    assert ((counts - expected) ** 2 / expected).sum() < 30  # chi^2 of 6 degrees of freedom: p = 4e-5


@pytest.mark.parametrize("count", [1, 2, 1000])
def test_an_epoch_sees_every_item_once_in_an_order_of_its_own(count: int) -> None:
    orders = [permutation(0, epoch, count) for epoch in range(3)]
    for order in orders:
        assert order.dtype == torch.int64
        assert order.sort().values.tolist() == list(range(count))
    if count > 2:
        assert len({tuple(order.tolist()) for order in orders}) == 3
    assert torch.equal(permutation(0, 1, count), orders[1])


def global_state() -> tuple[object, ...]:
    numpy = np.random.get_state(legacy=False)  # noqa: NPY002  # to see that nobody touched it
    return torch.get_rng_state().tolist(), numpy["state"]["key"].tolist(), numpy["state"]["pos"], random.getstate()


def test_the_global_generators_are_untouched() -> None:
    before = global_state()
    draws(ImageRng(0, range(3)))
    draws(StepRng(0, 0, 3))
    permutation(0, 0, 10)
    with isolated(0, 1, stream=Stream.STEP):
        torch.randn(3)
        assert torch.get_rng_state().tolist() != before[0]
    assert global_state() == before


def test_an_isolated_block_puts_the_state_back_after_an_error_too() -> None:
    before = global_state()

    def fails() -> None:
        with isolated(0, stream=Stream.STEP):
            torch.randn(3)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    assert global_state() == before


def test_an_isolated_block_depends_on_its_seed_items_and_stream_alone() -> None:
    def first(seed: int, *items: int, stream: Stream = Stream.STEP) -> float:
        with isolated(seed, *items, stream=stream):
            return torch.rand(()).item()

    assert first(0, 1, 2) == first(0, 1, 2)
    torch.rand(())
    assert first(0, 1, 2) == first(0, 1, 2)
    others = [first(0), first(1), first(0, 0), first(0, 1), first(0, 1, 2), first(0, 2, 1), first(0, stream=Stream.INIT)]
    assert len(set(others)) == len(others)


def test_an_isolated_block_seeds_no_accelerator_that_it_does_not_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    seeded: list[int] = []
    monkeypatch.setattr(torch.cuda, "manual_seed_all", seeded.append)
    with isolated(0, stream=Stream.INIT):
        torch.rand(())
    assert not seeded


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_an_isolated_block_on_a_gpu_is_repeatable_and_leaves_its_generator_alone() -> None:
    before, values = torch.cuda.get_rng_state().tolist(), []
    for _ in range(2):
        with isolated(0, stream=Stream.STEP, devices=["cuda"]):
            values.append(torch.rand(3, device="cuda"))
    assert torch.equal(*values)
    assert torch.cuda.get_rng_state().tolist() == before
    assert torch.equal(ImageRng(0, [1], "cuda").normal(3).cpu(), ImageRng(0, [1]).normal(3))


def test_the_recipe_in_the_documents_draws_the_same_noise() -> None:
    text = (Path(__file__).parents[1] / "docs" / "samplers.md").read_text()
    block = text.split("### The same noise elsewhere")[1].split("```python\n")[1].split("```")[0]
    scope: dict[str, Any] = {}
    exec(block, scope)  # noqa: S102  # our own document
    rng = ImageRng(2**63 + 7, [5])
    ours = np.stack([rng.normal(3, 4)[0].numpy() for _ in range(2)])
    np.testing.assert_array_equal(scope["noise"](2**63 + 7, 5, (3, 4), draws=2), ours)
