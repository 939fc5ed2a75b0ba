"""Hints for mistyped commands, options and names, and for those of other programs."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import click

from zoo_core.errors import UnknownNameError
from zoo_core.registry import registry
from zoo_core.registry.listing import LISTED

__all__ = ["COMMANDS", "OPTIONS", "argument_hint", "no_match", "option_hint"]

_HUB = "zoo list --remote --search TEXT"

COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        **dict.fromkeys(("generate", "draw", "infer", "inference", "predict", "run", "inpaint"), "zoo sample NAME draws samples"),
        **dict.fromkeys(("find", "grep", "apropos"), f"`zoo search WORD` searches what is installed, `{_HUB}` the Hub"),
        **dict.fromkeys(("ls", "models", "checkpoints"), f"`zoo list` shows the installed ones, `{_HUB}` those on the Hub"),
        **dict.fromkeys(("samplers", "schedulers", "datasets", "metrics", "recipes", "families"), "zoo list KIND"),
        **dict.fromkeys(("download", "fetch", "get"), "zoo pull NAME fetches a checkpoint"),
        **dict.fromkeys(("install", "add", "uninstall"), "plugins are installed by pip; zoo pull NAME fetches a checkpoint"),
        **dict.fromkeys(("info", "describe", "card", "inspect", "config"), "zoo show NAME"),
        **dict.fromkeys(("eval", "test", "measure", "benchmark", "fid", "score"), "zoo evaluate NAME --metrics fd"),
        **dict.fromkeys(("fit", "finetune", "fine-tune", "tune"), "zoo train FAMILY --data folder:PATH; --from NAME starts from it"),
        **dict.fromkeys(("resume", "continue"), "the same `zoo train` command goes on with the run in its --out"),
        **dict.fromkeys(("plot", "visualize", "vis", "show-samples"), "zoo figure NAME KIND"),
        **dict.fromkeys(("upload", "push", "share"), "zoo publish RUN ORG/NAME"),
        **dict.fromkeys(("check",), "zoo plugins --check, or zoo verify NAME"),
        **dict.fromkeys(("help", "man"), "zoo --help, or zoo COMMAND --help"),
        **dict.fromkeys(("version",), "zoo --version"),
    }
)
"""The hint for each command of another program."""

_COMPLETION = "zoo completion --install switches it on"

OPTIONS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("num-inference-steps", "num-steps", "n-steps", "nfe", "sampling-steps", "timesteps"), ("--steps", "--steps N")),
        **dict.fromkeys(
            ("epochs", "num-epochs", "max-steps", "num-train-epochs", "iterations"), ("--steps", "--steps N, a step is a batch")
        ),
        **dict.fromkeys(("num-images", "num-samples", "n-samples", "num", "count", "samples"), ("-n", "-n N")),
        **dict.fromkeys(("guidance-scale", "cfg", "cfg-scale", "scale"), ("--guidance", "--guidance SCALE, with --labels")),
        **dict.fromkeys(("class", "classes", "class-labels", "label"), ("--labels", "--labels CLASS,...")),
        **dict.fromkeys(("output", "output-dir", "outdir", "output-file", "save", "save-dir"), ("--out", "--out PATH")),
        **dict.fromkeys(("dataset", "data-dir", "train-data-dir", "dataset-name"), ("--data", "--data folder:PATH, or --data NAME")),
        **dict.fromkeys(("learning-rate",), ("--lr", "--lr RATE")),
        **dict.fromkeys(("bs", "batch", "train-batch-size", "batchsize"), ("--batch-size", "--batch-size N")),
        **dict.fromkeys(("cuda", "gpu", "gpus", "cpu"), ("--device", "--device cuda, or --device cpu")),
        **dict.fromkeys(("fp16", "half", "bf16", "torch-dtype", "precision"), ("--dtype", "--dtype float16, or --dtype bfloat16")),
        **dict.fromkeys(("mixed-precision", "amp"), ("--lr", "-o fit.precision=bf16")),
        **dict.fromkeys(("resume-from", "resume-from-checkpoint"), ("--resume", "the same command goes on with the run in --out")),
        **dict.fromkeys(("pretrained", "init", "init-from"), ("--from", "--from NAME")),
        **dict.fromkeys(("solver", "method", "sampling-method"), ("--sampler", "--sampler NAME; `zoo list samplers`")),
        **dict.fromkeys(("metric",), ("--metrics", "--metrics NAME,...")),
        **dict.fromkeys(("install-completion", "show-completion"), ("", _COMPLETION)),
    }
)
"""For each option of another program, the option here and the hint, which is shown for commands that have that option."""


def option_hint(error: click.NoSuchOption) -> str:
    """The hint for an unknown option: its name here, or the nearest ones; empty if none is near."""
    from difflib import get_close_matches

    wanted, hint = OPTIONS.get(error.option_name.lstrip("-").replace("_", "-"), ("", ""))
    own = {name for parameter in error.ctx.command.params for name in (*parameter.opts, *parameter.secondary_opts)} if error.ctx else set()
    if hint and (not wanted or wanted in own):
        return f"write {hint}" if wanted else hint
    near = get_close_matches(error.option_name, own, n=2, cutoff=0.7)
    return f"did you mean {' or '.join(near)}?" if near else ""


def argument_hint(error: click.MissingParameter) -> str:
    """The hint for a missing argument: the command that lists its values; empty if there is none."""
    match getattr(error.param, "type", None), getattr(error.param, "name", ""):
        case click.ParamType(name="reference"), _:
            return "name a checkpoint of `zoo list`, or the folder of a run"
        case _, "family":
            return "name a family of `zoo list families`, such as ddpm"
    return ""


def no_match(kind: str, patterns: Sequence[str], hint: str = "") -> UnknownNameError:
    """The error for patterns that no name of a kind matches, with the nearest kind or name if there is one."""
    near = UnknownNameError.of("kind", patterns[0], [*LISTED, *registry().claims(LISTED[kind])]).hint
    if not near.startswith("did you mean"):
        near = hint or f"`zoo list {kind}` shows all"
    return UnknownNameError(f"no {kind} match {' or '.join(patterns)}", near)
