"""``publish``: from a checkpoint to one commit on the Hugging Face Hub.

Everything is checked before anything is sent, and everything is sent in one commit: the repository is the old version or the complete new
one, whatever happens meanwhile. Publishing again what is there makes no commit.
"""

import logging
import os
from pathlib import Path

from zoo_core.errors import HubError
from zoo_core.hub.client import endpoint
from zoo_core.publishing.bundle import Parcel, check_pin, prepare, write_pin
from zoo_core.publishing.failures import after_commit
from zoo_core.publishing.upload import Published, check_endpoint, check_tag, compare, send

__all__ = ["Parcel", "Published", "check_pin", "prepare", "publish"]

_log = logging.getLogger(__name__)


def publish(
    reference: "str | os.PathLike[str]",
    repo: str,
    *,
    license: str | None = None,
    private: bool = False,
    tag: str | None = None,
    pin: str | Path | None = None,
    dry_run: bool = False,
    progress: bool = False,
    force: bool = False,
) -> Published:
    """Publishes a checkpoint on the Hub, as the owner of the token in ``HF_TOKEN`` or of the login.

    Args:
        reference: ``NAME``, ``DIST:NAME``, or the path of a folder: of a checkpoint or of a training run.
        repo: ``ORG/NAME``, created where it is missing.
        license: its licence's name on the Hub, where the card of a local folder does not say it yet.
        private: creates the repository as a private one, and refuses one that is not.
        tag: names the commit.
        pin: the checkpoints.json of the plugin that carries the checkpoint, into which repo and commit are written.
        dry_run: sends nothing; what comes back has no commit, and says what would change in the repository, if the Hub can be reached.
        progress: shows the client's progress bars on stderr.
        force: replaces what others have put into the repository.

    Raises:
        UsageError: if the reference, ``repo`` or ``tag`` is not valid, no licence is stated, ``private`` does not fit, or the repository
            holds work of others, without ``force``.
        CardError, ConfigError: the card, the config or metrics.json is wrong, or they contradict each other.
        NotFoundError: there is no such folder, or it has no card, config or weights.
        HubError: there is no login, or the Hub refuses or cannot be reached; somebody else published meanwhile; the tag is taken.
        IntegrityError: a file is not what is pinned, or the Hub holds something else than what was sent.
        ResourceError: ``pin`` cannot be written.
        TrustError: the endpoint is plain http and not this machine.
        UnsafeContentError: links, code or secrets in the folder; weights that are malformed, NaN or infinite.
        UnknownNameError: no installed plugin has its family.
        IncompatibleCheckpoint: weights and config do not fit each other.

    An error after the commit begins with "published as" and the commit.
    """
    if dry_run:
        endpoint()
    else:
        check_endpoint()
    check_tag(tag)
    parcel = prepare(reference, repo, license=license)
    if pin is not None:
        check_pin(Path(pin), parcel)
    if dry_run:
        return _compared(parcel, force)
    published = send(parcel, private=private, tag=tag, progress=progress, force=force)
    if pin is not None:
        with after_commit(published.commit):
            write_pin(Path(pin), parcel, published.commit)
    return published


def _compared(parcel: Parcel, force: bool) -> Published:
    """What publishing would change; where the Hub cannot be asked, a warning says so."""
    try:
        return compare(parcel, force=force)
    except HubError as error:
        _log.warning("zoo: warning: what would change is not known: %s", error)
        return Published(repo=parcel.repo, commit="", files=parcel.pins, card=parcel.card, left_out=parcel.left_out)
