"""Modules and names of zoo_core that have moved, for plugins that use their old names."""

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["MOVED", "new_home"]

MOVED: Mapping[str, str] = MappingProxyType(
    {
        "abilities": "capabilities",
        "assembly": "checkpoint.build",
        "blame": "registry.faults",
        "builtin": "registry.builtin",
        "cache": "hub.cache",
        "catalogue": "checkpoint.config",
        "conditions": "pretrained.conditions",
        "contents": "checkpoint.files",
        "curves": "cards.metrics_log",
        "deadline": "hub.deadline",
        "devices": "hardware.devices",
        "evaluation.allowed": "evaluation.limits",
        "evaluation.comparison": "evaluation.compare",
        "evaluation.gathering": "evaluation.features",
        "evaluation.harms": "evaluation.degradations",
        "evaluation.pixels": "evaluation.pixel_metrics",
        "evaluation.real": "evaluation.real_data",
        "evaluation.references": "evaluation.reference_statistics",
        "evaluation.rerun": "evaluation.reproduce",
        "evaluation.spaces": "evaluation.feature_spaces",
        "files": "atomic",
        "habits": "suggestions",
        "hub": "hub.fetch",
        "inpainting": "samplers.masks",
        "interpolation": "samplers.interpolation",
        "isolation": "registry.isolation",
        "likelihood": "density.denoiser",
        "loaded": "pretrained.loaded",
        "locks": "hub.locks",
        "logprob": "pretrained.log_prob",
        "lookup": "registry.listing",
        "machine": "hardware.environment",
        "markdown": "cards.markdown",
        "memory": "hardware.memory",
        "numbers": "cards.metrics_json",
        "numbers_table": "cards.tables",
        "pictures": "data.decoding",
        "pins": "cli.pin",
        "precision": "hardware.precision",
        "publishing.completion": "publishing.card",
        "publishing.leaks": "publishing.secrets",
        "publishing.parcel": "publishing.bundle",
        "publishing.pictures": "publishing.images",
        "publishing.sending": "publishing.upload",
        "remote": "hub.repository",
        "samplers.denoisers": "samplers.wrappers",
        "samplers.walk": "samplers.base",
        "shown": "pretrained.representation",
        "soundness": "testing.plugin_checks",
        "tokens": "hub.redaction",
        "training.checkpoint": "training.snapshots",
        "training.datasets": "data.loaders",
        "training.estimate": "training.cost",
        "training.folders": "data.folders",
        "training.readers": "data.readers",
        "training.run": "training.run_folder",
        "training.sheet": "training.preview",
        "training.watch": "training.monitor",
        "transforms": "density.transforms",
        "verifying": "hub.verify",
        "walking": "pretrained.levels",
        "weights": "checkpoint.safetensors",
        "wire": "hub.client",
        "images.save_samples": "figures.samples.save_samples",
    }
)
"""The new name of each module, or of a name in a module, both without ``zoo_core.``."""

_IMPORT = re.compile(
    r"No module named 'zoo_core\.(?P<module>[\w.]+)'|cannot import name '(?P<name>\w+)' from 'zoo_core\.(?P<owner>[\w.]+)'"
)


def new_home(text: str) -> str:
    """Returns the new dotted name of the missing module or name in the text of an ImportError; empty if it has not moved.

    >>> new_home("No module named 'zoo_core.training.datasets'")
    'zoo_core.data.loaders'
    """
    match = _IMPORT.search(text)
    if match is None:
        return ""
    module = match["module"] or match["owner"]
    target = MOVED.get(f"{module}.{match['name']}") or MOVED.get(module, "")
    return target and f"zoo_core.{target}"
