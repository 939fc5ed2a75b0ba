"""``publish``: one commit on the Hugging Face Hub with a checkpoint and its complete card.

Everything is checked before anything is sent, and everything is sent in one commit: the repository holds the old
version or the complete new one, even if the process is killed. Publishing an unchanged checkpoint makes no commit.
"""

import os
from pathlib import Path
from typing import Any

from zoo_core.hub.client import endpoint
from zoo_core.publishing.bundle import Bundle, check_pin, prepare, write_pin
from zoo_core.publishing.failures import after_commit
from zoo_core.publishing.signing import DAYS, Signer
from zoo_core.publishing.upload import Published, check_endpoint, check_tag, preview, send

__all__ = ["Bundle", "Published", "check_pin", "prepare", "publish"]


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
    sign: str | Path | None = None,
    days: int = DAYS,
) -> Published:
    """Publishes a checkpoint on the Hub, as the owner of the token in ``HF_TOKEN`` or of the login.

    An error after the commit begins with "published as" and the commit.

    Args:
        reference: ``NAME``, ``DIST:NAME``, or the path of a folder, of a checkpoint or of a training run.
        repo: ``ORG/NAME``; created if it is missing.
        license: the licence by its name on the Hub, if the card of a local folder does not state one yet.
        private: whether to create the repository as a private one; an existing public one is refused.
        tag: name of a tag for the commit.
        pin: path of the checkpoints.json of the plugin that carries the checkpoint; repo and commit are written there.
        dry_run: whether to send nothing. The result has no commit, and the changes only if the Hub can be reached.
        progress: whether to show the client's progress bars on stderr.
        force: whether to replace the work of others in the repository.
        sign: path of a private key that signs the version; needs the extra ``sign``.
        days: days until the index of a signed version expires.

    Returns:
        The repository, commit, files and changes.

    Raises:
        UsageError: if the reference, ``repo`` or ``tag`` is not valid, no licence is stated, ``private`` does not fit,
            or the repository holds work of others, without ``force``; or it is signed, without ``sign``.
        CardError, ConfigError: if the card, the config or metrics.json is not valid, or they contradict each other.
        NotFoundError: if there is no such folder, or it has no card, config or weights.
        HubError: if there is no login, the Hub refuses or is not there, others published meanwhile, or the tag is taken.
        IntegrityError: if a file is not the pinned one, or the Hub holds something else than was sent.
        ResourceError: if ``pin`` cannot be written.
        TrustError: if the endpoint is plain HTTP and not this machine, or the keys of the plugin have expired.
        UnsafeContentError: if the folder has links, code or secrets, or weights that are malformed, NaN or infinite.
        UnknownNameError: if no installed plugin has the family.
        IncompatibleCheckpoint: if weights and config do not fit each other.
    """
    if dry_run:
        endpoint()
    else:
        check_endpoint()
    check_tag(tag)
    signer = Signer.load(sign, days, repo) if sign is not None else None
    bundle = prepare(reference, repo, license=license)
    if pin is not None:
        check_pin(Path(pin), bundle)
    if dry_run:
        return preview(bundle, force=force, signer=signer)
    return _sent(bundle, pin, private=private, tag=tag, progress=progress, force=force, signer=signer)


def _sent(bundle: Bundle, pin: str | Path | None, **options: Any) -> Published:
    """Sends a bundle, and notes its place in a checkpoints.json if one is given."""
    published = send(bundle, **options)
    if pin is not None:
        with after_commit(published.commit):
            write_pin(Path(pin), bundle, published.commit)
    return published
