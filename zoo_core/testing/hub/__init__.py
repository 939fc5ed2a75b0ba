"""A Hugging Face Hub on the loopback interface, for tests: the real client talks to it, and nothing in that client is replaced.

    pytest_plugins = ["zoo_core.testing.hub"]          # or: from zoo_core.testing.hub import hub

    def test_pull(hub):
        hub.add_repo("zoo/cats", {"config.json": b"{}", "model.safetensors": weights})
        path = hf_hub_download("zoo/cats", "model.safetensors")
        with hub.fault("GET .*/model.safetensors", flip=100):
            ...
        assert [str(request) for request in hub.requests] == [...]

``with loopback_hub() as hub:`` is the same without pytest's environment; ``hub.environment(folder)`` is the environment of a subprocess.

It serves what publishing and pulling models needs: repositories, accounts, commits with a stale-parent conflict, LFS uploads, tags,
history, trees in pages, model infos, lists, downloads with ranges and redirects. Git ids of files and sha256 of large files are the real
ones; commit ids are its own. There are three callers: the owner, a visitor and the anonymous. A private repository is 401 to the
anonymous and 404 to the visitor, with the code RepoNotFound in both cases; files of a gated one are 401 and 403 with the code GatedRepo.

A data set is a repository named ``datasets/OWNER/NAME``. It does not serve Spaces, branches, pull requests, multi-part uploads, Xet, and
``list_models`` only by filter, search, author, sort and limit. A client with ``hf_xet`` does not ask the server whether it serves Xet: it
fetches a Xet token for every upload of a large file given as a path or as bytes, and raises the builtin ConnectionError without one. Set
``HF_HUB_DISABLE_XET=1``, as the fixture does, or pass an open file, which takes the LFS path. Downloads need neither: they use Xet only if
the answer offers it.

The client repeats most requests, up to five times over about 23 seconds, after 408, 429, 500, 502, 503, 504, a lost connection or a
timeout: a fault that should fail a test quickly has ``times=1`` or another status, such as 507. Repository infos, commits, tags and
``get_hf_file_metadata`` are asked once. The HEAD of a download is asked once if the file is in the cache; otherwise it is repeated, with a
timeout of 60 seconds each for any ``etag_timeout``. A download that ended early resumes after a second; a reset one does not.

PYTEST_DONT_REWRITE: tests import this module, and pytest loads it as a plugin, in either order.
"""

from zoo_core.testing.hub.faults import Fault, Request
from zoo_core.testing.hub.fixture import hub
from zoo_core.testing.hub.loopback import LoopbackHub, loopback_hub
from zoo_core.testing.hub.store import Blob, Commit, Repo

__all__ = ["Blob", "Commit", "Fault", "LoopbackHub", "Repo", "Request", "hub", "loopback_hub"]
