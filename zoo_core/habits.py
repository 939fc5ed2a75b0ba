"""Names that users of other libraries type, and what they are called here.

diffusers, timm, transformers and torch have other words for the same things. Each table maps such a word to the hint that an error shows.
"""

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from types import MappingProxyType

from zoo_core.errors import UnknownNameError, UsageError

__all__ = ["KEYWORDS", "keywords_of", "unknown_keyword"]

_GUIDANCE = "guidance=SCALE, with labels="
_N = "the number of samples is n, the first argument: sample(16)"
_LABELS = "labels=, one class for all or a list of them"
_SEED = "seed=0: the noise of an image depends on the seed and on its number alone"
_PICTURES = "samples are a tensor; zoo_core.images.to_pil(samples) makes pictures, and save_png(path, sample) writes one"
_START = "x=..., sigma=... starts from a noisy state; add_noise makes one of clean images"
_STEP = "on_step=, a function of (step, sigma, x, x0)"

KEYWORDS: Mapping[str, str] = MappingProxyType(
    {
        "callback": _STEP,
        "callback_on_step_end": _STEP,
        "cfg_scale": _GUIDANCE,
        "class_label": _LABELS,
        "class_labels": _LABELS,
        "classes": _LABELS,
        "device": 'load(..., device="cuda") or .to("cuda") moves the model',
        "dtype": 'load(..., dtype="bfloat16") or .to(dtype=...) chooses what the net computes in',
        "generator": _SEED,
        "guidance_scale": _GUIDANCE,
        "image": _START,
        "init_image": _START,
        "init_noise": _START,
        "latents": _START,
        "noise": _START,
        "num_images": _N,
        "num_images_per_prompt": _N,
        "num_inference_steps": "steps=, an option of the sampler",
        "num_samples": _N,
        "n_samples": _N,
        "output_type": _PICTURES,
        "progress": _STEP,
        "prompt": "models here know classes, and no text: " + _LABELS,
        "return_dict": "leave it out: samples are a tensor",
        "show_progress": _STEP,
        "strength": _START,
        "timesteps": "steps= is their number; scheduler= places the noise levels",
        "verbose": _STEP,
    }
)
"""Keywords of other libraries' calls that draw samples."""


def keywords_of(call: Callable[..., object]) -> list[str]:
    """The keywords that a function has by name."""
    return [name for name, each in signature(call).parameters.items() if each.kind != Parameter.VAR_KEYWORD]


def unknown_keyword(call: str, key: str, known: Iterable[str], hint: str = "") -> UsageError:
    """The error for a keyword that ``call`` does not take: ``hint``, what another library's word is called here, or the nearest name."""
    hint = hint or KEYWORDS.get(key, "") or UnknownNameError.of("option", key, known).hint
    return UsageError(f"{call} takes no {key[:60]!r}", hint)
