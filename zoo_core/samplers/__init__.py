"""Samplers: frozen dataclasses that move along given noise levels, in the coordinate x_sigma = x_0 + sigma * eps.

They depend on capabilities, not on families: every sampler that requires ``denoise`` accepts every model with that capability. Sigmas are
float64 and the state is float32 or wider, even if the net computes in a narrower type: a bfloat16 state ruins samples at sigma 1000. No
module here imports torch: tensors come from the model and from the random numbers.
"""

from zoo_core.samplers.ancestral import Ancestral
from zoo_core.samplers.base import resampled
from zoo_core.samplers.heun import Heun
from zoo_core.samplers.langevin import Langevin, PredictorCorrector
from zoo_core.samplers.latent import Latent
from zoo_core.samplers.multistep import DPMSolver2M, LinearMultistep, SDEDPMSolver2M, UniPC
from zoo_core.samplers.unmask import Unmask
from zoo_core.samplers.wrappers import DenoiserWrapper, Guided, Inpainted, Masked

__all__ = [
    "Ancestral",
    "DPMSolver2M",
    "DenoiserWrapper",
    "Guided",
    "Heun",
    "Inpainted",
    "Langevin",
    "Latent",
    "LinearMultistep",
    "Masked",
    "PredictorCorrector",
    "SDEDPMSolver2M",
    "UniPC",
    "Unmask",
    "resampled",
]

# The registry names a class by its module, which is this package for all of them.
for _name in __all__:
    globals()[_name].__module__ = __name__
