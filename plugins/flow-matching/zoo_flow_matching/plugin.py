"""The flow-matching plugin: the specs that ``zoo`` reads before anything is imported."""

from collections.abc import Iterable

from zoo_core.hookspecs import hookimpl
from zoo_core.specs import SchedulerSpec, Spec, TrainerSpec, family


@hookimpl
def zoo_specs() -> Iterable[Spec]:
    return [
        *family(
            "flow-matching",
            package="zoo_flow_matching",
            model="FlowMatching",
            trainer="FlowMatchingTrainer",
            capabilities={"denoise", "labels"},
            sampler="euler",
            paper="arXiv:2210.02747",
            summary="rectified flow: a net for the velocity along straight lines from samples to noise",
            training="squared error of the velocity at random times, for every denoiser",
            trains="denoise",
            recipes={
                "afhq-cat": ("AFHQ_CAT", "32x32 photographs, an hour and a half on one CPU core"),
                "moons": ("MOONS", "two moons in the plane, a minute on one CPU core"),
            },
        ),
        TrainerSpec(
            name="reflow",
            target="zoo_flow_matching.reflow:ReflowTrainer",
            config="zoo_flow_matching.config:ReflowConfig",
            requires="denoise",
            paper="arXiv:2209.03003",
            summary="flow matching on pairs of noise and sample that a teacher's ODE connects: straighter paths",
        ),
        SchedulerSpec(
            name="flow",
            target="zoo_flow_matching.schedulers:Flow",
            paper="arXiv:2209.03003",
            summary="even in t = sigma / (1 + sigma), with a shift by option",
        ),
    ]
