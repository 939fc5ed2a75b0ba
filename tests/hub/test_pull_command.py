"""``zoo pull`` and ``zoo list --remote``: output, exit codes and the progress bar."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from zoo_core.hub.fetch import fetch
from zoo_core.testing.hub import LoopbackHub

from .helpers import CATS, WEIGHTS, Contents, changed, home, other_family, run

pytest_plugins = ["zoo_core.testing.hub"]


def test_the_command_line_pulls_lists_shows_and_says_where_from(hub: LoopbackHub, commit: str, cats: Contents, tmp_path: Path) -> None:
    hub.add_repo("zoo/dogs", other_family(cats))
    done = run("list", "--remote", "--json", site=tmp_path / "site")
    assert [(model["repo"], model["state"]) for model in json.loads(done.stdout)] == [
        ("zoo/dogs", "needs a plugin, by its card zoo-wgan"),
        (CATS, "pullable"),
    ]
    done = run("pull", CATS, "zoo/dogs", site=tmp_path / "site")
    assert done.returncode == 0, done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()] == [commit, hub.repos["zoo/dogs"].head.id]
    assert re.search(r"zoo/cats: 3 files, .*; from 127\.0\.0\.1:\d+, zoo/cats at", done.stderr)
    assert "zoo: warning: no installed plugin has its family 'os.system' -- its card (unverified) says: pip install zoo-wgan" in done.stderr
    assert re.search(r"^zoo/cats +fake +here ", run("list", "--remote", site=tmp_path / "site").stdout, re.MULTILINE)
    before = len(hub.requests)
    assert run("show", f"{CATS}@{commit}", site=tmp_path / "site").returncode == 0
    assert run("show", f"zoo/dogs@{hub.repos['zoo/dogs'].head.id}", site=tmp_path / "site").returncode == 9
    assert len(hub.requests) == before


EXITS: dict[str, tuple[int, dict[str, Any], dict[str, str]]] = {
    "a flipped byte": (5, {"match": f"GET .*/{WEIGHTS}", "flip": -1}, {}),
    "not found": (4, {"match": "GET /api/", "status": 404}, {}),
    "offline": (4, {"match": "nothing"}, {"HF_HUB_OFFLINE": "1"}),
    "plain http": (6, {"match": "nothing"}, {"HF_ENDPOINT": "http://example.org"}),
    "an evil commit": (7, {"match": "GET /api/", "rewrite": changed(sha="../../../evil")}, {}),
    "a cache that is a file": (8, {"match": "nothing"}, {"HF_HUB_CACHE": __file__}),
}


@pytest.mark.parametrize("case", EXITS)
def test_every_failure_of_a_pull_is_one_line_with_its_exit_code(hub: LoopbackHub, commit: str, case: str, tmp_path: Path) -> None:
    code, fault, variables = EXITS[case]
    with hub.fault(**fault):
        done = run("pull", CATS, site=tmp_path / "site", **variables)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert re.fullmatch(r"zoo: error: [^\n]{1,289}\n", done.stderr)
    assert hub.token not in done.stderr
    if "HF_ENDPOINT" in variables or "HF_HUB_OFFLINE" in variables:
        assert hub.requests == ()


def test_options_of_a_remote_list_need_remote(hub: LoopbackHub, tmp_path: Path) -> None:
    for args in (("list", "--search", "x"), ("list", "--limit", "3"), ("list", "families", "--remote")):
        assert run(*args, site=tmp_path / "site").returncode == 2
    assert "has none that match" in run("list", "--remote", "--search", "x", site=tmp_path / "site").stderr


def test_a_bar_is_drawn_on_a_terminal_alone(hub: LoopbackHub, commit: str, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    fetch(CATS)
    assert capsys.readouterr().err == ""
    monkeypatch.setenv("HF_HUB_CACHE", str(home() / "other"))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.delenv("HF_HUB_DISABLE_PROGRESS_BARS")
    fetch(CATS)
    assert "zoo/cats" in capsys.readouterr().err
