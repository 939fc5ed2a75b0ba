"""The layout of diffusers: model_index.json, and a folder for each component with its config and its safetensors."""

import json
import re
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from zoo_core.checkpoint.files import CARD, Files
from zoo_core.checkpoint.layouts import Converted, Layout, Part
from zoo_core.errors import ConfigError, TrustError
from zoo_diffusers.sampling import levels_of, prediction_of, sampler_of
from zoo_diffusers.tokenizer import END, START, table_of

__all__ = ["DiffusersLayout"]

INDEX = "model_index.json"
_STEM = "diffusion_pytorch_model"
_DIST = "zoo-diffusers:diffusers"
_COMPONENTS = ("unet", "vae", "vqvae")
_LIBRARIES = ("diffusers", "transformers", "stable_diffusion", None)
_PICKLES = (".bin", ".ckpt", ".pt", ".pth", ".pkl")


def _shard(stem: str) -> str:
    return rf"{stem}-\d{{5}}-of-\d{{5}}\.safetensors"


def _weights(stem: str) -> str:
    return rf"(config\.json|{stem}\.safetensors(\.index\.json)?|{_shard(stem)})"


_WANTED = re.compile(
    rf"{re.escape(CARD)}|model_index\.json|(scheduler/)?scheduler_config\.json"
    rf"|(({'|'.join(_COMPONENTS)})/)?{_weights(_STEM)}|text_encoder/{_weights('model')}"
    r"|tokenizer/(vocab\.json|merges\.txt|tokenizer(_config)?\.json)"
)
# Names of the layers of attention before diffusers 0.11, which it also renames.
_RENAMED = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD = re.compile(rf"(attentions\.\d+\.)({'|'.join(_RENAMED)})\.(weight|bias)")


class DiffusersLayout(Layout):
    """What ``DiffusionPipeline.save_pretrained`` writes, of a U-Net alone, in latents, or with CLIP's text encoder.

    Components lie in folders of their own or, but for texts, all beside model_index.json.

    >>> layout = DiffusersLayout()
    >>> layout.is_wanted("unet/diffusion_pytorch_model.safetensors"), layout.is_wanted("unet/diffusion_pytorch_model.bin")
    (True, False)
    """

    def is_wanted(self, name: str) -> bool:
        return bool(_WANTED.fullmatch(name))

    def check(self, reference: str, names: Collection[str]) -> None:
        if INDEX not in names:
            hint = "name a folder or repository that DiffusionPipeline.save_pretrained wrote"
            raise TrustError(f"{reference} is not in the layout of diffusers: it has no {INDEX}", hint)
        folder = "unet/" if any(name.startswith("unet/") for name in names) else ""
        if f"{folder}config.json" not in names:
            raise TrustError(f"{reference} is not in the layout of diffusers: it has no unet/config.json", "the bridge reads a U-Net")
        if any(name == f"{folder}{_STEM}.safetensors" or re.fullmatch(folder + _shard(_STEM), name) for name in names):
            return
        pickles = sorted(name for name in names if name.startswith(folder) and name.endswith(_PICKLES))
        if pickles:
            what = f"{reference} holds its weights only as a pickle, {pickles[0][:80]}, which runs code when it is read"
            raise TrustError(what, "ask its authors for safetensors, which are data")
        raise TrustError(f"{reference} is not in the layout of diffusers: it has no {folder}{_STEM}.safetensors", "name another checkpoint")

    def convert(self, files: Files) -> Converted:
        classes = _classes(files)
        scheduler = _options(files, "scheduler", "scheduler_config.json")
        _check_class(files, "scheduler", classes.get("scheduler"), scheduler)
        unet = _component(files, classes, "unet", ("UNet2DModel", "UNet2DConditionModel"))
        net = {"unet": unet, "scheduler": levels_of(scheduler), "prediction": prediction_of(scheduler)}
        stage = next((name for name in ("vqvae", "vae") if name in classes), "")
        data: dict[str, bytes] = {}
        if classes["unet"] == "UNet2DConditionModel":
            model, data = _text_model(files, classes, net)
            parts = (*_parts(files, "unet", "latent.net."), *_parts(files, "vae", "first_stage.net."))
            parts += _parts(files, "text_encoder", "latent.text.", "model", _text_name)
        elif stage:
            first = _component(files, classes, stage, ("AutoencoderKL", "VQModel"))
            prior = {"name": f"{_DIST}-unet", **net}
            model = {"name": f"{_DIST}-latent", "first_stage": first, "first_stage_class": classes[stage], "prior": prior}
            parts = (*_parts(files, "unet", "latent.net."), *_parts(files, stage, "first_stage.net."))
        else:
            model = {"name": f"{_DIST}-unet", **net}
            parts = _parts(files, "unet", "net.")
        sampler, levels = sampler_of(scheduler)
        config = {"format": 1, "weights_version": 1, "model": model, "sampler": sampler, **({"scheduler": levels} if levels else {})}
        return Converted(config=config, parts=parts, data=data)


def _text_model(files: Files, classes: Mapping[str, str], net: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
    """The plain config of a model with a text encoder, and the tables of its tokenizer."""
    more = sorted({"image_encoder", "prior", "text_encoder_2"} & classes.keys())
    if more:
        raise ConfigError(f"{files.reference}: the bridge reads one text encoder and no {more[0]}", "name another checkpoint")
    first = _component(files, classes, "vae", ("AutoencoderKL",))
    options = _component(files, classes, "text_encoder", ("CLIPTextModel",))
    if classes.get("tokenizer") not in ("CLIPTokenizer", "CLIPTokenizerFast"):
        named = str(classes.get("tokenizer"))[:60]
        raise ConfigError(f"{files.reference}: the bridge reads no {named} as its tokenizer", "it reads CLIPTokenizer")
    table, special = _tokenizer(files)
    text = {
        "vocab_size": options.get("vocab_size", 49408),
        "table_bytes": len(table),
        "hidden_size": options.get("hidden_size", 512),
        "layers": options.get("num_hidden_layers", 12),
        "heads": options.get("num_attention_heads", 8),
        "intermediate_size": options.get("intermediate_size", 2048),
        "positions": options.get("max_position_embeddings", 77),
        "activation": options.get("hidden_act", "quick_gelu"),
        "eps": options.get("layer_norm_eps", 1e-5),
        **special,
    }
    return {"name": f"{_DIST}-text", **net, "first_stage": first, "text": text}, {"latent.text.table": table}


def _tokenizer(files: Files) -> tuple[bytes, dict[str, int]]:
    """The tables of the tokenizer, from vocab.json and merges.txt or from tokenizer.json, and its special tokens.

    Raises:
        TrustError: if there are no tables.
        ConfigError: if they are not those of CLIP.
    """
    here = {name for name in ("vocab.json", "merges.txt", "tokenizer.json", "tokenizer_config.json") if f"tokenizer/{name}" in files.names}
    if {"vocab.json", "merges.txt"} <= here:
        vocab: Any = files.json("tokenizer/vocab.json")
        lines = files.read("tokenizer/merges.txt").decode("utf-8", "replace").split("\n")
        merges: Any = [line for line in lines if line.strip() and not line.startswith("#version")]
    elif "tokenizer.json" in here:
        model = files.json("tokenizer/tokenizer.json").get("model")
        vocab, merges = (model.get(key) if isinstance(model, dict) else None for key in ("vocab", "merges"))
    else:
        raise TrustError(f"{files.reference} is not in the layout of diffusers: it has no tokenizer/vocab.json", "name another checkpoint")
    table = table_of(vocab, merges)
    options = files.json("tokenizer/tokenizer_config.json") if "tokenizer_config.json" in here else {}
    named = options.get("pad_token", END)
    pad = str(named.get("content") if isinstance(named, dict) else named)
    if pad not in vocab:
        raise ConfigError(f"{files.reference}: its tokenizer fills up texts with {pad[:40]!r}, which it does not know", "name another one")
    return table, {"start": vocab[START], "end": vocab[END], "pad": vocab[pad]}


def _classes(files: Files) -> dict[str, str]:
    """The classes of the components by name, from model_index.json.

    Raises:
        TrustError: if one of them is code of the repository.
    """
    index = files.json(INDEX)
    classes: dict[str, str] = {}
    for name, value in {"pipeline": index.get("_class_name"), **index}.items():
        if name.startswith("_") or (isinstance(value, str) and name == "pipeline"):
            continue
        if not isinstance(value, list):
            if name == "pipeline":
                raise TrustError(f"{files.reference} is not in the layout of diffusers: its {INDEX} names no pipeline", "do not use it")
            continue  # an option of the pipeline
        if name == "pipeline" or len(value) != 2 or value[0] not in _LIBRARIES or not isinstance(value[1], str | None):
            named = ".".join(str(each) for each in value)[:80]
            raise TrustError(f"{files.reference} names code of its own, {named}", "the zoo runs no code of a checkpoint: do not use it")
        if value[1] is not None:
            classes[name] = value[1]
    return classes


def _component(files: Files, classes: Mapping[str, str], name: str, known: tuple[str, ...]) -> dict[str, Any]:
    """The config of a component, which must be of a known class."""
    options = _options(files, name, "config.json")
    _check_class(files, name, classes.get(name), options)
    if classes[name] not in known:
        what = f"{files.reference}: the bridge reads no {classes[name][:60]} as its {name}"
        raise ConfigError(what, f"it reads {' and '.join(known)}")
    return {key: value for key, value in options.items() if not key.startswith("_")}


def _options(files: Files, name: str, file: str) -> dict[str, Any]:
    """The JSON file of a component, in its folder or beside model_index.json.

    Raises:
        TrustError: if there is none, or it names code of the repository.
    """
    place = _place(files, name, file)
    if not place:
        raise TrustError(f"{files.reference} is not in the layout of diffusers: it has no {name}/{file}", "name another checkpoint")
    options = _json(files, place)
    if "auto_map" in options:
        raise TrustError(f"{files.reference} names code of its own in {place}", "the zoo runs no code of a checkpoint: do not use it")
    return options


def _json(files: Files, name: str) -> dict[str, Any]:
    """A JSON object in which infinities, as the scheduler of DPM-Solver++ writes them, are None.

    Raises:
        ConfigError: if it is not valid.
    """
    try:
        options = json.loads(files.read(name), parse_constant=lambda constant: None)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{files.reference}: {name} is not valid JSON", "do not use it") from error
    if not isinstance(options, dict):
        raise ConfigError(f"{files.reference}: {name} must hold a JSON object", "do not use it")
    return options


def _check_class(files: Files, name: str, wanted: str | None, options: Mapping[str, Any]) -> None:
    if wanted is None or options.get("_class_name", wanted) != wanted:
        what = f"{files.reference} is not in the layout of diffusers: {INDEX} and the config of its {name} name different classes"
        raise TrustError(what, "name another checkpoint")


def _place(files: Files, name: str, file: str) -> str:
    return next((place for place in (f"{name}/{file}", file) if place in files.names), "")


def _parts(files: Files, name: str, prefix: str, stem: str = _STEM, renamed: Callable[[str], str | None] | None = None) -> tuple[Part, ...]:
    """The files of a component's weights, in one piece or in shards, which an index lists.

    Args:
        files: the files as they are.
        name: name of the component.
        prefix: what stands before its names in the model's state dict.
        stem: name of its files, without what follows.
        renamed: function from its names to ours, before the prefix; None for that of attention.
    """
    rename = partial(_prefixed, prefix, renamed or _attention_name)
    if place := _place(files, name, f"{stem}.safetensors"):
        return (Part(file=place, rename=rename),)
    index = _place(files, name, f"{stem}.safetensors.index.json")
    listed = files.json(index).get("weight_map") if index else None
    shards = sorted({str(shard) for shard in listed.values()}) if isinstance(listed, dict) else []
    if not shards or not all(re.fullmatch(_shard(stem), shard) for shard in shards):
        raise TrustError(f"{files.reference} is not in the layout of diffusers: it has no {name}/{stem}.safetensors", "name another one")
    return tuple(Part(file=index.removesuffix(f"{stem}.safetensors.index.json") + shard, rename=rename) for shard in shards)


def _prefixed(prefix: str, renamed: Callable[[str], str | None], name: str) -> str | None:
    own = renamed(name)
    return None if own is None else prefix + own


def _attention_name(name: str) -> str:
    """The present name of a layer of attention."""
    return _OLD.sub(lambda match: f"{match[1]}{_RENAMED[match[2]]}.{match[3]}", name)


def _text_name(name: str) -> str | None:
    """The name in our text encoder; None for what it does not hold: positions, which are 0, 1, ..., and a projection."""
    own = name.removeprefix("text_model.")
    return None if own in ("embeddings.position_ids", "text_projection.weight") else own
