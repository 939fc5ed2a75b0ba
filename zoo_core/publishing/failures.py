"""Errors of publishing: errors of the Hub's client become the zoo's own, in one line that never holds the token."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from json import JSONDecodeError

from zoo_core.errors import CardError, GatedError, HubError, LoginError, NotFoundError, OfflineError, ZooError
from zoo_core.hub.client import host, login_hint
from zoo_core.publishing.options import option

__all__ = ["after_commit", "offline_error", "refused_card_error", "translate_error", "with_empty_repository"]


@contextmanager
def after_commit(commit: str, translate: Callable[[Exception], ZooError] | None = None) -> Iterator[None]:
    """Makes errors in the block say that the commit was made.

    Args:
        commit: id of the commit.
        translate: turns an error of the client into one of the zoo.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        ours = error if isinstance(error, ZooError) else translate(error) if translate else None
        if ours is None:
            raise
        ours.what = f"published as {commit}; {ours.what}"
        ours.hint = "; ".join(filter(None, [ours.hint, "another run makes no second commit, and finishes the rest"]))
        raise ours from ours.__cause__


@contextmanager
def with_empty_repository(repo: str, is_new: bool, translate: Callable[[Exception], ZooError]) -> Iterator[None]:
    """Makes errors in the block say that a new repository was created and is still empty.

    Args:
        repo: ``ORG/NAME``.
        is_new: whether it was created just now.
        translate: turns an error of the client into one of the zoo.
    """
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        ours = error if isinstance(error, ZooError) else translate(error)
        if not is_new or ours.what.startswith("published as"):
            raise
        ours.hint = "; ".join(filter(None, [ours.hint, f"{repo} was made and is still empty: another run fills it"]))
        raise ours from ours.__cause__


def translate_error(error: Exception, repo: str, token: str) -> ZooError:
    """The zoo's error for one of the client. It never holds the token, even if the server sent it back.

    Args:
        error: error of the client.
        repo: ``ORG/NAME``.
        token: the access token, which is redacted.
    """
    import httpx2
    from huggingface_hub import errors

    if isinstance(error, RuntimeError) and isinstance(error.__cause__, Exception):  # an upload in one of the client's threads
        error = error.__cause__
    why = _line(error, token)
    if isinstance(error, errors.OfflineModeIsEnabled):
        return offline_error()
    if isinstance(error, errors.GatedRepoError):
        return GatedError(f"{repo} is gated, and you may not see it", "ask its owner for access")
    if isinstance(error, errors.HfHubHTTPError):
        return _refused(error.response.status_code, repo, _line(error.server_message or "", token))
    if isinstance(error, httpx2.HTTPError | ConnectionError | TimeoutError):
        return HubError(f"the connection to the Hub failed: {why}", "run it again: it goes on from what has arrived")
    if isinstance(error, JSONDecodeError):
        hint = "is HF_ENDPOINT a Hugging Face Hub? A network may also show a page to log in first"
        return HubError(f"the answer of {host()} is not JSON", hint)
    if isinstance(error, PermissionError):
        return LoginError(f"cannot read {error.filename or 'the Hugging Face token'}: {error.strerror}", login_hint())
    if isinstance(error, ValueError) and "README.md" in why:
        return refused_card_error(why, token)
    if isinstance(error, errors.OIDCError | errors.DeviceCodeError | errors.LocalTokenNotFoundError):
        return HubError(f"cannot log in: {why}", "`hf auth login`, or set HF_TOKEN to a token that may write")
    return HubError(f"the Hub and its client do not get along: {type(error).__name__}: {why}", "run it again")


def refused_card_error(why: str, token: str) -> CardError:
    """The error for a card that the Hub does not accept."""
    return CardError(f"the Hub refuses the card: {_line(why, token)}", f"edit README.md, or pass another {option('license')}")


def offline_error() -> OfflineError:
    """The error for publishing without a network."""
    hint = f"unset it, or look with {option('dry_run', True)}"
    return OfflineError("HF_HUB_OFFLINE forbids requests, and publishing needs the Hub", hint)


def _refused(status: int, repo: str, message: str) -> HubError:
    said = f": {message}" if message else ""
    match status:
        case 401:
            return HubError("the Hub does not know your token", "`hf auth login`, or set HF_TOKEN to a token that may write")
        case 403:
            return HubError(f"you may not write to {repo}{said}", "use a token that may write, and a namespace that is yours")
        case 404:
            return NotFoundError(f"the Hub finds no {repo}{said}", "check its name and your rights")
        case 412:
            return HubError(f"somebody else published to {repo} meanwhile, and your commit was refused", "look at theirs, and run it again")
        case 408 | 429 | 500 | 502 | 503 | 504:
            return HubError(f"the Hub is too busy, or down (status {status}){said}", "run it again later")
    return HubError(f"the Hub refuses (status {status}){said}", f"look at the settings of {repo}")


def _line(error: object, token: str) -> str:
    text = " ".join(str(error).split())
    return (text.replace(token, "***") if token else text)[:200]
