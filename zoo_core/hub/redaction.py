"""The access tokens of this process, for what must show or send none of them. Nothing is asked of the network to know them."""

import os
import sys
from pathlib import Path

__all__ = ["TOKEN_VARIABLES", "access_tokens"]

TOKEN_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


def access_tokens(least: int) -> tuple[str, ...]:
    """The tokens of the environment, and that of `hf auth login`, as far as they have ``least`` characters.

    The client's own ``get_token`` may renew a login over the network, which neither an error message nor a dry run should do.
    """
    found = (*(os.environ.get(name, "") for name in TOKEN_VARIABLES), _stored())
    return tuple(dict.fromkeys(token.strip() for token in found if len(token.strip()) >= least))


def _stored() -> str:
    try:
        return Path(os.path.expandvars(_login())).expanduser().read_text()
    except (OSError, RuntimeError, ValueError):
        return ""


def _login() -> str:
    """Where the client keeps a login; it reads that from the environment when it is imported, which is too slow to do here."""
    if client := sys.modules.get("huggingface_hub.constants"):
        return str(client.HF_TOKEN_PATH)
    home = os.environ.get("HF_HOME") or os.path.join(os.environ.get("XDG_CACHE_HOME") or "~/.cache", "huggingface")
    return os.environ.get("HF_TOKEN_PATH") or os.path.join(home, "token")
