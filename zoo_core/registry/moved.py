"""Modules and names of zoo_core that have moved, for plugins that use their old names."""

import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["MOVED", "RENAMED", "new_home"]

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
        "data.choice": "data.factory",
        "deadline": "hub.deadline",
        "devices": "hardware.devices",
        "evaluation.allowed": "evaluation.limits",
        "evaluation.choice": "evaluation.factory",
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
        "pretrained.levels": "pretrained.sampler_options",
        "publishing.completion": "publishing.card",
        "publishing.leaks": "publishing.secrets",
        "publishing.parcel": "publishing.bundle",
        "publishing.pictures": "publishing.images",
        "publishing.sending": "publishing.upload",
        "registry.in_place": "registry.uninstalled",
        "remote": "hub.repository",
        "samplers.choice": "samplers.factory",
        "samplers.denoisers": "samplers.wrappers",
        "samplers.walk": "samplers.base",
        "shown": "pretrained.representation",
        "soundness": "testing.plugin_checks",
        "testing.closed_form": "testing.gaussian_moments",
        "testing.exact": "testing.gaussian_mixture",
        "testing.parts": "testing.tested_part",
        "testing.subject": "testing.tested_family",
        "tokens": "hub.redaction",
        "training.checkpoint": "training.checkpoints",
        "training.datasets": "data.loaders",
        "training.estimate": "training.cost",
        "training.folders": "data.folders",
        "training.readers": "data.readers",
        "training.run": "training.run_folder",
        "training.sheet": "training.preview",
        "training.snapshots": "training.checkpoints",
        "training.watch": "training.monitor",
        "transforms": "density.transforms",
        "verifying": "hub.verify",
        "walking": "pretrained.sampler_options",
        "weights": "checkpoint.safetensors",
        "wire": "hub.client",
    }
)
"""The new name of each module that moved, without ``zoo_core.``."""

RENAMED: Mapping[str, str] = MappingProxyType(
    {
        "arguments.floats": "arguments.as_floats",
        "arguments.level": "arguments.as_levels",
        "arguments.levels": "arguments.levels_like",
        "arguments.whole": "arguments.as_int",
        "arguments.within": "arguments.check_in_range",
        "capabilities.check_abilities": "capabilities.check_capabilities",
        "cards.describe": "cards.markdown.describe",
        "checkpoint.build.assemble": "pretrained.assemble",
        "checkpoint.config.Info": "loading.Info",
        "checkpoint.config.as_scheduler": "samplers.factory.as_scheduler",
        "checkpoint.config.checkpoints": "registry.listing.checkpoints",
        "checkpoint.config.incapable": "capabilities.capability_error",
        "checkpoint.config.info": "loading.info",
        "checkpoint.config.names": "registry.listing.names",
        "data.readers.fitted": "data.readers.resize_and_crop",
        "density.transforms.dequantised": "density.transforms.dequantised_bound",
        "evaluation.degradations.Harm": "evaluation.degradations.Degradation",
        "evaluation.degradations.harms": "evaluation.degradations.degradations",
        "evaluation.evaluate.metric": "evaluation.factory.make_metric",
        "evaluation.feature_spaces.Space": "evaluation.feature_spaces.FeatureSpace",
        "evaluation.feature_spaces.space": "evaluation.feature_spaces.load_feature_space",
        "evaluation.features.Gathering": "evaluation.features.FeatureExtractor",
        "evaluation.metrics.ClassAccuracy": "evaluation.feature_metrics.ClassAccuracy",
        "evaluation.metrics.ClassConfidence": "evaluation.feature_metrics.ClassConfidence",
        "evaluation.metrics.ClassSpread": "evaluation.feature_metrics.ClassSpread",
        "evaluation.metrics.Coverage": "evaluation.feature_metrics.Coverage",
        "evaluation.metrics.Density": "evaluation.feature_metrics.Density",
        "evaluation.metrics.FrechetDistance": "evaluation.feature_metrics.FrechetDistance",
        "evaluation.metrics.InceptionScore": "evaluation.feature_metrics.InceptionScore",
        "evaluation.metrics.KernelDistance": "evaluation.feature_metrics.KernelDistance",
        "evaluation.metrics.NearestTrain": "evaluation.feature_metrics.NearestTrain",
        "evaluation.metrics.Precision": "evaluation.feature_metrics.Precision",
        "evaluation.metrics.Recall": "evaluation.feature_metrics.Recall",
        "evaluation.real_data.Real": "evaluation.real_data.RealData",
        "evaluation.records.keep": "evaluation.records.save_records",
        "figures.Path": "figures.Trajectory",
        "figures.draw_paths": "figures.draw_trajectories",
        "figures.paths": "figures.langevin_trajectories",
        "figures.plot_ways": "figures.plot_trajectories",
        "figures.points.plot_samples": "figures.densities.plot_samples",
        "figures.process.plot_ways": "figures.process.plot_trajectories",
        "figures.process.ways": "figures.process.sample_trajectories",
        "figures.scores.Path": "figures.trajectories.Trajectory",
        "figures.scores.draw_paths": "figures.trajectories.draw_trajectories",
        "figures.scores.paths": "figures.scores.langevin_trajectories",
        "figures.ways": "figures.sample_trajectories",
        "hardware.devices.device_of": "hardware.devices.resolve_device",
        "hardware.precision.resolved": "recipes.with_precision",
        "hub.CARD": "checkpoint.files.CARD",
        "hub.CONFIG": "checkpoint.files.CONFIG",
        "hub.Files": "checkpoint.files.Files",
        "hub.TRAINING": "checkpoint.files.TRAINING",
        "hub.WEIGHTS": "checkpoint.files.WEIGHTS",
        "images.save_samples": "figures.samples.save_samples",
        "pretrained.conditions.Labels": "interfaces.LabelsLike",
        "pretrained.conditions.guided": "pretrained.conditions.conditioned",
        "registry.faults.checked": "registry.faults.expect",
        "registry.faults.culprit": "registry.faults.plugin_error_from",
        "registry.faults.made": "registry.faults.call_plugin",
        "samplers.base.Guide": "samplers.base.StepContext",
        "samplers.base.Walk": "samplers.base.DenoiserSampler",
        "samplers.masks.given": "samplers.masks.known_values",
        "training.monitor.Watch": "training.monitor.Monitor",
        "training.monitor.Watching": "training.monitor.MonitorConfig",
    }
)
"""The new place of names that plugins may import, by their module of today, or of before if that is still there."""

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
    target = RENAMED.get(f"{module}.{match['name']}") or MOVED.get(module, "")
    return target and f"zoo_core.{target}"
