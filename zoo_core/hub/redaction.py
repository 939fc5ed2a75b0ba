"""Access tokens known to this process, so that output can redact them. No request is made."""

import os
import sys
from pathlib import Path

__all__ = ["TOKEN_VARIABLES", "access_tokens"]

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def access_tokens(least: int) -> tuple[str, ...]:
    """The tokens in the environment, and the one of ``hf auth login``.

    The client's own ``get_token`` may renew a login over the network, which neither an error message nor a dry run
    should do.

    Args:
        least: smallest length; shorter strings are not taken for tokens.
    """
    tokens = (*(os.environ.get(name, "") for name in TOKEN_VARIABLES), _stored_token())
    return tuple(dict.fromkeys(token.strip() for token in tokens if len(token.strip()) >= least))


def _stored_token() -> str:
    try:
        return Path(os.path.expandvars(_token_path())).expanduser().read_text()
    except (OSError, RuntimeError, ValueError):
        return ""


def _token_path() -> str:
    """The file of a login. The client reads it from the environment at its import, which would be too slow here."""
    if client := sys.modules.get("huggingface_hub.constants"):
        return str(client.HF_TOKEN_PATH)
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
