"""Text and HTML representations of a loaded model, for terminals and notebooks."""

from base64 import b64encode
from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from zoo_core.cards.card import ModelCard
from zoo_core.cards.markdown import describe
from zoo_core.config import encode
from zoo_core.errors import ZooError

if TYPE_CHECKING:
    from zoo_core.pretrained.loaded import Loaded

__all__ = ["SHEET", "facts", "html", "text"]

SHEET = "samples.png"
_LARGEST_SHEET = 1 << 20  # bytes: a notebook keeps it in its file
_PNG = b"\x89PNG\r\n\x1a\n"


def facts(pretrained: "Loaded") -> Mapping[str, str]:
    """Returns name, family, shape of a sample, parameters, sampler, device, dtype, capabilities and classes, as texts."""
    event = getattr(pretrained.model, "event", None)
    values = {
        "name": str(pretrained.files.reference),
        "family": pretrained.family.name,
        "shape": str(tuple(event.shape)) if event else "",
        "parameters": f"{sum(tensor.numel() for tensor in pretrained.model.parameters()):,}",
        "sampler": _sampler(pretrained),
        "device": str(pretrained.device),
        "dtype": str(pretrained.dtype).removeprefix("torch."),
        "can": " ".join(sorted(pretrained.capabilities)),
        "classes": ", ".join(pretrained.classes) if "labels" in pretrained.capabilities else "",
    }
    return {key: value for key, value in values.items() if value}


def _sampler(pretrained: "Loaded") -> str:
    try:
        sampler = pretrained.sampler
        scheduler = pretrained.scheduler_of(sampler)
        parts: list[dict[str, Any]] = [encode(part) for part in (sampler, scheduler) if part is not None]
    except ZooError:  # no sampler supports it, such as a classifier
        return ""
    return " on ".join(map(describe, parts))


def text(pretrained: "Loaded") -> str:
    """Returns a line of text."""
    values = {key: value if key in ("shape", "parameters") else repr(value) for key, value in facts(pretrained).items()}
    values["parameters"] = values["parameters"].replace(",", "_")
    return f"Pretrained({values.pop('name')}, {', '.join(f'{key}={value}' for key, value in values.items())})"


def html(pretrained: "Loaded") -> str:
    """Returns a short card for notebooks: title, summary, a table of facts, and the sheet of samples that the checkpoint carries."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(key)}</th><td style='text-align:left'>{escape(value)}</td></tr>"
        for key, value in {**facts(pretrained), **_stated(pretrained)}.items()
    )
    return f"<div>{_heading(pretrained)}<table>{rows}</table>{_sheet(pretrained)}</div>"


def _card(pretrained: "Loaded") -> ModelCard | None:
    try:
        return pretrained.card
    except ZooError:  # a model can be used without its card
        return None


def _heading(pretrained: "Loaded") -> str:
    card = _card(pretrained)
    title = (card.title if card else "") or pretrained.name
    summary = card.summary if card else ""
    return f"<p><strong>{escape(title)}</strong></p>" + (f"<p>{escape(summary)}</p>" if summary else "")


def _stated(pretrained: "Loaded") -> Mapping[str, str]:
    card = _card(pretrained)
    values = {"license": card.license, "datasets": ", ".join(card.datasets)} if card else {}
    return {key: value for key, value in values.items() if value}


def _sheet(pretrained: "Loaded") -> str:
    """The stored samples as a picture inside the page. Nothing is drawn here, since a cell should show its value at once."""
    files = pretrained.files
    if SHEET not in files.names or files.size(SHEET) > _LARGEST_SHEET:
        return ""
    try:
        data = files.read(SHEET)
    except ZooError:
        return ""
    if not data.startswith(_PNG):
        return ""
    source = f"data:image/png;base64,{b64encode(data).decode()}"
    return f"<img src='{source}' alt='Samples of {escape(pretrained.name)}' style='max-width:32em;width:100%;image-rendering:pixelated'>"
