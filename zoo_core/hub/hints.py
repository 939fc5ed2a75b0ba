"""Better hints of errors, for references that may have meant a folder."""

import os

from zoo_core.errors import ZooError
from zoo_core.registry import Reference

__all__ = ["hinted"]


def hinted(reference: Reference, error: ZooError) -> ZooError:
    """Returns the error, with a better hint if a folder may have been meant."""
    text = str(reference)
    if os.path.isdir(text):
        near = f"{error.hint} " if error.hint.startswith("did you mean") else ""
        return type(error)(error.what, f"{near}the folder {text} here holds no checkpoint")
    parent, _, last = text.rpartition("/")
    if parent and reference.revision is None and os.path.isdir(parent):
        from difflib import get_close_matches

        close = get_close_matches(last, os.listdir(parent), n=1)
        return type(error)(error.what, f"there is no folder {text} here" + (f": did you mean {parent}/{close[0]}?" if close else ""))
    return error
