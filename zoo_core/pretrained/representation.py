"""Text and HTML representations of a loaded model, for terminals and notebooks."""

from collections.abc import Mapping
from html import escape
from typing import TYPE_CHECKING, Any

from zoo_core.cards.markdown import describe
from zoo_core.config import encode
from zoo_core.errors import ZooError

if TYPE_CHECKING:
    from zoo_core.pretrained.loaded import Loaded

__all__ = ["facts", "html", "text"]


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
    """Returns a small HTML table."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{escape(key)}</th><td>{escape(value)}</td></tr>" for key, value in facts(pretrained).items()
    )
    return f"<table>{rows}</table>"
