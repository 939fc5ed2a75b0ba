"""Names of repositories that are nearly those of pinned ones."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoo_core.hub.fetch import fetch
from zoo_core.hub.listing_checks import is_near
from zoo_core.specs import CheckpointSpec
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, Contents

pytest_plugins = ["zoo_core.testing.hub"]
NAMES = st.text("abcdef-/", min_size=2, max_size=12)


def distance(a: str, b: str) -> int:
    """The edit distance with exchanges of neighbours (Damerau 1964), longhand."""
    rows = [[i + j if i * j == 0 else 0 for j in range(len(b) + 1)] for i in range(len(a) + 1)]
    for i in range(1, len(a) + 1):
        for j in range(1, len(b) + 1):
            rows[i][j] = min(rows[i - 1][j] + 1, rows[i][j - 1] + 1, rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]))
            if i > 1 and j > 1 and a[i - 1] == b[j - 2] and a[i - 2] == b[j - 1]:
                rows[i][j] = min(rows[i][j], rows[i - 2][j - 2] + 1)
    return rows[-1][-1]


@given(NAMES, NAMES)
def test_near_means_at_most_one_edit(name: str, other: str) -> None:
    assert is_near(name, other) == (distance(name, other) <= 1)


@given(NAMES, st.integers(0, 11), st.sampled_from("abcdef"), st.booleans())
def test_every_single_edit_is_near(name: str, place: int, letter: str, insert: bool) -> None:
    place %= len(name)
    assert is_near(name[:place] + letter + name[place + (not insert) :], name)


@pytest.mark.parametrize("name", ["zoo/Cats", "zo0/cats", "z0o/cats", "zoo/cat5", "zoo/casts", "zoo/ctas", "zoo/cat", "zoo/cts", "oo/cats"])
def test_what_looks_like_a_name_is_near(name: str) -> None:
    assert is_near(name, "zoo/cats")


@pytest.mark.parametrize(("repo", "warned"), [("zoo/cat", True), ("zo0/cats", True), ("zoo/lions", False)])
def test_the_first_fetch_of_a_near_name_is_warned_of(
    hub: LoopbackHub, pinned: CheckpointSpec, cats: Contents, repo: str, warned: bool, caplog: pytest.LogCaptureFixture
) -> None:
    hub.add_repo(repo, cats)
    fetch(repo)
    assert (f"{repo} is nearly {CATS}, which an installed package pins" in caplog.text) == warned
    caplog.clear()
    fetch(repo)
    assert caplog.text == ""
