"""The state of a run and one step of it: phases, gradient accumulation, mixed precision, moving averages. Families have their Trainers."""

import math
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from zoo_core.capabilities import check_capabilities, check_trainer
from zoo_core.checkpoint.build import model_of
from zoo_core.checkpoint.config import family_sampler
from zoo_core.data.dataset import Data
from zoo_core.distributed import Processes
from zoo_core.errors import CapabilityError, ConfigError, ZooError
from zoo_core.hardware.precision import DTYPES, auto_precision
from zoo_core.recipes import FitConfig, OptimizerConfig, Recipe, with_precision
from zoo_core.registry import registry, resolve
from zoo_core.registry.faults import call_plugin, expect, fault
from zoo_core.rng import StepRng, Stream, isolated
from zoo_core.specs import ModelSpec, TrainerSpec
from zoo_core.training import optimizers
from zoo_core.training.batches import Batches
from zoo_core.training.checkpoints import Snapshot
from zoo_core.training.trainer import Batch, Loss, Trainer, is_loops_own, only

__all__ = ["AUTOCAST", "Loop", "build", "learning_rate", "loss_of"]

FORMAT = 1  # of state.json
AUTOCAST: dict[str, torch.dtype] = {precision: getattr(torch, name) for precision, name in DTYPES.items()}


def build(recipe: Recipe) -> Trainer:
    """The trainer of a recipe with its model, initialised from the recipe's seed; the global random generators do not move.

    Raises:
        UnknownNameError: if no installed plugin has the family or the trainer.
        PluginError: if the plugin fails to build them.
        CapabilityError: if the recipe's sampler cannot sample the family, or its trainer cannot train it.
    """
    model_spec = registry().spec(ModelSpec, registry().name_of("family", type(recipe.model)))
    trainer_spec = registry().spec(TrainerSpec, registry().name_of("trainer", type(recipe.trainer)))
    check_trainer(recipe.model, recipe.trainer)
    with isolated(recipe.fit.seed, stream=Stream.INIT):
        model = model_of(recipe.model)
        check_capabilities(model, model_spec, [recipe.sampler.requires] if recipe.sampler else ())
        trainer = call_plugin(resolve(trainer_spec.target), model, recipe.trainer, kind=Trainer)  # type: ignore[type-abstract]  # asked of an instance
    return trainer.to(memory_format=torch.channels_last) if recipe.fit.channels_last else trainer


def loss_of(trainer: Trainer, phase: str, given: object) -> Loss:
    """The result of a phase of the trainer, checked to be a loss.

    Raises:
        PluginError: if it is not a Loss, or its value is not a scalar.
    """
    loss = expect(trainer.forward, given, Loss)
    if not isinstance(loss.value, Tensor) or loss.value.ndim:
        shape = f"the shape {tuple(loss.value.shape)}" if isinstance(loss.value, Tensor) else f"the type {type(loss.value).__name__}"
        raise fault(trainer.forward, f"the loss of phase {phase!r} has {shape}, and must be a tensor of the shape ()")
    return loss


def learning_rate(fit: FitConfig, base: float, step: int) -> float:
    """The learning rate of a step (from 0): warm-up and ``fit.lr_schedule``, in each of ``fit.lr_cycles`` equal parts of the run.

    >>> fit = FitConfig(steps=100, warmup=10, lr_schedule="linear")
    >>> learning_rate(fit, 1.0, 0), learning_rate(fit, 1.0, 50)
    (0.1, 0.5)

    Args:
        fit: number of steps, warm-up and schedule.
        base: learning rate before warm-up and decay.
        step: number of steps done.
    """
    cycle = min(step * fit.lr_cycles // fit.steps, fit.lr_cycles - 1)
    begin, end = (math.ceil(part * fit.steps / fit.lr_cycles) for part in (cycle, cycle + 1))
    warm = min(1.0, (step - begin + 1) / fit.warmup) if fit.warmup else 1.0
    progress = min((step - begin) / (end - begin), 1.0)
    decay = {"constant": 1.0, "linear": 1 - progress, "cosine": 0.5 * (1 + math.cos(math.pi * progress))}[fit.lr_schedule]
    return base * warm * decay


def _resolved(recipe: Recipe, processes: Processes) -> Recipe:
    """The recipe as it is trained.

    The precision ``auto`` becomes ``bf16`` if every process computes it natively, else ``no``. A missing sampler becomes the default of
    the family, if one can draw from it, for previews and the export.
    """
    if recipe.sampler is None:
        with suppress(CapabilityError):  # such as a classifier
            recipe = replace(recipe, sampler=family_sampler(recipe.model))
    if recipe.fit.precision != "auto":
        return recipe
    choices = processes.gather(auto_precision(processes.device))
    return with_precision(recipe, "no" if "no" in choices else "bf16")


class Loop:
    """Trainer, moving average, and an optimizer and a loss scaler for each phase.

    The precision ``auto`` and a missing sampler are resolved in ``recipe``.

    ``start`` or ``restore`` is called first, in every process; then each ``advance`` is a step.

    >>> from zoo_core.testing import fake_zoo
    >>> from zoo_core.testing.fake_config import FakeDataConfig, FakeDenoiserConfig, FakeDenoiserTrainerConfig
    >>> from zoo_core.data.dataset import load_data
    >>> recipe = Recipe(
    ...     model=FakeDenoiserConfig(), trainer=FakeDenoiserTrainerConfig(), fit=FitConfig(batch_size=4), data=FakeDataConfig(count=8)
    ... )
    >>> with fake_zoo():
    ...     loop = Loop(recipe, build(recipe), load_data(recipe.data), Processes("cpu"))
    >>> loop.start()
    >>> loop.advance()
    >>> loop.step, sorted(loop.logs())
    (1, ['gradient.model', 'loss.model'])

    Args:
        recipe: recipe of the run.
        trainer: trainer of the recipe.
        data: data of the recipe.
        processes: processes that share each batch.

    Raises:
        ConfigError: if the recipe has an optimizer for an unknown phase, an unknown optimizer, or a batch that cannot be split.
    """

    def __init__(self, recipe: Recipe, trainer: Trainer, data: Data, processes: Processes) -> None:
        self.recipe = recipe = _resolved(recipe, processes)
        self.trainer = trainer.to(processes.device)
        self.data = data
        self.inputs = data
        self.processes = processes
        self.device = processes.device
        self.step = 0
        self.seconds = 0.0
        self.ema: Any = None
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self._scalers: dict[str, torch.amp.GradScaler] = {}
        self._wrapped: nn.Module = trainer
        self._recent: dict[str, list[Tensor]] = {}
        self._bad: dict[str, Tensor] = {}
        self._rows = processes.rows(recipe.fit.batch_size, recipe.fit.accumulate)
        self._batches = self._batches_of(data)
        phases = trainer.phases(0)
        for phase in recipe.fit.optimizers:
            if phase not in phases:
                raise ConfigError(f"fit.optimizers.{phase}: the trainer has no such phase", f"it has {', '.join(phases)}")
            if not self._parameters(phase):
                raise ConfigError(f"fit.optimizers.{phase}: this phase has no optimizer, since it trains no parameter", "leave it out")
        for phase in phases:
            if not (parameters := self._parameters(phase)):
                continue
            where = f"fit.optimizers.{phase}" if phase in recipe.fit.optimizers else "fit.optimizer"
            self.optimizers[phase] = optimizers.create(self._optimizer_config(phase), parameters, where)
            self._scalers[phase] = torch.amp.GradScaler(self.device.type, enabled=recipe.fit.precision == "fp16")
        if recipe.fit.ema and not any(self._trains_model(self._parameters(phase)) for phase in phases):
            raise ConfigError("fit.ema: no optimizer trains the model, so there are no steps to average", "pass -o fit.ema=null")

    def _optimizer_config(self, phase: str) -> OptimizerConfig:
        return self.recipe.fit.optimizers.get(phase, self.recipe.fit.optimizer)

    def _parameters(self, phase: str) -> list[nn.Parameter]:
        return list(self.trainer.parameters_of(phase))

    @property
    def published(self) -> nn.Module:
        """The model whose weights are the run's result: the moving average, or the raw model without EMA."""
        return cast(nn.Module, self.ema.module) if self.ema is not None else self.trainer.model

    def start(self, *, prepared: bool = False) -> None:
        """Starts a new run with the present weights of the model; ``prepared`` skips the trainer's data-dependent initialisation."""
        fit = self.recipe.fit
        batch = self.data.batch(fit.seed, 0, fit.batch_size, device=self.device)
        rng = StepRng(fit.seed, 0, fit.batch_size, device=self.device, stream=Stream.INIT)
        # With the whole batch in every process, so that the result does not depend on their number.
        with isolated(fit.seed, 1, stream=Stream.INIT, devices=[self.device]), torch.no_grad():
            self.trainer.place(0, fit.steps)
            if not prepared:
                self.trainer.prepare(batch, rng)
        self._ready()

    def _ready(self) -> None:
        from timm.utils import ModelEmaV3

        fit, trainer = self.recipe.fit, self.trainer
        self._wrapped = self.processes.wrap(trainer, phases=len(self.optimizers))
        if fit.ema:
            average = ModelEmaV3(trainer.model, fit.ema.decay, use_warmup=fit.ema.warmup, exclude_buffers=not trainer.average_buffers)
            self.ema = average.requires_grad_(False)
        if fit.compile:
            self._compile()

    def _compile(self) -> None:
        nets = list(self.trainer.compilable())
        if not nets:
            raise ConfigError("fit.compile: the family allows it for none of its nets", "leave --compile out")
        for net in nets:
            net.compile(dynamic=False)

    def read_inputs(self, folder: Path) -> None:
        """Draws the batches from what the trainer computes from the data, and may keep in ``folder``."""
        if self.processes.count > 1:
            self.processes.on_main(lambda: len(self.trainer.inputs(self.data, folder)))
        self.inputs = expect(self.trainer.inputs, self.trainer.inputs(self.data, folder), Data)
        self._batches = self._batches_of(self.inputs)

    def _batches_of(self, data: Data) -> Batches:
        fit = self.recipe.fit
        return Batches(data, rows=self._rows, device=self.device, seed=fit.seed, batch_size=fit.batch_size)

    def advance(self) -> None:
        """Takes a step: for each phase forward, backward, optimizer, hook and moving average; or all gradients first, if ``simultaneous``.

        A phase without an optimizer takes its step in the trainer, on the whole batch and in every process alike.
        """
        started = time.perf_counter()
        fit = self.recipe.fit
        phases = self.trainer.phases(self.step)
        parts = self._parts() if self.optimizers.keys() & set(phases) else []
        self.trainer.place(self.step, fit.steps)
        with isolated(fit.seed, self.step, self.processes.index, stream=Stream.STEP, devices=[self.device]):
            trained = [phase for phase in phases if phase in self.optimizers]
            for phase in trained if fit.simultaneous else ():
                self._differentiate(phase, parts)
            for phase in phases:
                if phase not in trained:
                    self._solve(phase)
                    continue
                if not fit.simultaneous:
                    self._differentiate(phase, parts)
                self._take(phase)
        self.step += 1
        self.seconds += time.perf_counter() - started

    def _parts(self) -> list[tuple[Batch, StepRng]]:
        """The parts of the step's batch that this process computes, with their random numbers; the next ones are read ahead."""
        fit = self.recipe.fit
        rngs = [StepRng(fit.seed, self.step, fit.batch_size, rows, self.device) for rows in self._rows]
        return list(zip(self._batches.at(self.step, fit.steps), rngs, strict=True))

    def _part(self, rows: slice) -> tuple[Batch, StepRng]:
        """Some rows of the step's batch, with their random numbers."""
        fit = self.recipe.fit
        batch = self.inputs.batch(fit.seed, self.step, fit.batch_size, rows, self.device)
        return batch, StepRng(fit.seed, self.step, fit.batch_size, rows, self.device)

    def _solve(self, phase: str) -> None:
        with torch.no_grad():
            loss = loss_of(self.trainer, phase, self.trainer(phase, *self._part(slice(None))))
            self.trainer.after(phase)
        self._note(phase, loss)

    def _differentiate(self, phase: str, parts: Sequence[tuple[Batch, StepRng]]) -> None:
        scaler = self._scalers[phase]
        with only(self.trainer, self._parameters(phase)):
            for batch, rng in parts[:-1]:
                with self.processes.without_sync(self._wrapped):
                    self._backward(phase, batch, rng, scaler)
            self._backward(phase, *parts[-1], scaler)
        self.processes.share_buffers(self.trainer)

    def _take(self, phase: str) -> None:
        optimizer, scaler, parameters = self.optimizers[phase], self._scalers[phase], self._parameters(phase)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(self.recipe.fit, self._optimizer_config(phase).lr, self.step)
        scaler.unscale_(optimizer)
        self._clip(phase, parameters)
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad(set_to_none=True)
        self.trainer.after(phase)
        if self.ema is not None and self._trains_model(parameters):
            self.ema.update(self.trainer.model, step=self.step + 1)

    def _backward(self, phase: str, batch: Batch, rng: StepRng, scaler: torch.amp.GradScaler) -> None:
        precision = self.recipe.fit.precision
        with torch.autocast(self.device.type, AUTOCAST[precision], enabled=precision != "no"):
            loss = loss_of(self.trainer, phase, self._wrapped(phase, batch, rng))
        torch.autograd.backward(scaler.scale(loss.value / self.recipe.fit.accumulate))
        self._note(phase, loss)

    def _note(self, phase: str, loss: Loss) -> None:
        """Logs a loss, and notes whether it is finite."""
        self._watch(phase, loss.value.detach())
        if taken := [name for name in loss.logs if is_loops_own(name)]:
            raise ConfigError(f"the trainer logs {taken[0]!r:.40}, which is a name of the loop's own logs", "give it another name")
        self._log({f"loss.{phase}": loss.value.detach(), **loss.logs})

    def _clip(self, phase: str, parameters: Sequence[nn.Parameter]) -> None:
        norm = nn.utils.get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        if self.recipe.fit.clip_norm is not None:
            nn.utils.clip_grads_with_norm_(parameters, self.recipe.fit.clip_norm, norm)
        self._log({f"gradient.{phase}": norm})

    def _log(self, values: Mapping[str, Tensor]) -> None:
        for name, value in values.items():
            self._recent.setdefault(name, []).append(value)

    def _watch(self, phase: str, loss: Tensor) -> None:
        """Notes the first step whose loss is not finite, on the device: a check on the CPU would wait for the device at every step."""
        step = torch.where(torch.isfinite(loss), -1, self.step + 1)
        first = self._bad.get(phase)
        self._bad[phase] = step if first is None else torch.where(first < 0, step, first)

    def check_finite(self, saved: int, *, weights: bool = False) -> None:
        """Checks that all losses since the start were finite, in every process.

        Args:
            saved: step of the last checkpoint, for the error; 0 without one.
            weights: whether to check the weights too.

        Raises:
            ZooError: if a loss or a weight is not finite.
        """
        good = f"the last good checkpoint is that of step {saved}" if saved else "there is no checkpoint yet"
        hint = f"{good}; in a new --out, lower the learning rate or clip gradients with -o fit.clip_norm=1"
        phases = self.trainer.phases(0)
        steps = self.processes.largest(*(int(self._bad.get(phase, -1)) for phase in phases))
        bad = sorted((step, phase) for step, phase in zip(steps, phases, strict=True) if step >= 0)
        if bad:
            step, phase = bad[0]
            raise ZooError(f"the loss of phase {phase!r} is not finite at step {step}", hint)
        if weights and not all(bool(torch.isfinite(parameter).all()) for parameter in self.trainer.parameters()):
            raise ZooError(f"the weights are not finite after step {self.step}", hint)

    def _trains_model(self, parameters: Sequence[nn.Parameter]) -> bool:
        published = {id(parameter) for parameter in self.trainer.model.parameters()}
        return any(id(parameter) in published for parameter in parameters)

    def logs(self) -> dict[str, float]:
        """The means of all logs since the last call, over steps and processes. Must be called in every process."""
        means = self._means()
        self._recent.clear()
        # A scaled fp16 gradient may overflow: the scaler skips that step, and its norm is left out here.
        return {name: value for name, value in means.items() if math.isfinite(value) or not name.startswith("gradient.")}

    def share_logs(self) -> None:
        """Replaces the logs by their means over the processes, for a snapshot to hold. Must be called in every process."""
        if self.processes.count > 1:
            for name, values in self._recent.items():
                self._recent[name] = list(self.processes.mean(torch.stack([value.float().to(self.device) for value in values])))

    def _means(self) -> dict[str, float]:
        if not self._recent:
            return {}
        means = torch.stack([torch.stack([value.float().to(self.device) for value in values]).mean() for values in self._recent.values()])
        return dict(zip(self._recent, self.processes.mean(means).tolist(), strict=True))

    def snapshot(self, facts: Mapping[str, Any]) -> Snapshot:
        """The whole state that the next step depends on, the logs since the last report, and ``facts``."""
        state = self.trainer.state_dict()
        parts = {
            "model": {name: value for name, value in state.items() if name.startswith("model.")},
            "trainer": {name: value for name, value in state.items() if not name.startswith("model.")},
        }
        if self.ema is not None:
            parts["ema"] = self.ema.module.state_dict()
        numbers = {}
        for phase, optimizer in self.optimizers.items():
            moments, numbers[phase] = optimizers.state_of(optimizer)
            parts.update({f"optimizer-{phase}-{name}": values for name, values in moments.items()})
        values = {
            "format": FORMAT,
            "seconds": self.seconds,
            "optimizers": numbers,
            "scalers": {phase: scaler.state_dict() for phase, scaler in self._scalers.items()},
            "recent": {name: [item for item in map(float, values) if math.isfinite(item)] for name, values in self._recent.items()},
            **facts,
        }
        return Snapshot(step=self.step, parts={name: part for name, part in parts.items() if part}, facts=values)

    def restore(self, snapshot: Snapshot, *, options: bool = True) -> None:
        """Restores a snapshot, in the place of ``start``.

        Args:
            snapshot: snapshot of a run of the same model and trainer.
            options: whether to restore the options of the optimizers too; if False, they are those of the recipe.

        Raises:
            KeyError, ValueError, TypeError, RuntimeError: if the snapshot is of another model or trainer.
        """
        self.step = snapshot.step
        self.seconds = snapshot.facts["seconds"]
        self.trainer.load_state_dict({**snapshot.parts["model"], **snapshot.parts.get("trainer", {})})
        self._ready()
        if self.ema is not None:
            self.ema.module.load_state_dict(snapshot.parts["ema"])
        for phase, optimizer in self.optimizers.items():
            prefix = f"optimizer-{phase}-"
            moments = {name.removeprefix(prefix): part for name, part in snapshot.parts.items() if name.startswith(prefix)}
            optimizers.restore(optimizer, self._parameters(phase), moments, snapshot.facts["optimizers"][phase], options=options)
            if self._scalers[phase].is_enabled() and snapshot.facts["scalers"][phase]:
                self._scalers[phase].load_state_dict(snapshot.facts["scalers"][phase])
        self._recent = {name: [torch.tensor(value) for value in values] for name, values in snapshot.facts["recent"].items() if values}
