"""Completion of a card for the Hub: the fields that the Hub and ``zoo pull`` read, and the name to load it by."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from zoo_core.cards.card import LIBRARY, ModelCard, demand, is_strings
from zoo_core.cards.metrics_json import METRICS, model_index
from zoo_core.cards.render import DRAFT_LICENSE, DRAFT_LIMIT, LOCAL, PIPELINE, family_name, load_call, needs_line, use_section
from zoo_core.cards.tables import numbers_section

__all__ = ["complete"]

_UNDESCRIBED = "Nobody has described it beyond what is written here, which `zoo` put together from the files of its training."
_NAMED = re.compile(
    r"""(?P<use>\bzoo (?:pull|sample|show|evaluate|verify) '?|\bzoo_core\.load\(["'])"""
    r"""(?P<name>(?<=["'])local:[^"'`\n]+(?=["'])|[^\s"'`),;]+)"""
)
_USE = re.compile(r"^## Use\n.*?(?=^## |\Z)", re.DOTALL | re.MULTILINE)


def complete(
    card: ModelCard,
    config: Mapping[str, Any],
    *,
    reference: str,
    names: Collection[str] = (),
    plugin: str,
    license: str = "",
    image: bool = True,
    metrics: Mapping[str, Any] | None = None,
) -> ModelCard:
    """The card with all fields that the Hub and ``zoo pull`` read, and a snippet that loads ``reference``.

    Text that a person wrote stays. A complete card is returned unchanged.

    Args:
        card: the card in the folder.
        config: content of its config.json.
        reference: the name that others load the model by, such as ``ORG/NAME``.
        names: names of the model in the card so far, which are replaced; ``local:PATH`` always is.
        plugin: the distribution that has its family.
        license: replaces the placeholder of a draft; may be empty.
        image: whether the model draws images.
        metrics: content of its metrics.json, see :mod:`zoo_core.cards.metrics_json`.

    Raises:
        CardError: if its model-index differs from metrics.json.
        ConfigError: if metrics.json is not valid.
    """
    front = dict(card.metadata)
    family = family_name(config)
    front |= {"license": license} if license else {}
    front.setdefault("library_name", LIBRARY)
    if image:
        front.setdefault("pipeline_tag", PIPELINE)
    elif card.license == DRAFT_LICENSE and front.get("pipeline_tag") == PIPELINE:
        del front["pipeline_tag"]
    tags = front.get("tags", [])
    front["tags"] = [*tags, *(tag for tag in (LIBRARY, family) if tag not in tags)] if is_strings(tags) else tags
    zoo = front.get("zoo", {})
    demand(isinstance(zoo, dict), "zoo must be a mapping, such as {family: ddpm, plugin: zoo-ddpm}")
    demand(zoo.get("family", family) == family, f"its family is {str(zoo.get('family'))[:60]}, and that of config.json is {family}")
    front["zoo"] = {"family": family, "plugin": plugin, **zoo}
    plugin = str(front["zoo"]["plugin"])
    if metrics is not None:
        index = model_index(
            reference.rpartition("/")[2], metrics, front.get("pipeline_tag", ""), config.get("sampler"), config.get("scheduler")
        )
        demand(_results(front.get("model-index", index)) == _results(index), f"its model-index differs from {METRICS}")
        front.setdefault("model-index", index)
    body = _completed_body(ModelCard(front, card.body), config, reference, names, plugin, license)
    return ModelCard(front, _with_numbers(body, numbers_section(reference, metrics)))


def _with_numbers(body: str, section: str) -> str:
    """``body`` with the section on numbers, unless it has one: before the section on training, or at the end."""
    if not section or "\n## Numbers\n" in body:
        return body
    before, heading, after = body.partition("\n## Training\n")
    return f"{before.rstrip()}\n\n{section}\n{heading}{after}"


def _completed_body(card: ModelCard, config: Mapping[str, Any], reference: str, names: Collection[str], plugin: str, license: str) -> str:
    def renamed(match: re.Match[str]) -> str:
        ours = match["name"] in names or match["name"].startswith(LOCAL)
        return match["use"] + (reference if ours else match["name"])

    body = _with_use_of(reference, _NAMED.sub(renamed, card.body), config, plugin, card.metadata.get("pipeline_tag", ""))
    if load_call(reference) not in body:
        return f"{body.rstrip()}\n\n{use_section(reference, config, plugin, card.metadata.get('pipeline_tag', ''))}\n"
    if needs_line(plugin) not in body:
        body = body.replace("\n## Use\n", f"\n## Use\n\n{needs_line(plugin)}\n", 1)
    if license:
        body = body.replace(f"\n## Licence\n\n{DRAFT_LICENSE}\n", f"\n## Licence\n\n{license}\n")
    return body.replace(f"- {DRAFT_LIMIT}\n", f"- {_UNDESCRIBED}\n")


def _with_use_of(reference: str, body: str, config: Mapping[str, Any], plugin: str, pipeline: str) -> str:
    """``body`` with a section on use of ``reference`` in the place of one that was rendered under another name."""
    section = _USE.search(body)
    if section is None:
        return body
    bare = _without_pull(_NAMED.sub(lambda match: match["use"] + reference, section[0]))
    for needed in (plugin, ""):
        rendered = use_section(reference, config, needed, pipeline)
        if _without_pull(rendered) == bare:
            blank = section[0][len(section[0].rstrip()) :]
            return body.replace(section[0], rendered + blank, 1)
    return body


def _without_pull(section: str) -> str:
    """A section on use without the line that pulls, like that of a checkpoint in a folder."""
    return re.sub(r"^zoo pull \S+\n", "", section, flags=re.MULTILINE).replace("\n```sh\n```\n", "").strip()


def _results(index: object) -> object:
    """A model-index without the name of the model."""
    return [entry.get("results") if isinstance(entry, dict) else entry for entry in index] if isinstance(index, list) else index
