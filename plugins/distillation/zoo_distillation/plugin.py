"""The distillation plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import SamplerSpec, SchedulerSpec, Spec, TrainerSpec, checkpoints


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        TrainerSpec(
            name="progressive",
            target="zoo_distillation.progressive:ProgressiveTrainer",
            config="zoo_distillation.config:ProgressiveConfig",
            requires="denoise",
            paper="arXiv:2202.00512",
            summary="a student whose every step is two of its teacher's, in halving stages",
        ),
        TrainerSpec(
            name="consistency",
            target="zoo_distillation.consistency:ConsistencyTrainer",
            config="zoo_distillation.config:ConsistencyConfig",
            requires="denoise",
            paper="arXiv:2303.01469",
            summary="a student that maps every level to the path's end, with a teacher or without",
        ),
        SamplerSpec(
            name="consistency",
            target="zoo_distillation.samplers:Consistency",
            requires="denoise",
            paper="arXiv:2303.01469",
            summary="estimates the image and adds fresh noise, in turn; for consistency models",
        ),
        SchedulerSpec(
            name="nested",
            target="zoo_distillation.schedulers:Nested",
            paper="arXiv:2206.00364",
            summary="Karras's curve; the levels of n steps are every second one of 2 n",
        ),
        *checkpoints("zoo_distillation"),
    ]
