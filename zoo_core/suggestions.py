"""Suggestions for names of other libraries: diffusers, timm, transformers and torch have other words for the same things.

Each table maps such a word to the hint that an error shows. Misspelt names of the zoo's own are met by
:meth:`zoo_core.errors.UnknownNameError.of`.
"""

from collections.abc import Callable, Iterable, Mapping
from inspect import Parameter, signature
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from zoo_core.errors import UnknownNameError, UsageError

__all__ = ["ALIASES", "KEYWORDS", "LOAD", "METHODS", "MODULE", "Suggesting", "attribute_error", "keywords_of", "unknown_keyword"]

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
        "prompt": "prompts= of models of texts; others are conditioned on classes: " + _LABELS,
        "return_dict": "leave it out: samples are a tensor",
        "show_progress": _STEP,
        "strength": _START,
        "timesteps": "steps= is their number; scheduler= places the noise levels",
        "verbose": _STEP,
    }
)
"""Keywords of other libraries' calls that draw samples."""


_LOAD = 'zoo_core.load("NAME"), with a name of zoo_core.checkpoints(), the folder of a run, or ORG/NAME on the Hub'
_PUBLISH = "zoo_core.publish(FOLDER, repo) sends a checkpoint to the Hub; the folder of pretrained.files has its files"
_TRAIN = "`zoo train FAMILY --from NAME` goes on training a checkpoint"
_NET = ".model is the network, a torch.nn.Module"

LOAD: Mapping[str, str] = MappingProxyType(
    {
        "cache_dir": "the environment variable HF_HOME says where the cache is",
        "device_map": 'device="cuda"',
        "force_download": "files are verified at every load; `zoo pull` fetches damaged ones again",
        "local_files_only": "the environment variable HF_HUB_OFFLINE=1 switches the network off",
        "map_location": 'device="cuda"',
        "num_classes": "a checkpoint has its own classes; `zoo train` makes another model",
        "pretrained": "leave it out: every checkpoint is trained",
        "progress": "leave it out: a terminal shows one where something is fetched",
        "revision": 'load("ORG/NAME@REVISION")',
        "subfolder": "a checkpoint is a whole repository",
        "token": "the environment variable HF_TOKEN, or `hf auth login`",
        "torch_dtype": 'dtype="bfloat16"',
        "trust_remote_code": "leave it out: code of a checkpoint is never run",
        "use_auth_token": "the environment variable HF_TOKEN, or `hf auth login`",
        "use_safetensors": "leave it out: weights are always safetensors",
        "variant": 'dtype="bfloat16"',
    }
)
"""Keywords of other libraries' calls that load."""

MODULE: Mapping[str, str] = MappingProxyType(
    {
        "AutoModel": _LOAD,
        "DiffusionPipeline": _LOAD,
        "create_model": _LOAD,
        "evaluate": "zoo_core.evaluation.evaluate.evaluate(NAME, [METRIC]), or `zoo evaluate NAME`",
        "fit": "`zoo train FAMILY --data folder:PATH`, or zoo_core.training.fit.fit(recipe, folder)",
        "from_pretrained": _LOAD,
        "generate": "zoo_core.load(NAME).sample(16)",
        "get_config": "zoo_core.info(NAME)",
        "get_model": _LOAD,
        "list": 'zoo_core.checkpoints("ddpm*"), or zoo_core.names("samplers")',
        "list_datasets": 'zoo_core.names("datasets")',
        "list_metrics": 'zoo_core.names("metrics")',
        "list_models": 'zoo_core.checkpoints(), or zoo_core.checkpoints("ddpm*")',
        "list_pretrained": "zoo_core.checkpoints()",
        "list_samplers": 'zoo_core.names("samplers")',
        "list_schedulers": 'zoo_core.names("schedulers")',
        "load_model": _LOAD,
        "model_info": "zoo_core.info(NAME)",
        "models": "zoo_core.checkpoints()",
        "pipeline": _LOAD,
        "push_to_hub": "zoo_core.publish(FOLDER, repo)",
        "sample": "zoo_core.load(NAME).sample(16)",
        "save_pretrained": _PUBLISH,
        "show": "zoo_core.info(NAME), or `zoo show NAME`",
        "train": "`zoo train FAMILY --data folder:PATH`, or zoo_core.training.fit.fit(recipe, folder)",
    }
)
"""Names that users of other libraries look for in the module."""

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "backward": "results carry no gradients; for those, call .model itself",
        "bfloat16": '.to(dtype="bfloat16")',
        "enable_model_cpu_offload": '.to("cuda")',
        "float": '.to(dtype="float32")',
        "forward": _NET,
        "from_pretrained": _LOAD,
        "generate": ".sample(16)",
        "half": '.to(dtype="float16")',
        "labels": ".classes has the names of the classes",
        "likelihood": ".log_prob(x)",
        "load_state_dict": "a checkpoint has its weights already; .model is the network",
        "named_parameters": ".model.named_parameters()",
        "net": _NET,
        "num_classes": ".model.num_classes",
        "parameters": ".model.parameters()",
        "predict": ".classify(x)",
        "push_to_hub": _PUBLISH,
        "requires_grad_": ".model.requires_grad_()",
        "save": _PUBLISH,
        "save_pretrained": _PUBLISH,
        "scheduler": ".model.scheduler; .sample(16, scheduler=...) takes another one",
        "score": "(denoise(x, sigma) - x) / sigma**2",
        "score_samples": ".log_prob(x)",
        "shape": ".event.shape",
        "state_dict": ".model.state_dict()",
        "train": _TRAIN,
        "transformer": _NET,
        "unet": _NET,
        "vae": _NET,
    }
)
"""Names that users of other libraries look for in a loaded model."""


ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "annealedlangevin": "langevin",
        "annealedlangevindynamics": "langevin",
        "ald": "langevin",
        "ddpm": "ancestral",
        "ddpmparallel": "ancestral",
        "deis": "lms",
        "deismultistep": "lms",
        "dpm2m": "dpmpp-2m",
        "dpmsolver": "dpmpp-2m",
        "dpmsolvermultistep": "dpmpp-2m",
        "dpmsolverpp": "dpmpp-2m",
        "dpmpp": "dpmpp-2m",
        "dpmpp2msde": "dpmpp-2m-sde",
        "dpmsolversde": "dpmpp-2m-sde",
        "edm": "heun",
        "eulera": "ancestral",
        "eulerancestral": "ancestral",
        "eulerancestraldiscrete": "ancestral",
        "eulerdiscrete": "euler",
        "exponential": "geometric",
        "heundiscrete": "heun",
        "lmsdiscrete": "lms",
        "ode": "heun",
        "pc": "predictor-corrector",
        "scoresdeve": "predictor-corrector",
        "sdedpmsolverpp": "dpmpp-2m-sde",
        "squaredcoscapv2": "cosine",
        "unipcmultistep": "unipc",
    }
)
"""Samplers and schedulers by other libraries' names, in lower case and without marks."""


def attribute_error(owner: str, name: str, table: Mapping[str, str], known: Iterable[str]) -> AttributeError:
    """Returns the error for a missing attribute, with a hint from the table or a similar name.

    Args:
        owner: the object, as in the message.
        name: the missing attribute.
        table: hints, by other libraries' names.
        known: attributes of the object.
    """
    message = f"{owner} has no attribute {name!r}"
    if name.startswith("_"):
        return AttributeError(message)
    near = UnknownNameError.of("attribute", name, [each for each in known if not each.startswith("_")]).hint
    hint = table.get(name, "") or (near if near.startswith("did you mean") else "")
    return AttributeError(f"{message} -- {hint}" if hint else message)


class Suggesting(type):
    """Metaclass of classes whose missing attributes suggest the right call.

    >>> class Model(metaclass=Suggesting):
    ...     pass
    >>> Model.from_pretrained
    Traceback (most recent call last):
    AttributeError: Model has no attribute 'from_pretrained' -- zoo_core.load("NAME"), ...
    """

    if not TYPE_CHECKING:  # so that type checkers still find misspelt names

        def __getattr__(cls, name: str) -> Any:
            raise attribute_error(cls.__name__, name, METHODS, dir(cls))


def keywords_of(call: Callable[..., object]) -> list[str]:
    """Returns the named parameters of a function."""
    return [name for name, each in signature(call).parameters.items() if each.kind != Parameter.VAR_KEYWORD]


def unknown_keyword(call: str, key: str, known: Iterable[str], hint: str = "", table: Mapping[str, str] = KEYWORDS) -> UsageError:
    """Returns the error for an unknown keyword, with ``hint``, a hint from the table, or a similar name.

    Args:
        call: name of the function.
        key: the unknown keyword.
        known: keywords of the function.
        hint: hint that goes before all others.
        table: hints, by other libraries' keywords.
    """
    hint = hint or table.get(key, "") or UnknownNameError.of("option", key, known).hint
    return UsageError(f"{call} takes no {key[:60]!r}", hint)
