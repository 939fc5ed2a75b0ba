"""The codec is strict, names the field that is wrong, and gives back what it wrote."""

import json
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zoo_core.config import apply_overrides, check_range, decode, dump_json, encode, load_json, parse_json
from zoo_core.errors import ConfigError, PluginLoadError, UnknownNameError
from zoo_core.interfaces import ModelConfig, Sampler, Scheduler
from zoo_core.recipes import EMAConfig, FitConfig, OptimizerConfig, Recipe
from zoo_core.samplers import Ancestral, Latent
from zoo_core.schedulers import Cosine, Karras, Linear
from zoo_core.testing import fake_zoo, installed, write_plugin
from zoo_core.testing.fake_config import IMAGES, NOISE, TINY, FakeConfig, FakeDenoiserConfig


@pytest.fixture(autouse=True, scope="module")
def _zoo() -> Iterator[None]:
    with fake_zoo():
        yield


@dataclass(frozen=True, kw_only=True)
class Inner:
    width: int = 1
    name: str = "inner"


@dataclass(frozen=True, kw_only=True)
class Outer:
    count: int
    rate: float = 0.5
    on: bool = False
    text: str = "x"
    maybe: int | None = None
    either: int | str = 1
    choice: Literal["a", "b", 3] = "a"
    sizes: tuple[int, ...] = (1, 2)
    pair: tuple[int, float] = (1, 2.0)
    inner: Inner = Inner()
    inners: tuple[Inner, ...] = ()
    table: Mapping[str, Inner] = field(default_factory=dict)
    anything: Any = None

    def __post_init__(self) -> None:
        check_range(self, count=(1, 100), sizes=(1, 10))


REFUSED = {
    "unknown key": ({"cuont": 1}, "config: unknown key 'cuont' -- did you mean count"),
    "missing key": ({"rate": 1.0}, "config: missing count"),
    "text for an int": ({"count": "128"}, "config.count must be a whole number, not '128'"),
    "true for an int": ({"count": True}, "config.count must be a whole number, not True"),
    "a float for an int": ({"count": 1.0}, "config.count must be a whole number, not 1.0"),
    "null for an int": ({"count": None}, "config.count must be a whole number, not None"),
    "too large": ({"count": 10**9}, "config.count must be in [1, 100], not 1000000000"),
    "NaN": ({"count": 1, "rate": math.nan}, "config.rate must be a finite number, not nan"),
    "infinity": ({"count": 1, "rate": -math.inf}, "config.rate must be a finite number, not -inf"),
    "an int beyond all floats": ({"count": 1, "rate": 10**400}, "config.rate must be a finite number, not 1000"),
    "true for a float": ({"count": 1, "rate": True}, "config.rate must be a number, not True"),
    "one for a bool": ({"count": 1, "on": 1}, "config.on must be true or false, not 1"),
    "a number for text": ({"count": 1, "text": 1}, "config.text must be a string, not 1"),
    "neither": ({"count": 1, "either": 1.5}, "config.either must be int or str, not 1.5"),
    "null for neither": ({"count": 1, "either": None}, "config.either must be int or str, not None"),
    "wrong optional": ({"count": 1, "maybe": "1"}, "config.maybe must be a whole number, not '1'"),
    "no such choice": ({"count": 1, "choice": "c"}, "config.choice must be one of a, b, 3, not 'c'"),
    "a choice of another type": ({"count": 1, "choice": 3.0}, "config.choice must be one of a, b, 3, not 3.0"),
    "no list": ({"count": 1, "sizes": 3}, "config.sizes must be a list, not 3"),
    "an item": ({"count": 1, "sizes": [1, "2"]}, "config.sizes[1] must be a whole number, not '2'"),
    "an item out of range": ({"count": 1, "sizes": [1, 11]}, "config.sizes must be in [1, 10], not 11"),
    "too long a list": ({"count": 1, "pair": [1, 2.0, 3]}, "config.pair must be a list of 2, not a list"),
    "a nested key": ({"count": 1, "inner": {"widht": 2}}, "config.inner: unknown key 'widht' -- did you mean width?"),
    "a nested value": ({"count": 1, "inners": [{}, {"width": None}]}, "config.inners[1].width must be a whole number, not None"),
    "a value in a table": ({"count": 1, "table": {"k": {"width": "w"}}}, "config.table.k.width must be a whole number, not 'w'"),
    "no table": ({"count": 1, "table": [1]}, "config.table must be an object, not a list"),
    "NaN in free values": ({"count": 1, "anything": {"a": [1, math.nan]}}, "config.anything.a[1] must be a finite number, not nan"),
    "free values too deep": ({"count": 1, "anything": json.loads("[" * 40 + "]" * 40)}, "nested more than"),
    "no JSON in free values": ({"count": 1, "anything": {1j}}, "config.anything must be a JSON value"),
    "no object": ([], "config must be an object, not a list"),
    "no object but text": ("text", "config must be an object, not 'text'"),
    "a long text": ({"count": "9" * 500}, "config.count must be a whole number, not '99999"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_is_refused_with_the_path_of_the_field(case: str) -> None:
    data, message = REFUSED[case]
    with pytest.raises(ConfigError) as caught:
        decode(Outer, data)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("data", [{"count": 1, "k" * 5_000_000: 1}, {"count": 10**4000}])
def test_a_refusal_is_short_and_quick_however_long_the_data(data: dict[str, Any]) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        decode(Outer, data)
    assert len(str(caught.value)) < 400
    assert time.perf_counter() - started < 2


def test_what_fits_becomes_the_dataclass() -> None:
    data = {"count": 2, "rate": 1, "on": True, "maybe": 3, "either": "e", "choice": 3, "sizes": [3], "pair": [4, 5]}
    made = decode(Outer, data | {"inner": {"width": 6}, "inners": [{}], "table": {"k": {"name": "n"}}, "anything": {"a": [1, None]}})
    assert made == Outer(
        count=2,
        rate=1.0,
        on=True,
        maybe=3,
        either="e",
        choice=3,
        sizes=(3,),
        pair=(4, 5.0),
        inner=Inner(width=6),
        inners=(Inner(),),
        table={"k": Inner(name="n")},
        anything={"a": [1, None]},
    )
    assert type(made.rate) is float
    assert decode(Outer, encode(made)) == made


def test_ranges_are_closed_and_let_none_pass() -> None:
    check_range(Outer(count=100, sizes=(1, 10)), count=(1, 100), maybe=(5, 6))
    with pytest.raises(ConfigError, match=r"rate must be in \[0, 0.4\], not 0.5"):
        check_range(Outer(count=1), rate=(0, 0.4))
    with pytest.raises(ConfigError, match="not True"):
        Outer(count=True)
    with pytest.raises(ConfigError, match="not nan"):
        check_range(Outer(count=1, rate=math.nan), rate=(0, 1))


# Tagged parts


def test_a_tagged_part_is_written_with_its_name_and_read_by_it() -> None:
    config = FakeDenoiserConfig(scheduler=Linear(T=10))
    plain = encode(config)
    assert plain["name"] == "fake-denoiser"
    assert plain["scheduler"] == {"name": "linear", "T": 10, "beta_1": 1e-4, "beta_T": 0.02}
    assert decode(ModelConfig, plain) == config
    assert decode(FakeDenoiserConfig, plain) == config


def test_another_name_of_a_class_is_its_defaults() -> None:
    assert decode(Sampler, {"name": "ddim"}) == Ancestral(eta=0.0)
    assert decode(Sampler, {"name": "ddim", "eta": 0.5}) == Ancestral(eta=0.5)
    assert encode(Ancestral(eta=0.0))["name"] == "ancestral"


TAGS = {
    "unregistered": (
        {"name": "fake-denoiser", "scheduler": {"name": "cosin"}},
        "config.scheduler: unknown scheduler 'cosin' -- did you mean",
    ),
    "a module": ({"name": "fake-denoiser", "scheduler": {"name": "os:system"}}, "config.scheduler: unknown scheduler 'os:system'"),
    "no name": ({"name": "fake-denoiser", "scheduler": {"T": 3}}, 'config.scheduler must be an object with the "name" of a scheduler'),
    "a name that is none": ({"name": "fake-denoiser", "scheduler": {"name": 3}}, 'config.scheduler must be an object with the "name"'),
    "another kind of scheduler": ({"name": "fake-denoiser", "scheduler": {"name": "karras"}}, "'karras' is not a DiscreteScheduler"),
    "a value": ({"name": "fake-denoiser", "scheduler": {"name": "cosine", "T": 0}}, "config.scheduler.T must be in [1, 100000], not 0"),
    "a key": ({"name": "fake-denoiser", "scheduler": {"name": "cosine", "beta_1": 0}}, "config.scheduler: unknown key 'beta_1'"),
    "an order": ({"name": "fake-denoiser", "scheduler": {"name": "linear", "beta_1": 0.5}}, "config.scheduler.beta_1 must not exceed"),
}


@pytest.mark.parametrize("case", TAGS)
def test_a_tagged_part_that_does_not_fit_is_refused(case: str) -> None:
    data, message = TAGS[case]
    with pytest.raises(ConfigError) as caught:
        decode(ModelConfig, data)
    assert message in str(caught.value)


def test_a_family_that_nobody_registered_is_an_unknown_name() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown family 'os\.system'"):
        decode(ModelConfig, {"name": "os.system"})


def test_another_family_than_the_one_expected_is_refused() -> None:
    with pytest.raises(ConfigError, match="family 'fake' is not a FakeDenoiserConfig"):
        decode(FakeDenoiserConfig, {"name": "fake"})


def test_a_tagged_part_of_a_broken_plugin_is_a_plugin_error(tmp_path: Path) -> None:
    source = "from zoo_core.hookspecs import hookimpl\nfrom zoo_core.specs import *\n@hookimpl\ndef zoo_specs():\n"
    write_plugin(tmp_path, "zoo-gone", source + "    return [SchedulerSpec(name='gone', target='nothing_like_that:Gone')]\n")
    with installed(tmp_path, names=["zoo-gone"]), pytest.raises(PluginLoadError, match="nothing_like_that"):
        decode(Scheduler, {"name": "gone"})


def test_a_part_whose_class_is_not_registered_cannot_be_written() -> None:
    @dataclass(frozen=True)
    class Mine(Karras):
        pass

    with pytest.raises(UnknownNameError, match="not registered as a scheduler"):
        encode(Mine())


# Overrides


def overridden(*texts: str) -> dict[str, Any]:
    return apply_overrides(NOISE.to_dict(), texts)


def test_an_override_reads_json_and_takes_the_rest_as_text() -> None:
    changed = overridden(
        "fit.steps=7", "fit.clip_norm=null", "data.shape=[3,4,4]", "fit.precision=bf16", "data.note=a=b", "sampler.clip=false"
    )
    assert (changed["fit"]["steps"], changed["fit"]["clip_norm"], changed["data"]["shape"]) == (7, None, [3, 4, 4])
    assert (changed["fit"]["precision"], changed["data"]["note"], changed["sampler"]["clip"]) == ("bf16", "a=b", False)


def test_an_override_leaves_its_input_alone() -> None:
    before = NOISE.to_dict()
    apply_overrides(before, ["fit.optimizer.lr=7", "model.scheduler=linear"])
    assert before == NOISE.to_dict()


def test_another_tagged_part_comes_with_its_own_defaults() -> None:
    for text in ("model.scheduler=linear", "model.scheduler.name=linear"):
        assert overridden(text)["model"]["scheduler"] == {"name": "linear"}
        assert Recipe.from_dict(overridden(text, "model.scheduler.T=9")).model == FakeDenoiserConfig(scheduler=Linear(T=9))


def test_the_same_tagged_part_keeps_its_options() -> None:
    assert overridden("model.scheduler.name=cosine")["model"]["scheduler"] == encode(Cosine(T=50))
    assert overridden("model.scheduler=cosine")["model"]["scheduler"] == encode(Cosine(T=50))


def test_a_part_that_was_null_takes_its_name_and_then_its_options() -> None:
    with fake_zoo():
        changed = apply_overrides({"scheduler": None}, ["scheduler=karras", "scheduler.sigma_max=80"])
    assert changed == {"scheduler": {"name": "karras", "sigma_max": 80}}


def test_a_name_alone_is_a_tagged_part_with_its_defaults() -> None:
    with fake_zoo():
        assert decode(Scheduler, "karras") == Karras()
        assert decode(FakeDenoiserConfig, {"name": "fake-denoiser", "scheduler": "cosine"}).scheduler == Cosine()
        with pytest.raises(ConfigError, match="did you mean karras"):
            decode(Scheduler, "karas")


def test_an_option_of_a_part_of_another_part_starts_from_its_default() -> None:
    other = {"model": {"name": "fake"}}
    expected = {"name": "fake-denoiser", "scheduler": {"name": "cosine", "T": 9, "s": 0.008}}
    assert apply_overrides(other, ["model=fake-denoiser", "model.scheduler.T=9"])["model"] == expected
    changed = apply_overrides(other, ["model=fake-denoiser", "model.scheduler=linear", "model.scheduler.T=9"])
    assert changed["model"] == {"name": "fake-denoiser", "scheduler": {"name": "linear", "T": 9}}
    assert apply_overrides(other, ["model=fake-denoiser", "model.mean=2"])["model"] == {"name": "fake-denoiser", "mean": 2}


@pytest.mark.parametrize("text", ["fit.optimizer.name=sgd", "fit.optimizer=sgd"])
def test_another_optimizer_keeps_its_learning_rate(text: str) -> None:
    assert overridden("fit.optimizer.lr=7", text)["fit"]["optimizer"] == {"name": "sgd", "lr": 7, "weight_decay": 0.0, "options": {}}


def test_an_override_within_what_is_null_makes_it() -> None:
    assert overridden("fit.ema=null", "fit.ema.decay=0.5")["fit"]["ema"] == {"decay": 0.5}
    assert overridden("data=null", "data.name=folder", "data.path=x")["data"] == {"name": "folder", "path": "x"}


@pytest.mark.parametrize("text", ["fit.steps", "=3", ".steps=3", "fit..steps=3", ""])
def test_an_override_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="key=value"):
        overridden(text)


def test_an_override_through_a_number_is_refused() -> None:
    with pytest.raises(ConfigError, match="steps is not an object"):
        overridden("fit.steps.x=3")


def test_an_override_is_checked_when_it_is_decoded() -> None:
    for text, message in {"fit.stesp=3": "did you mean steps", "fit.steps=x": "recipe.fit.steps must be a whole number"}.items():
        with pytest.raises(ConfigError, match=message):
            Recipe.from_dict(overridden(text))
    with pytest.raises(ConfigError, match="finite"):
        Recipe.from_dict(overridden("fit.optimizer.lr=NaN"))


# Files


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(dump_json(TINY.to_dict()))
    assert Recipe.from_dict(load_json(path)) == TINY
    assert path.read_bytes().endswith(b"}\n")


def test_nan_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dump_json({"a": math.nan})


@pytest.mark.parametrize(
    ("raw", "why"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b"[1]", "must hold a JSON object"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "duplicate key 'c'"),
        (b'{"a": "\xff"}', "not valid JSON"),
        (b'{"a":' * 100_000, "not valid JSON"),
        (b'{"a": ' + b"9" * 5000 + b"}", "not valid JSON"),
        (b" " * (8 << 20) + b"{}", "larger than 8 MiB"),
    ],
)
def test_json_that_is_no_object_or_not_plain_is_refused(raw: bytes, why: str, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(raw)
    for refused in (lambda: parse_json(raw, str(path)), lambda: load_json(path)):
        with pytest.raises(ConfigError, match=why) as caught:
            refused()
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_million_keys_of_which_the_last_comes_twice_are_refused_at_once() -> None:
    raw = json.dumps(dict.fromkeys(map(str, range(200_000)), 0))[:-1] + ', "199999": 1}'
    started = time.perf_counter()
    with pytest.raises(ConfigError, match="duplicate key '199999'"):
        parse_json(raw.encode(), "config.json")
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("name", ["missing.json", "."])
def test_a_file_that_cannot_be_read_is_a_config_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read"):
        load_json(tmp_path / name)


# Any value at all

FINITE = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8) | st.sampled_from(["name", "fit", "model"]), inner, max_size=4)
    ),
    max_leaves=10,
)
SCHEDULERS = st.builds(Cosine, T=st.integers(1, 2000), s=st.floats(0, 1)) | st.builds(
    Linear, T=st.integers(1, 100), beta_1=st.floats(1e-12, 0.01), beta_T=st.floats(0.01, 0.1)
)
SAMPLERS = st.builds(Ancestral, steps=st.integers(1, 10_000), eta=st.floats(0, 1), clip=st.booleans()) | st.builds(
    Latent, temperature=st.floats(0, 100)
)
PLAIN = st.none() | st.booleans() | st.integers() | FINITE | st.text() | st.lists(FINITE)
OPTIMIZERS = st.builds(
    OptimizerConfig, name=st.text(), lr=st.floats(0, 100), weight_decay=st.floats(0, 100), options=st.dictionaries(st.text(), PLAIN)
)
FITS = st.builds(
    FitConfig,
    steps=st.integers(1, 10**9),
    optimizer=OPTIMIZERS,
    optimizers=st.dictionaries(st.text(), OPTIMIZERS, max_size=2),
    clip_norm=st.none() | st.floats(1e-12, 1e12),
    ema=st.none() | st.builds(EMAConfig, decay=st.floats(0, 1), warmup=st.booleans()),
    seed=st.integers(0, 2**64 - 1),
)
MODELS = st.builds(
    FakeConfig, shape=st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple), classes=st.integers(0, 1000)
) | st.builds(FakeDenoiserConfig, mean=st.floats(-10, 10), scheduler=SCHEDULERS)
RECIPES = st.builds(
    Recipe,
    model=MODELS,
    trainer=st.sampled_from([TINY.trainer, NOISE.trainer]),
    fit=FITS,
    data=st.sampled_from([None, TINY.data, IMAGES.data]),
    sampler=st.none() | SAMPLERS,
)


@settings(max_examples=50)
@given(RECIPES)
def test_any_recipe_comes_back_from_json_as_it_was(recipe: Recipe) -> None:
    assert Recipe.from_dict(parse_json(dump_json(recipe.to_dict()).encode(), "recipe.json")) == recipe


@settings(max_examples=100)
@given(JSON, st.sampled_from([Recipe, Outer, ModelConfig, Sampler, FitConfig]))
def test_any_json_is_a_config_or_an_error_of_ours(data: object, cls: type) -> None:
    with suppress(ConfigError, UnknownNameError):
        assert isinstance(decode(cls, data), cls)


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(node, dict | list):
        for key, item in node.items() if isinstance(node, dict) else enumerate(node):
            yield (*path, key)
            yield from places(item, (*path, key))


with fake_zoo():
    PLAIN_NOISE = dump_json(NOISE.to_dict())


@settings(max_examples=300)
@given(st.sampled_from(list(places(json.loads(PLAIN_NOISE)))), JSON)
def test_a_recipe_with_anything_in_one_place_is_a_recipe_or_an_error_of_ours(path: tuple[Any, ...], value: object) -> None:
    node = data = json.loads(PLAIN_NOISE)
    for key in path[:-1]:
        node = node[key]
    node[path[-1]] = value
    with suppress(ConfigError, UnknownNameError):
        recipe = Recipe.from_dict(data)
        assert Recipe.from_dict(json.loads(dump_json(recipe.to_dict()))) == recipe


@settings(max_examples=100)
@given(st.lists(st.text() | st.from_regex(r"[a-z.]{1,9}=.{0,5}"), max_size=3))
def test_any_overrides_give_json_or_an_error_of_ours(texts: list[str]) -> None:
    with suppress(ConfigError):
        assert isinstance(overridden(*texts), dict)


@pytest.mark.parametrize("number", ["NaN", "-Infinity", "1e999"])
def test_json_holds_finite_numbers_alone(number: str) -> None:
    with pytest.raises(ConfigError, match=f"x.json is not valid JSON: {number} is not a number"):
        parse_json(f'{{"a": [{number}]}}'.encode(), "x.json")
