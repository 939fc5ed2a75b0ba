"""Input from outside gives a valid object or a ZooError, in bounded time and memory."""

import json
import re
import struct
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo_core import cards
from zoo_core.cards import named_plugin
from zoo_core.checkpoint.config import CheckpointConfig
from zoo_core.checkpoint.files import check_name, is_data
from zoo_core.checkpoint.safetensors import read_header
from zoo_core.config import decode, parse_json
from zoo_core.errors import UnsafeContentError, ZooError
from zoo_core.hub import repository as repositories
from zoo_core.hub import search as searching
from zoo_core.hub.cache import COMMIT, OID, RepoCache, cache_folder
from zoo_core.registry import parse_reference
from zoo_core.testing import fake_zoo

_SECONDS, _BYTES = 5.0, 64 << 20

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
keys = st.text(max_size=12) | st.sampled_from(["format", "weights_version", "model", "sampler", "name", "scheduler", "mean", "__class__"])
names = st.sampled_from(["fake", "fake-denoiser", "ancestral", "cosine", "os.system", "zoo-fake:fake", "../x"])
values = st.recursive(scalars | names, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=20)


def bounded(use: Callable[[], Any]) -> Any:
    """What ``use`` gives, or None for a ZooError; anything else, and whatever takes too long or too much, fails the test."""
    tracemalloc.start()
    try:
        found = in_time(use)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < _BYTES
    return found


def in_time(use: Callable[[], Any]) -> Any:
    started = time.process_time()
    try:
        found = use()
    except ZooError:
        found = None
    assert time.process_time() - started < _SECONDS
    return found


references = st.text() | st.from_regex(r"[a-zA-Z0-9:/@._~\-\0]{0,60}") | st.from_regex(r"[a-z.-]{1,9}/[a-z.-]{1,9}@[a-z/.-]{1,20}")


@given(
    references
    | st.builds(lambda piece, count: piece * count, st.sampled_from(["a/", "a@", "-", "a-/b", "./", "@a/"]), st.integers(0, 20_000))
)
def test_a_reference_to_the_hub_stays_within_the_cache(text: str) -> None:
    reference = bounded(lambda: parse_reference(text))
    if reference is None or reference.kind != "hub":
        return
    cache = RepoCache(reference.name, cache_folder())
    assert cache.folder.parent == cache.root
    assert cache.folder.name.count("--") == 2
    ref = cache.folder / "refs" / (reference.revision or "main")
    assert ref.resolve().is_relative_to(cache.folder.resolve() / "refs")
    assert ref != cache.folder / "refs"


@given(st.text() | st.from_regex(r"[0-9a-fA-F./\n]{38,66}"))
def test_an_id_is_hexadecimal_digits_and_nothing_else(text: str) -> None:
    for pattern in (COMMIT, OID):
        if pattern.fullmatch(text):
            assert not set(text) - set("0123456789abcdef")
            assert len(text) in (40, 64)


@given(st.text() | st.from_regex(r"[a-zA-Z0-9./_\-\\\0 ]{0,40}"))
def test_a_name_of_a_file_stays_in_its_folder(text: str) -> None:
    try:
        check_name(text)
    except UnsafeContentError:
        assert not is_data(text)
        return
    root = Path("/root/folder")
    assert (root / text).resolve().is_relative_to(root)
    assert not any(part.startswith(".") for part in text.split("/"))


siblings = st.fixed_dictionaries(
    {"rfilename": st.sampled_from(["config.json", "model.safetensors", "run.py"]) | st.text(max_size=20) | scalars},
    optional={
        "size": st.integers() | scalars,
        "blobId": st.from_regex(r"[0-9a-f]{40}", fullmatch=True) | scalars,
        "lfs": st.fixed_dictionaries({}, optional={"sha256": st.from_regex(r"[0-9a-f]{64}\n?", fullmatch=True) | values, "size": values})
        | values,
    },
)
descriptions = st.fixed_dictionaries(
    {},
    optional={
        "sha": st.from_regex(r"[0-9a-f]{40}\n?", fullmatch=True) | scalars,
        "siblings": st.lists(siblings | values, max_size=5) | values,
    },
)


@given(descriptions | values)
def test_a_description_of_a_repository_gives_checked_ids_or_an_error(data: object) -> None:
    with mock.patch.object(repositories, "get_json", return_value=data):
        found = bounded(lambda: repositories.Repository("a/b").listing("main", is_data))
    if found is None:
        return
    assert COMMIT.fullmatch(found.commit)
    for name, file in found.files.items():
        check_name(name)
        assert OID.fullmatch(file.oid)
        assert file.size >= 0
    assert all(name.isprintable() for name in found.skipped)


@given(st.lists(st.dictionaries(st.sampled_from(["id", "sha", "tags", "cardData", "lastModified", "zoo"]), values), max_size=4) | values)
def test_what_a_search_finds_is_words(data: object) -> None:
    with mock.patch.object(searching, "get_json", return_value=data):
        for model in bounded(lambda: searching.search(families=["fake"])) or ():
            words = (model.repo, model.commit, model.family, model.plugin, model.license, model.updated)
            assert all(re.fullmatch(r"[A-Za-z0-9._:/+-]*", word) for word in words)


@given(values)
def test_what_a_card_says_of_a_plugin_is_a_name_or_nothing(data: object) -> None:
    for word in named_plugin({"zoo": data}) + named_plugin(data):
        assert re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{0,63})?", word)


configs = st.fixed_dictionaries(
    {"format": st.just(1) | values, "weights_version": st.just(1) | values},
    optional={"model": st.dictionaries(keys, values, max_size=3).map(lambda part: {"name": "fake", **part}) | values, "sampler": values},
)


@given(configs | values)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_values_are_a_config_or_a_zoo_error(data: object) -> None:
    with fake_zoo():
        found = bounded(lambda: decode(CheckpointConfig, data))
    assert found is None or isinstance(found, CheckpointConfig)


@given(
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | values.map(lambda data: json.dumps(data).encode())
)
def test_any_bytes_are_a_json_object_or_a_zoo_error(raw: bytes) -> None:
    found = bounded(lambda: parse_json(raw, "x.json"))
    assert found is None or isinstance(found, dict)


yaml_text = st.text(max_size=200) | st.from_regex(r"([a-z]{1,3}: [\[\]{}&*!|>'\"a-z0-9:.\-]{0,12}\n){0,6}", fullmatch=True)


@given(st.binary(max_size=200) | st.text(max_size=200) | yaml_text.map(lambda text: f"---\n{text}\n---\nbody"))
def test_any_text_is_a_card_or_a_zoo_error(text: str | bytes) -> None:
    card = bounded(lambda: cards.parse(text))
    if card is not None:
        assert isinstance(card.metadata, dict)
        assert card.summary is not None


entries = st.fixed_dictionaries(
    {"dtype": st.sampled_from(["F32", "BOOL", "F8"]) | values, "shape": st.lists(st.integers(0, 9), max_size=3) | values},
    optional={"data_offsets": st.lists(st.integers(0, 64), min_size=2, max_size=2) | values},
)
headers = st.dictionaries(st.text(max_size=8) | st.just("__metadata__"), entries | values, max_size=4).map(
    lambda data: json.dumps(data).encode()
)


@given(headers | st.binary(max_size=100), st.integers(-3, 3) | st.integers(0, 2**64 - 1), st.binary(max_size=64))
def test_any_bytes_are_weights_or_a_zoo_error(header: bytes, off: int, body: bytes) -> None:
    data = struct.pack("<Q", max(0, len(header) + off) % 2**64) + header + body
    tensors = bounded(lambda: read_header(data, len(data)))
    for info in (tensors or {}).values():
        assert 8 <= info.begin <= info.end <= len(data)


@pytest.mark.parametrize(
    "card",
    [
        b"---\n" + b"[" * 60_000 + b"\n---\n",
        b"---\na: " + b"{" * 30_000 + b"\n---\n",
        b"---\n" + b"- " * 30_000 + b"\n---\n",
        b"---\n" * 10_000,
    ],
    ids=["brackets", "braces", "dashes", "lines"],
)
def test_a_card_made_to_take_for_ever_does_not(card: bytes) -> None:
    in_time(lambda: cards.parse(card))
