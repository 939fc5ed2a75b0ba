"""``publish_space``: a Space on the Hugging Face Hub that serves the page of ``zoo ui`` for some checkpoints.

A Space is a repository whose program the Hub runs. It holds a README.md, an app.py of a few lines, and a requirements.txt
with the versions that are installed here; no weights. It is sent as a checkpoint is: in one commit, after all checks.
"""

import hashlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

from zoo_core import __version__, cards
from zoo_core.cards.card import ModelCard
from zoo_core.cards.markdown import one_line
from zoo_core.checkpoint.config import read_config
from zoo_core.checkpoint.files import CARD, Files
from zoo_core.errors import UsageError
from zoo_core.hub.client import endpoint
from zoo_core.hub.fetch import fetch
from zoo_core.publishing.bundle import Bundle, check_repo
from zoo_core.publishing.options import option
from zoo_core.publishing.secrets import check_text
from zoo_core.publishing.upload import Published, check_endpoint, check_tag, preview, send
from zoo_core.registry import parse_reference, registry
from zoo_core.specs import ModelSpec, Pin

__all__ = ["APP", "REQUIREMENTS", "prepare_space", "publish_space"]

APP = "app.py"
REQUIREMENTS = "requirements.txt"
_NAME = "the page"  # in titles of commits
_CODE = '''\
"""The page of `zoo ui` for the checkpoints below, as `zoo publish --space` wrote it."""

from threading import Event

from zoo_core.ui.page import serve
from zoo_core.ui.studio import Studio

CHECKPOINTS = (
{checkpoints}
)

with Studio(CHECKPOINTS) as studio, serve(studio, "0.0.0.0"):
    Event().wait()
'''
_TORCH = "--extra-index-url https://download.pytorch.org/whl/cpu  # torch without CUDA, which a Space without a GPU does not need"


def publish_space(
    references: Sequence[str],
    repo: str,
    *,
    private: bool = False,
    tag: str | None = None,
    dry_run: bool = False,
    progress: bool = False,
    force: bool = False,
) -> Published:
    """Publishes a Space that serves the page for checkpoints, as the owner of the token in ``HF_TOKEN`` or of the login.

    Args:
        references: checkpoints of plugins, or on the Hub, which the page takes at their present commit.
        repo: ``ORG/NAME``; created if it is missing.
        private: whether to create the Space as a private one; an existing public one is refused.
        tag: name of a tag for the commit.
        dry_run: whether to send nothing; the result has no commit.
        progress: whether to show the client's progress bars on stderr.
        force: whether to replace the work of others in the repository.

    Raises:
        UsageError, UnknownNameError, NotFoundError: as :func:`prepare_space` raises.
        HubError, TrustError, IntegrityError: as :func:`zoo_core.publish` raises.
    """
    if dry_run:
        endpoint()
    else:
        check_endpoint()
    check_tag(tag)
    bundle = prepare_space(references, repo)
    if dry_run:
        return preview(bundle, force=force)
    return send(bundle, private=private, tag=tag, progress=progress, force=force)


def prepare_space(references: Sequence[str], repo: str) -> Bundle:
    """Writes the files of a Space.

    Args:
        references: checkpoints of plugins, or on the Hub.
        repo: ``ORG/NAME``.

    Raises:
        UsageError: if ``repo`` is not valid, a checkpoint is a folder of this machine, or gradio is not installed.
        UnknownNameError: if no installed plugin has a checkpoint or its family.
        NotFoundError: if there is no such repository.
    """
    check_repo(repo)
    shown = [_files(reference) for reference in dict.fromkeys(references)]
    if not shown:
        raise UsageError("a Space needs a checkpoint to show", "name one or more, such as vae-mnist or ORG/NAME")
    names = [f"{each.hub.repo}@{each.hub.commit}" if each.hub else str(each.reference) for each in shown]
    code = _CODE.format(checkpoints="\n".join(f'    "{name}",' for name in names))
    card = _card(repo, shown)
    texts = {CARD: str(card), APP: code, REQUIREMENTS: _requirements(shown)}
    files = {name: text.encode() for name, text in texts.items()}
    for name, content in files.items():
        check_text(name, content)
    pins = {name: Pin(sha256=hashlib.sha256(content).hexdigest(), size=len(content)) for name, content in files.items()}
    return Bundle(repo=repo, name=_NAME, card=card, files=files, pins=pins, kind="space")


def _files(reference: str) -> Files:
    if parse_reference(reference).kind == "local":
        hint = f"publish it first, without {option('space', True)}, and name its repository here: ORG/NAME"
        raise UsageError(f"a Space cannot read {reference} of this machine", hint)
    return fetch(reference)


def _requirements(shown: Sequence[Files]) -> str:
    """The packages of the page, of the families, and of the plugins that carry checkpoints, at the versions that are installed."""
    dists = {each.dist for each in shown if each.dist}
    dists |= {registry().claim_of(ModelSpec.kind, type(read_config(each).model)).plugin.dist for each in shown}
    versions = {plugin.dist: plugin.version for plugin in registry().plugins}
    pinned = [f"{dist}=={versions[dist]}" for dist in sorted(dists - {"zoo-core"})]
    return "\n".join([_TORCH, f"zoo-core[ui]=={__version__}", *pinned]) + "\n"


def _card(repo: str, shown: Sequence[Files]) -> ModelCard:
    """The README.md, from whose front matter the Hub reads how to run the Space."""
    try:
        gradio = version("gradio")
    except PackageNotFoundError:
        raise UsageError("a Space runs gradio, whose version is taken from here", "pip install 'zoo-core[ui]'") from None
    models = [each.hub.repo for each in shown if each.hub]
    metadata = {
        "title": repo.partition("/")[2],
        "emoji": "\N{PAW PRINTS}",
        "colorFrom": "green",
        "colorTo": "blue",
        "sdk": "gradio",
        "sdk_version": gradio,
        "python_version": f"{sys.version_info.major}.{sys.version_info.minor}",
        "app_file": APP,
        "license": "apache-2.0",
        "short_description": "Browse, draw and compare generative models",
        **({"models": models} if models else {}),
        "tags": [cards.LIBRARY],
    }
    rows = [f"| `{each.reference}` | {one_line(_licence(each))} |" for each in shown]
    table = "\n".join(["| checkpoint | licence of its weights |", "|---|---|", *rows])
    body = f"# {repo.partition('/')[2]}\n\nThe page of `zoo ui` for these checkpoints. The program is under Apache-2.0.\n\n{table}\n"
    return ModelCard(metadata, body)


def _licence(files: Files) -> str:
    return cards.parse(files.read(CARD), bare=True).license if CARD in files.names else "not stated"
