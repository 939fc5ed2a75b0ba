"""The pytest fixture ``hub``."""

import os
import warnings
from collections.abc import Iterator
from importlib.util import module_from_spec, spec_from_file_location

import pytest

from zoo_core.testing.hub.loopback import LoopbackHub, loopback_hub

__all__ = ["hub"]

_SETTINGS = ("HF_", "HUGGINGFACE_", "TRANSFORMERS_OFFLINE")


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Iterator[LoopbackHub]:
    """A new Hub for each test, used by every client that the test starts.

    A subprocess finds it by its environment. huggingface_hub reads most of that environment at its import, so the fixture also evaluates
    its module of constants under the new environment, and sets these values during the test: those of a new process. Pass ``endpoint=``,
    ``token=`` and ``cache_dir=`` if a test is about them.
    """
    import huggingface_hub  # before the environment changes: its constants must not outlive the test
    import huggingface_hub.hf_api

    with loopback_hub() as running:
        for name in [name for name in os.environ if name.startswith(_SETTINGS)]:
            monkeypatch.delenv(name)
        for name, value in running.environment(tmp_path_factory.mktemp("hf_home")).items():
            monkeypatch.setenv(name, value)
        _reread_constants(monkeypatch)
        monkeypatch.setattr(huggingface_hub.hf_api.api, "endpoint", running.endpoint)
        huggingface_hub.close_session()  # a session may hold the proxies of another environment
        with warnings.catch_warnings():
            # The client uploads LFS files in a way that its own HTTP library calls deprecated.
            warnings.filterwarnings("ignore", "Use 'content=", DeprecationWarning)
            yield running
        huggingface_hub.close_session()


def _reread_constants(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sets huggingface_hub's constants to the values of an import under the present environment."""
    from huggingface_hub import constants

    spec = spec_from_file_location("huggingface_hub._constants_anew", constants.__file__)
    assert spec is not None and spec.loader is not None
    fresh = module_from_spec(spec)
    spec.loader.exec_module(fresh)
    for name, value in vars(fresh).items():
        if name.isupper() and getattr(constants, name) != value:
            monkeypatch.setattr(constants, name, value)
