"""Specs: small frozen records, and the pins of a package's checkpoints."""

import dataclasses
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from zoo_core import specs
from zoo_core.errors import PluginLoadError
from zoo_core.specs import KINDS, CheckpointSpec, Hub, ModelSpec, Pin, RecipeSpec, SamplerSpec, Spec, checkpoints


@pytest.mark.parametrize("cls", KINDS.values())
def test_a_spec_is_frozen_slotted_keyword_only_and_needs_no_more_than_its_name(cls: type[Spec]) -> None:
    spec = cls(name="it")
    assert all(item.kw_only for item in dataclasses.fields(cls))
    assert not hasattr(spec, "__dict__")
    with pytest.raises(dataclasses.FrozenInstanceError):
        spec.name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("cls", KINDS.values())
def test_equal_specs_have_equal_hashes(cls: type[Spec]) -> None:
    assert hash(cls(name="it")) == hash(cls(name="it"))


def test_a_spec_with_mappings_is_hashable() -> None:
    assert hash(SamplerSpec(name="ddim", defaults={"eta": 0.0})) == hash(SamplerSpec(name="ddim", defaults={"eta": 0.0}))
    assert hash(CheckpointSpec(name="it", files={"a": Pin(sha256="0", size=1)}))


def test_kinds_are_unique_and_every_spec_has_one() -> None:
    public = [getattr(specs, name) for name in specs.__all__]
    assert set(KINDS.values()) == {cls for cls in public if isinstance(cls, type) and issubclass(cls, Spec) and cls is not Spec}
    assert all(kind == cls.kind for kind, cls in KINDS.items())


def test_capabilities_become_a_frozen_set() -> None:
    capabilities = ModelSpec(name="it", capabilities={"decode"}).capabilities  # type: ignore[arg-type]
    assert (type(capabilities), capabilities) == (frozenset, {"decode"})


def test_capabilities_in_one_string_are_refused_and_not_taken_for_letters() -> None:
    with pytest.raises(TypeError, match="set of names"):
        ModelSpec(name="it", capabilities="decode")  # type: ignore[arg-type]


def test_a_recipe_is_filed_under_its_family() -> None:
    assert RecipeSpec(name="tiny", family="fake").key == "fake/tiny"
    assert ModelSpec(name="fake").key == "fake"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An imported package without pins."""
    module = ModuleType("zoo_pinned")
    module.__file__ = str(tmp_path / "__init__.py")
    monkeypatch.setitem(sys.modules, "zoo_pinned", module)
    return tmp_path


PINS = {
    "blobs": {
        "family": "fake",
        "summary": "three blobs",
        "license": "mit",
        "dataset": "fake-data",
        "files": {"config.json": {"sha256": "ab" * 32, "size": 12}},
        "hub": {"repo": "org/blobs", "commit": "c" * 40},
    }
}


def test_pins_of_a_package_are_read_back(package: Path) -> None:
    (package / "checkpoints.json").write_text(json.dumps(PINS))
    (spec,) = checkpoints("zoo_pinned")
    assert spec == CheckpointSpec(
        name="blobs",
        family="fake",
        summary="three blobs",
        license="mit",
        dataset="fake-data",
        folder=package / "model_cards" / "blobs",
        files={"config.json": Pin(sha256="ab" * 32, size=12)},
        hub=Hub(repo="org/blobs", commit="c" * 40),
    )


def test_a_checkpoint_that_was_never_published_has_no_hub(package: Path) -> None:
    (package / "checkpoints.json").write_text(json.dumps({"blobs": {**PINS["blobs"], "hub": None}}))
    assert checkpoints("zoo_pinned")[0].hub is None


@pytest.mark.parametrize(
    "text",
    [
        *(None, "", "[]", "{", '{"blobs": []}', '{"blobs": {}}', '{"blobs": {"family": "f", "files": {"a": {}}}}', "\xff"),
        *(
            json.dumps({"blobs": {**PINS["blobs"], "files": {"config.json": {"sha256": odd, "size": 12}}}})
            for odd in ("", "ab" * 20, "AB" * 32, "zz" * 32, "ab" * 33, "../x", 5, None, [])
        ),
        *(
            json.dumps({"blobs": {**PINS["blobs"], "files": {"config.json": {"sha256": "ab" * 32, "size": odd}}}})
            for odd in ("12", -1, 1.5)
        ),
        *(
            json.dumps({"blobs": {**PINS["blobs"], "hub": hub}})
            for hub in ({"repo": 5, "commit": "c"}, {"repo": "a/b", "commit": None}, "x")
        ),
    ],
)
def test_pins_that_are_not_what_the_zoo_writes_are_refused(package: Path, text: str | None) -> None:
    if text is not None:
        (package / "checkpoints.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(PluginLoadError, match=r"checkpoints\.json"):
        checkpoints("zoo_pinned")


def test_pins_of_a_package_that_is_not_imported_are_refused() -> None:
    with pytest.raises(PluginLoadError, match="not imported"):
        checkpoints("zoo_nowhere")


def test_pins_and_folders_may_be_written_plainly() -> None:
    spec = CheckpointSpec(name="cat", folder="/tmp", files={"a": ("x", 1)})  # type: ignore[arg-type,dict-item]  # as a plugin may write it
    assert spec.files == {"a": Pin(sha256="x", size=1)}
    assert spec.folder == Path("/tmp")
