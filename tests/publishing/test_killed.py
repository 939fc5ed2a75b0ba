"""A publisher that is killed leaves the old version or the complete new one."""

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from zoo_core.publishing import prepare
from zoo_core.testing import environment, write_fake_plugin
from zoo_core.testing.hub import LoopbackHub, Request
from zoo_core.testing.hub.faults import Match

from .helpers import CAT, OURS, files_of, weights

pytest_plugins = ["zoo_core.testing.hub"]
pytestmark = pytest.mark.usefixtures("fakes")


class Publisher:
    """A process that forks a publisher for each line of arguments, after a dry run of its own: so torch is imported once.

    A publisher is a process of its own, which is killed with SIGKILL.
    """

    SOURCE = """
import os, sys, json
import httpx2, huggingface_hub.hf_api, torch, yaml, zoo_core.pretrained, zoo_core.cli.publish
from zoo_core.cli import main
def publish(*args):
    try:
        main(["publish", *args])
    except SystemExit as ended:
        return ended.code
publish(*sys.argv[1:], "--dry-run")
for line in sys.stdin:
    child = os.fork()
    if not child:
        os._exit(publish(*json.loads(line)))
    print("forked", child, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

    def __init__(self, environ: Mapping[str, str], *args: object) -> None:
        command = [sys.executable, "-c", self.SOURCE, *map(str, args)]
        self.process = subprocess.Popen(command, env=dict(environ), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.child = 0

    def run(self, *args: object) -> int:
        """Publishes; returns the exit code, or minus the signal that ended it."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps([*map(str, args)]) + "\n")
        self.process.stdin.flush()
        self.child = self._told("forked")
        return self._told("ended")

    def _told(self, what: str) -> int:
        """The number after a word in the output, beside what the publishers print there."""
        assert self.process.stdout is not None
        return next(int(line.split()[1]) for line in self.process.stdout if line.startswith(what))

    def kill(self, request: Request) -> None:
        """Ends the running publisher at once."""
        os.kill(self.child, signal.SIGKILL)

    def close(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def publisher(hub: LoopbackHub, folder: Path, tmp_path: Path) -> Iterator[Publisher]:
    plugin = write_fake_plugin(tmp_path / "plugin")
    process = Publisher({**environment(plugin), **hub.environment(tmp_path / "home"), "ZOO_PLUGINS": "zoo-fake"}, folder, "--repo", CAT)
    yield process
    process.close()


def killed_at(match: Match, repo: str, after: bool, folder: Path, publisher: Publisher, hub: LoopbackHub) -> bool:
    """Kills a publisher at a request, before or after the Hub carries it out, and checks what is left; whether it came so far."""
    arguments = (folder, "--repo", repo, "--license", "mit", "--tag", "v1")
    there = repo in hub.repos
    old, commits = (files_of(hub, repo), len(hub.commits(repo))) if there else ({}, 1)
    new = prepare(str(folder), repo, license="mit").files
    with hub.fault(match, on_request=publisher.kill, reset=not after, times=1) as fault:
        assert publisher.run(*arguments) == (-signal.SIGKILL if fault.hits else 0)
    assert (files_of(hub, repo) if repo in hub.repos else {}) in (old, new)
    assert publisher.run(*arguments) == 0
    assert files_of(hub, repo) == new
    assert len(hub.commits(repo)) == commits + 1
    assert hub.repos[repo].refs == {"v1": hub.commits(repo)[0].id}
    return fault.hits > 0


def test_a_publisher_killed_at_its_commit_leaves_the_old_version_or_the_new(folder: Path, publisher: Publisher, hub: LoopbackHub) -> None:
    hub.add_repo(CAT, {})
    hub.commit(CAT, {"config.json": b"old", "LICENSE": b"old"}, OURS)
    assert killed_at("POST .*/commit/", CAT, False, folder, publisher, hub)
    assert killed_at("POST .*/commit/", "zoo/new", True, folder, publisher, hub)


@pytest.mark.slow
def test_a_publisher_killed_at_any_request_leaves_the_old_version_or_the_new(folder: Path, publisher: Publisher, hub: LoopbackHub) -> None:
    points = [(place, after, there) for place in range(17) for after in (False, True) for there in (False, True)]
    random.Random(0).shuffle(points)
    hits = 0
    for place, after, there in points:
        repo = f"zoo/cat-{place}-{after}-{there}"
        weights(lambda state, value=float(hits): state["shift"].fill_(value))(folder)  # type: ignore[misc]  # so that they are uploaded
        if there:
            hub.add_repo(repo, {})
            hub.commit(repo, {"config.json": b"old", "LICENSE": b"old"}, OURS)
        count = iter(range(100))
        hits += killed_at(lambda request, count=count, place=place: next(count) == place, repo, after, folder, publisher, hub)  # type: ignore[misc]
    assert hits >= 40
