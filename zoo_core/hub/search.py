"""Search for models of the zoo on the Hub, by the tag ``zoo-core``."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.card import named_plugin
from zoo_core.errors import HubError
from zoo_core.hub.cache import COMMIT
from zoo_core.hub.client import get_json, host
from zoo_core.registry import REPO

__all__ = ["SearchResult", "search"]

_REPO = re.compile(REPO)
_LICENSE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_DATE = re.compile(r"[0-9T:.Z+-]{10,40}")


@dataclass(frozen=True, kw_only=True, slots=True)
class SearchResult:
    """A repository that a search returned. Its author wrote every field but the commit: show them, and act on none.

    Args:
        repo: ``ORG/NAME``.
        commit: id of its newest commit; empty if the Hub does not say.
        family: family that its card or a tag names; empty if neither does.
        plugin: distribution that its card names; may be empty.
        license: licence by its name on the Hub; may be empty.
        updated: date of its newest commit, ``YYYY-MM-DD``; may be empty.

    Example:
        >>> from zoo_core.hub.search import SearchResult
        >>> model = SearchResult(repo="zoo/cats", commit="", family="ddpm", plugin="zoo-ddpm", license="mit", updated="2026-01-31")
        >>> model.family
        'ddpm'
    """

    repo: str
    commit: str
    family: str
    plugin: str
    license: str
    updated: str


def search(text: str = "", *, author: str = "", limit: int = 50, families: Collection[str] = ()) -> list[SearchResult]:
    """The models on the Hub with the tag ``zoo-core``, the newest first.

    Args:
        text: part of their names.
        author: their owner, a user or an organisation.
        limit: the largest number of models.
        families: tags that name a family, for models whose card does not.

    Raises:
        HubError: if the Hub cannot be reached, or its answer is not a list of models.
    """
    options = {"filter": "zoo-core", "search": text, "author": author, "sort": "lastModified", "limit": str(limit)}
    query = {key: value for key, value in options.items() if value}
    models = get_json("/api/models", {**query, "full": "true", "cardData": "true"}, "the list of models")
    if not isinstance(models, list):
        raise HubError(f"{host()} does not say which models it has", "is HF_ENDPOINT a Hugging Face Hub?")
    return [_result(model, families) for model in models if isinstance(model, dict) and _REPO.fullmatch(str(model.get("id")))][:limit]


def _result(model: Mapping[str, Any], families: Collection[str]) -> SearchResult:
    card = model.get("cardData")
    tags = model.get("tags")
    family, plugin = named_plugin(card)
    if not family and isinstance(tags, list):
        family = next((tag for tag in tags if isinstance(tag, str) and tag in families), "")
    return SearchResult(
        repo=str(model["id"]),
        commit=_match(COMMIT, model.get("sha")),
        family=family,
        plugin=plugin,
        license=_match(_LICENSE, card.get("license")) if isinstance(card, dict) else "",
        updated=_match(_DATE, model.get("lastModified"))[:10],
    )


def _match(pattern: re.Pattern[str], value: object) -> str:
    """``value`` if it is a string of that pattern; otherwise empty."""
    return value if isinstance(value, str) and pattern.fullmatch(value) else ""
