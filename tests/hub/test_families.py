"""A family that is not installed is named with its plugin, and a search shows words that are well formed."""

import json

import pytest

import zoo_core
from zoo_core.cards import named_plugin
from zoo_core.errors import (
    HubError,
    UnknownNameError,
)
from zoo_core.hub.fetch import pull
from zoo_core.hub.search import search
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, Contents, other_family

pytest_plugins = ["zoo_core.testing.hub"]


def test_a_family_that_is_not_installed_is_named_with_the_plugin_that_the_card_names(hub: LoopbackHub, cats: Contents) -> None:
    hub.add_repo(CATS, other_family(cats))
    pull(CATS)
    for use in (zoo_core.load, zoo_core.info):
        with pytest.raises(UnknownNameError, match=r"unknown family 'os\.system' -- its card \(unverified\) says: pip install zoo-wgan"):
            use(CATS)


@pytest.mark.parametrize(
    "plugin", ["zoo; rm -rf /", "--index-url=http://evil", "a" * 65, "zoo\x1b[31m", 7, ["zoo"], "", "git+https://x/y", "../x"]
)
def test_a_plugin_that_is_no_name_is_not_repeated(hub: LoopbackHub, cats: Contents, plugin: object) -> None:
    hub.add_repo(CATS, other_family(cats, plugin))
    with pytest.raises(UnknownNameError) as caught:
        zoo_core.info(CATS)
    assert "pip install" not in str(caught.value)
    assert named_plugin({"zoo": {"plugin": plugin}}) == ("", "")


def test_a_search_tells_family_and_plugin(hub: LoopbackHub, cats: Contents, commit: str) -> None:
    hub.add_repo("zoo/dogs", other_family(cats))
    hub.add_repo("evil/names", {}, tags=["zoo-core"])
    hub.add_repo("zoo/else", {}, tags=["other"])
    results = {
        model.repo: (model.commit == hub.repos[model.repo].head.id, model.family, model.plugin) for model in search(families=["fake"])
    }
    assert results == {
        "zoo/dogs": (True, "os.system", "zoo-wgan"),
        CATS: (True, "fake", ""),
        "evil/names": (True, "", ""),
    }
    assert [model.repo for model in search("DOG")] == ["zoo/dogs"]
    assert [model.repo for model in search(author="evil")] == ["evil/names"]
    assert len(search(limit=1)) == 1


def test_a_hostile_search_is_shown_as_far_as_it_is_well_formed(hub: LoopbackHub, commit: str) -> None:
    models = [
        7,
        {"id": "\x1b[2J/x"},
        {"id": "a/b", "tags": 3, "cardData": [], "sha": "..", "lastModified": {}},
        {"id": "a/c", "tags": [[]]},
    ]
    with hub.fault("GET /api/models", rewrite=lambda _: json.dumps(models).encode()):
        assert [(model.repo, model.commit, model.family) for model in search()] == [("a/b", "", ""), ("a/c", "", "")]
    for body in (b"{}", b"3", b"", b"[" * 10_000):
        with hub.fault("GET /api/models", rewrite=lambda _, body=body: body), pytest.raises(HubError):
            search()
