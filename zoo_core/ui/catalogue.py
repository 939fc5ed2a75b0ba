"""The checkpoints that the page offers, and the text, numbers and pictures that describe each."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from zoo_core.cards.facts import fact_rows
from zoo_core.cards.markdown import one_line
from zoo_core.cards.metrics_json import METRICS, metric_records
from zoo_core.cards.metrics_log import recorded_curve
from zoo_core.cards.tables import markdown, tables
from zoo_core.checkpoint.files import TRAINING, Files
from zoo_core.errors import UnknownNameError, UsageError, ZooError
from zoo_core.hub.fetch import fetch
from zoo_core.registry import registry
from zoo_core.registry.listing import checkpoints
from zoo_core.specs import CheckpointSpec, ModelSpec

__all__ = ["Catalogue", "Description"]

_PICTURE = re.compile(r"^!\[[^\]]*\]\([^)]*\)\s*$", re.MULTILINE)
_MOST_TEXT = 200_000  # characters of a card or a licence
_LICENCE = "LICENSE"


@dataclass(frozen=True, kw_only=True, slots=True)
class Description:
    """A checkpoint, described.

    >>> Description(reference="a", title="A", summary="", rows=(), card="", numbers="", licence="", pictures=(), curve=None).title
    'A'

    Args:
        reference: reference of the checkpoint.
        title: its name.
        summary: one sentence.
        rows: labels and texts of a table.
        card: body of the card, markdown without pictures.
        numbers: tables of its numbers, markdown; empty if it has none.
        licence: text of its licence; its name alone if the checkpoint has no file of it.
        pictures: names and bytes of the PNGs beside the card.
        curve: PNG of the training losses; None without a record of them.
    """

    reference: str
    title: str
    summary: str
    rows: tuple[tuple[str, str], ...]
    card: str
    numbers: str
    licence: str
    pictures: tuple[tuple[str, bytes], ...]
    curve: bytes | None


class Catalogue:
    """The checkpoints of a page: those of the installed plugins, or only those that are named.

    >>> "realnvp-moons" in Catalogue().references
    True

    Args:
        references: references of the checkpoints; all installed ones if empty.

    Raises:
        ZooError: if one of the references cannot be resolved.
    """

    def __init__(self, references: Sequence[str] = ()) -> None:
        self.references = tuple(references) or checkpoints()
        for reference in references:
            fetch(reference)
        if not self.references:
            raise UsageError("there are no checkpoints to show", "install a plugin, such as zoo-ddpm, or name a folder: local:runs/cat")

    def check(self, reference: object) -> str:
        """Returns the reference if the page offers it: no other folder and no other repository is opened for a visitor.

        Raises:
            UnknownNameError: if it does not.
        """
        if not isinstance(reference, str) or reference not in self.references:
            raise UnknownNameError.of("checkpoint of this page", str(reference)[:80], self.references)
        return reference

    @property
    def first(self) -> str:
        """The first checkpoint that draws samples, or else the first one: where the page opens."""
        for reference in self.references:
            claim = registry().claim_or_none(CheckpointSpec, reference.rpartition(":")[2])
            spec = claim.spec if claim else None
            family = registry().claim_or_none(ModelSpec, spec.family) if isinstance(spec, CheckpointSpec) else None
            if family is None or not isinstance(family.spec, ModelSpec) or family.spec.sampler:
                return reference
        return self.references[0]

    def summary(self, reference: str) -> str:
        """The sentence that describes an installed checkpoint; empty for others."""
        claim = registry().claim_or_none(CheckpointSpec, reference.rpartition(":")[2])
        return claim.spec.summary if claim else ""

    def describe(self, reference: str) -> Description:
        """Describes a checkpoint.

        Raises:
            ZooError: if its files cannot be read.
        """
        from zoo_core.loading import info

        files = fetch(self.check(reference))
        facts = info(reference)
        return Description(
            reference=reference,
            title=one_line(facts["name"]),
            summary=one_line(facts["summary"]),
            rows=tuple((label, one_line(text)) for label, text in fact_rows(facts) if text),
            card=_PICTURE.sub("", facts["readme"])[:_MOST_TEXT].strip(),
            numbers=_numbers(facts["metrics"]),
            licence=_licence(files, facts["license"]),
            pictures=tuple((name, files.read(name)) for name in sorted(files.names) if name.endswith(".png")),
            curve=_curve(files),
        )


def _numbers(metrics: Any) -> str:
    try:
        records = metric_records(metrics) if metrics else ()
    except ZooError as error:
        return f"{METRICS} cannot be read: {one_line(error.what)}."
    return "\n\n".join(f"{each.caption}\n\n{markdown(each)}" for each in tables(records))


def _licence(files: Files, name: str) -> str:
    text = files.read(_LICENCE)[:_MOST_TEXT].decode("utf-8", "replace") if _LICENCE in files.names else ""
    return text or one_line(name) or "The checkpoint states no licence."


def _curve(files: Files) -> bytes | None:
    """A PNG of the losses of the training record; None if it has none, or there is no matplotlib."""
    recorded = recorded_curve(files.json(TRAINING)) if TRAINING in files.names else {}
    losses = {key: values for key, values in recorded.items() if key.startswith("loss")}
    if not losses:
        return None
    from zoo_core.figures.canvas import render
    from zoo_core.figures.training import curves

    try:
        return render(curves([step for step in recorded["step"] if step is not None], losses))
    except UsageError:
        return None
