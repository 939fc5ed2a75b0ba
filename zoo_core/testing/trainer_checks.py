"""The conformance checks of a family's trainer: each is a function over a :class:`~zoo_core.testing.tested_family.Subject`."""

import math
from copy import deepcopy

import torch
from torch import Tensor

from zoo_core.interfaces import Rng
from zoo_core.registry import resolve
from zoo_core.rng import StepRng, Stream, isolated
from zoo_core.testing.tested_family import ROWS, TOLERANCE, Subject, distance, same
from zoo_core.training.adversarial import AdversarialTrainer
from zoo_core.training.trainer import Batch, Loss, Trainer, is_loops_own, only

__all__ = [
    "check_critic_judges_each_row",
    "check_frozen_nets_are_left_alone",
    "check_steps_without_an_optimizer_are_of_the_state_alone",
    "check_trainer_draws_from_its_rng",
    "check_trainer_gives_gradients",
    "check_trainer_splits_parameters",
    "check_trainer_takes_the_mean_over_rows",
]


def check_trainer_splits_parameters(subject: Subject) -> None:
    """``phases(0)`` holds all phases, and each parameter that requires gradients is trained by exactly one of them.

    A phase may train none: it has no optimizer, and takes its step itself.
    """
    trainer = subject.trainer()
    named = {id(parameter): name for name, parameter in trainer.named_parameters()}
    assert isinstance(trainer, Trainer), f"{type(trainer).__name__} is not a Trainer"
    assert isinstance(trainer.model, resolve(subject.spec.target)), "trainer.model is not the model that the trainer got"
    phases = trainer.phases(0)
    later = {phase for step in range(1, 20) for phase in trainer.phases(step)} - set(phases)
    assert not later, f"phases(0) leaves out {', '.join(sorted(later))}"
    owner: dict[int, str] = {}
    for phase in phases:
        for parameter in trainer.parameters_of(phase):
            assert id(parameter) in named, (
                f"phase {phase} trains a parameter that is not the trainer's: its optimizer state cannot be saved"
            )
            other = owner.setdefault(id(parameter), phase)
            assert other == phase, f"{named[id(parameter)]} is trained by {other} and by {phase}"
    forgotten = [name for name, parameter in trainer.named_parameters() if parameter.requires_grad and id(parameter) not in owner]
    assert not forgotten, f"no phase trains {', '.join(forgotten)}"


def check_trainer_gives_gradients(subject: Subject) -> None:
    """Each phase has a finite scalar loss with a finite gradient for each of its parameters and no others, and detached scalar logs.

    The loss of a phase without an optimizer needs no gradient.
    """
    trainer = subject.trainer()
    batch = subject.batch(trainer.model)
    with isolated(0, stream=Stream.STEP):
        with torch.no_grad():
            trainer.prepare(batch, StepRng(0, 0, len(batch.x), stream=Stream.INIT))
        for phase in trainer.phases(0):
            if not list(trainer.parameters_of(phase)):
                with torch.no_grad():
                    _check_loss(trainer(phase, batch, _rng()), phase)
                continue
            own = {id(parameter) for parameter in trainer.parameters_of(phase)}
            with only(trainer, list(trainer.parameters_of(phase))):
                loss = trainer(phase, batch, StepRng(0, 0, len(batch.x)))
                _check_loss(loss, phase)
                assert loss.value.requires_grad, f"the loss of {phase} has no graph"
                loss.value.backward()
            _check_gradients(trainer, phase, own)
            trainer.zero_grad(set_to_none=True)


def _check_loss(loss: Loss, phase: str) -> None:
    assert loss.value.shape == (), f"the loss of {phase} has the shape {tuple(loss.value.shape)}"
    assert math.isfinite(loss.value.item()), f"the loss of {phase} is {loss.value.item()}"
    for name, value in loss.logs.items():
        assert not is_loops_own(name), f"log {name!r} of {phase} has a name of the loop's own logs: step, seconds, loss.*, gradient.*"
        assert value.shape == () and not value.requires_grad, f"log {name!r} of {phase} must be a detached scalar"


def _check_gradients(trainer: Trainer, phase: str, own: set[int]) -> None:
    for name, parameter in trainer.named_parameters():
        if id(parameter) in own:
            assert parameter.grad is not None, f"phase {phase} gives {name} no gradient"
            assert bool(torch.isfinite(parameter.grad).all()), f"phase {phase} gives {name} a gradient that is not finite"
        else:
            assert parameter.grad is None, f"phase {phase} gives a gradient to {name}, which is not its own"


def check_trainer_draws_from_its_rng(subject: Subject) -> None:
    """In eval mode, without dropout, the loss of a phase does not depend on the global generator."""
    trainer = subject.trainer().eval()
    batch = subject.batch(trainer.model)
    for phase in trainer.phases(0):
        values = []
        for seed in (1, 2):
            with isolated(seed, stream=Stream.STEP):
                values.append(_loss(trainer, phase, batch, StepRng(0, 0, ROWS)))
        assert same(values[0], values[1]), f"the loss of {phase} depends on the global generator: draw from the rng argument"


class _Twice:
    """An Rng whose rows are the rows of another one, twice."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng

    def __len__(self) -> int:
        return 2 * len(self.rng)

    def normal(self, *shape: int) -> Tensor:
        return torch.cat([self.rng.normal(*shape)] * 2)

    def uniform(self, *shape: int) -> Tensor:
        return torch.cat([self.rng.uniform(*shape)] * 2)

    def integers(self, low: int, high: int, *shape: int) -> Tensor:
        return torch.cat([self.rng.integers(low, high, *shape)] * 2)


def check_trainer_takes_the_mean_over_rows(subject: Subject) -> None:
    """In eval mode, a batch with each row twice, and the same noise, has the same loss: the loss is a mean over rows, not a sum."""
    trainer = subject.trainer().eval()
    once = subject.batch(trainer.model)
    labels = None if once.labels is None else torch.cat([once.labels] * 2)
    twice = Batch(x=torch.cat([once.x] * 2), labels=labels, index=torch.cat([once.index] * 2), captions=2 * once.captions)
    for phase in trainer.phases(0):
        with isolated(0, stream=Stream.STEP):
            losses = [_loss(trainer, phase, batch, rng) for batch, rng in ((once, _rng()), (twice, _Twice(_rng())))]
        apart = distance(*losses).item()
        what = f"the loss of {phase} is {losses[0].item():.4g}, and {losses[1].item():.4g} with each row twice"
        assert apart <= 10 * TOLERANCE * (1 + losses[0].nan_to_num().abs().item()), f"{what}: take the mean over rows"


def _loss(trainer: Trainer, phase: str, batch: Batch, rng: Rng) -> Tensor:
    """The loss of a phase at the present state of the trainer: a step that a phase takes itself is taken by a copy."""
    if list(trainer.parameters_of(phase)):
        return trainer(phase, batch, rng).value.detach()
    with torch.no_grad():
        return deepcopy(trainer)(phase, batch, rng).value


def _rng() -> StepRng:
    return StepRng(0, 0, ROWS)


def check_steps_without_an_optimizer_are_of_the_state_alone(subject: Subject) -> None:
    """A phase without an optimizer takes a step: it changes the state, and its next step depends on nothing that snapshots do not hold."""
    trainer = subject.trainer()
    batch = subject.batch(trainer.model)
    solved = [phase for phase in trainer.phases(0) if not list(trainer.parameters_of(phase))]
    with isolated(0, stream=Stream.STEP), torch.no_grad():
        for phase in solved:
            before = deepcopy(trainer.state_dict())
            trainer(phase, batch, _rng())
            state = deepcopy(trainer.state_dict())
            changed = [name for name, tensor in state.items() if not same(tensor, before[name])]
            assert changed, f"phase {phase} trains no parameter by an optimizer, and changes none itself"
            restored = subject.trainer()
            restored.load_state_dict(state)
            for each in (trainer, restored):
                each.place(1, 10)
                each(phase, batch, StepRng(0, 1, ROWS))
            other = restored.state_dict()
            lost = [name for name, tensor in trainer.state_dict().items() if not same(tensor, other[name])]
            assert not lost, f"after a resume, phase {phase} sets another {', '.join(lost[:3])}: keep its state in buffers or parameters"


def check_frozen_nets_are_left_alone(subject: Subject) -> None:
    """Frozen nets, such as teachers, are in eval mode, get no gradient and no new values from a step, and are no part of the state."""
    trainer = subject.trainer()
    saved = {tensor.untyped_storage().data_ptr() for tensor in trainer.state_dict().values() if tensor.numel()}
    batch = subject.batch(trainer.model)
    before = {name: deepcopy(net.state_dict()) for name, net in trainer.frozen.items()}
    for name, net in trainer.frozen.items():
        shared = [key for key, tensor in net.state_dict().items() if tensor.untyped_storage().data_ptr() in saved]
        assert not shared, f"{shared[0]} of the frozen {name} is a part of the trainer's state"
    with isolated(0, stream=Stream.STEP):
        for phase in trainer.phases(0):
            if list(trainer.parameters_of(phase)):
                trainer(phase, batch, _rng()).value.backward()
            with torch.no_grad():
                trainer.after(phase)
    for name, net in trainer.frozen.items():
        assert not any(module.training for module in net.modules()), f"the frozen {name} is not in eval mode"
        assert all(parameter.grad is None for parameter in net.parameters()), f"the frozen {name} has gradients"
        changed = [key for key, tensor in net.state_dict().items() if not same(tensor, before[name][key])]
        assert not changed, f"a step changes {changed[0]} of the frozen {name}"


def check_critic_judges_each_row(subject: Subject) -> None:
    """The critic of an adversarial trainer returns one output for each row, (n,): (n, 1) would broadcast with (n,) to (n, n)."""
    trainer = subject.trainer().eval()
    if isinstance(trainer, AdversarialTrainer):
        batch = subject.batch(trainer.model)
        with torch.no_grad():
            shape = tuple(trainer.judge(batch.x, batch.labels if trainer.num_classes else None).shape)
        assert shape == (ROWS,), f"the critic gives the shape {shape}, not {(ROWS,)}: end it with nn.Flatten(0)"
