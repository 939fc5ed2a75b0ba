"""Training the second stage: the trainer of any denoiser on the latents of a frozen autoencoder, which are computed once."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from zoo_core.atomic import write_file
from zoo_core.capabilities import check_trainer
from zoo_core.data.dataset import Data
from zoo_core.errors import ConfigError
from zoo_core.interfaces import ModelConfig, Rng, TrainerConfig
from zoo_core.registry import registry, resolve
from zoo_core.registry.faults import call_plugin
from zoo_core.specs import ModelSpec, TrainerSpec
from zoo_core.training.teachers import begin_part
from zoo_core.training.trainer import Batch, Loss, Trainer
from zoo_latent_diffusion.config import LatentDiffusionTrainerConfig
from zoo_latent_diffusion.latent import LatentDiffusion

__all__ = ["LATENTS", "LatentDiffusionTrainer", "trainer_of"]

LATENTS = "latents.safetensors"
ROWS = 64  # rows of one pass of the encoder
SHARED = "inner.model."  # names of the prior's tensors in the state of its trainer, besides those in the model's


def trainer_of(family: ModelConfig, model: nn.Module, config: TrainerConfig | None) -> Trainer:
    """The trainer of a model.

    Args:
        family: config of the model.
        model: the model.
        config: config of the trainer; None for the own trainer of the model's family, with its defaults.

    Raises:
        CapabilityError: if that trainer cannot train the family.
    """
    if config is None:
        spec = registry().spec(ModelSpec, registry().name_of("family", type(family)))
        config = call_plugin(resolve(registry().spec(TrainerSpec, spec.trainer).config), kind=TrainerConfig)
    check_trainer(family, config)
    target = resolve(registry().spec(TrainerSpec, registry().name_of("trainer", type(config))).target)
    return call_plugin(target, model, config, kind=Trainer)  # type: ignore[type-abstract]  # asked of an instance


class LatentDiffusionTrainer(Trainer):
    """Trains the prior of a latent-diffusion model by the prior's own trainer, on encoded batches; the first stage stays as it is.

    A new run copies the weights of ``config.first_stage``, and takes the mean and the standard deviation of each channel from the latents
    of its first batch. The latents of all data, and of mirror images if the data is mirrored, are computed once, by ``encode``. They are
    kept in the run folder, in ``latents.safetensors``, with the sha256 of what they were computed from and of their own bytes; a file that
    does not fit is computed again.

    Example:
        >>> from zoo_core.config import decode
        >>> from zoo_core.rng import StepRng
        >>> from zoo_latent_diffusion.config import AutoencoderConfig, LatentDiffusionConfig
        >>> prior = {"name": "ddpm", "image_size": 4, "channels": 4, "dim": 8, "multipliers": [1, 2], "linear_attention": []}
        >>> config = LatentDiffusionConfig(first_stage=AutoencoderConfig(image_size=16, width=8), prior=decode(ModelConfig, prior))
        >>> trainer = LatentDiffusionTrainer(LatentDiffusion(config), LatentDiffusionTrainerConfig())
        >>> batch = Batch(x=torch.zeros(2, 3, 16, 16), labels=None, index=torch.arange(2))
        >>> trainer("model", batch, StepRng(0, 0, 2)).value.shape
        torch.Size([])

    Raises:
        IncompatibleCheckpoint: if ``config.first_stage`` is a checkpoint of another config than the model's first stage.
        CapabilityError: if ``config.prior`` cannot train the prior.
        ConfigError: in ``prepare``, if a new run has no first stage.
    """

    model: LatentDiffusion
    config: LatentDiffusionTrainerConfig

    def __init__(self, model: LatentDiffusion, config: LatentDiffusionTrainerConfig) -> None:
        super().__init__(model, config)
        if config.first_stage is not None:
            begin_part("first_stage", model.first_stage, model.config.first_stage, config.first_stage, requires="encode")
        self.freeze_part(model.first_stage)
        self.inner = trainer_of(model.config.prior, model.denoiser, config.prior)
        self.average_buffers = self.inner.average_buffers  # type: ignore[misc]  # that of this prior
        self.uses_steps = self.inner.uses_steps  # type: ignore[misc]  # likewise
        self.reads_captions = self.inner.reads_captions  # type: ignore[misc]  # likewise
        self.encoded = False

    def phases(self, step: int) -> tuple[str, ...]:
        return self.inner.phases(step)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        return self.inner.parameters_of(phase)

    def place(self, step: int, steps: int) -> None:
        super().place(step, steps)
        self.inner.place(step, steps)

    def prepare(self, batch: Batch, rng: Rng) -> None:
        if self.config.first_stage is None:
            raise ConfigError("the run has no first stage", "name its checkpoint: -o trainer.first_stage.reference=REF")
        z = self._latents(batch.x) * self.model.std + self.model.mean
        by_channel = z.transpose(0, 1).flatten(1)
        self.model.mean.copy_(by_channel.mean(1).view_as(self.model.mean))
        self.model.std.copy_(by_channel.std(1).clamp(min=1e-6).view_as(self.model.std))
        self.inner.prepare(self._encoded(batch), rng)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.model.latent.event.shape

    def inputs(self, data: Data, folder: Path) -> Data:
        origin = self._origin(data)
        path = folder / LATENTS
        x = _stored(path, origin)
        if x is None:
            x = self._all_latents(data)
            write_file(path, save({"latents": x}, metadata={"format": "pt", "origin": origin, "sha256": _digest(x)}))
        self.encoded = True
        copies = len(x) // len(data)
        labels = None if data.labels is None else data.labels.repeat(copies)
        return self.inner.inputs(Data(x=x, labels=labels, classes=data.classes, captions=data.captions * copies), folder)

    def _origin(self, data: Data) -> str:
        """The sha256 of all that latents depend on: the data, whether it is mirrored, the first stage, and the scale of latents."""
        sha = hashlib.sha256(f"{data.digest} {data.flip}".encode())
        state = {**self.model.first_stage.state_dict(), "mean": self.model.mean, "std": self.model.std}
        for name, value in state.items():
            sha.update(f"{name} {_digest(value)}".encode())
        return sha.hexdigest()

    def _all_latents(self, data: Data) -> Tensor:
        device = self.model.mean.device
        whole = []
        for mirrored in (False, True) if data.flip else (False,):
            for places in torch.split(torch.arange(len(data)), ROWS):
                x = data.rows(places).to(device)
                whole.append(self._latents(x.flip(-1) if mirrored else x).cpu())
        return torch.cat(whole)

    @torch.no_grad()
    def _latents(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.model.encode(x).contiguous()

    def _encoded(self, batch: Batch) -> Batch:
        if self.encoded or tuple(batch.x.shape[1:]) != self.model.event.shape:
            return batch
        return replace(batch, x=self._latents(batch.x))

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        return self.inner.forward(phase, self._encoded(batch), rng)

    def compilable(self) -> Iterable[nn.Module]:
        return self.inner.compilable()

    def after(self, phase: str) -> None:
        self.inner.after(phase)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]  # the same arguments
        state: dict[str, Any] = super().state_dict(*args, **options)
        return {name: value for name, value in state.items() if not name.startswith(SHARED)}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        prior = "model.denoiser."
        shared = {SHARED + name.removeprefix(prior): value for name, value in state_dict.items() if name.startswith(prior)}
        return super().load_state_dict({**state_dict, **shared}, strict, assign)


def _digest(x: Tensor) -> str:
    return hashlib.sha256(x.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes()).hexdigest()


def _stored(path: Path, origin: str) -> Tensor | None:
    """The latents of a file, if they were computed from ``origin`` and are as they were written; None otherwise."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            facts = file.metadata() or {}
            if facts.get("origin") != origin:
                return None
            x: Tensor = file.get_tensor("latents")
    except (OSError, SafetensorError):
        x, facts = torch.empty(0), {}
    if facts.get("sha256") == _digest(x):
        return x
    warnings.warn(f"{path} is damaged: the latents are computed again", RuntimeWarning, stacklevel=3)
    return None
