"""Adaptive Runge-Kutta method of Dormand and Prince, in which each row of a batch has its own steps."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from zoo_core.errors import ConfigError

__all__ = ["MAX_EVALUATIONS", "Slope", "solve"]

MAX_EVALUATIONS = 6000

# Dormand & Prince 1980: order 5, with an error estimate of order 4. The last row of A gives the solution, where the next step begins.
_C = (1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_A = (
    (1 / 5,),
    (3 / 40, 9 / 40),
    (44 / 45, -56 / 15, 32 / 9),
    (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
    (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)

Slope = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``slope(t, z, rows)``: dz/dt (m, dim) at times ``t`` (m,) and states ``z`` (m, dim) of the rows with indices ``rows`` (m,)."""


def solve(
    slope: Slope,
    z: Tensor,
    begin: float,
    end: float,
    norm: Callable[[Tensor, Tensor], Tensor],
    max_evaluations: int = MAX_EVALUATIONS,
) -> tuple[Tensor, Tensor]:
    """Solves dz/dt = slope by the adaptive method of Dormand and Prince (1980), of order 5; rows do not depend on each other.

    Args:
        slope: right-hand side, see :data:`Slope`.
        z: states at ``begin``, float64 (n, dim).
        begin: first time.
        end: last time, later than ``begin``.
        norm: ``norm(error, z)`` (m,) of estimated errors of steps and the states at their ends, both (m, dim). A step is accepted if its
            norm is at most 1.
        max_evaluations: limit of the evaluations of a row.

    Returns:
        The states at ``end``, and the sums of the absolute estimated errors over all steps; float64 (n, dim) each.

    Raises:
        ConfigError: if a row needs more than ``max_evaluations`` evaluations, for instance because a slope is not finite.

    >>> def slope(t, z, rows):
    ...     return -z
    >>> z, errors = solve(slope, torch.ones(1, 1, dtype=torch.float64), 0.0, 1.0, lambda error, z: error.abs().amax(1) / 1e-9)
    >>> round(z.item(), 6)  # exp(-1)
    0.367879
    """
    z, errors = z.clone(), torch.zeros_like(z)
    t = z.new_full((len(z),), begin)
    step = z.new_full((len(z),), (end - begin) / 50)
    rows = torch.arange(len(z), device=z.device)
    first = slope(t, z, rows) if len(z) else z
    evaluations = 1
    while len(rows):
        evaluations += len(_C)
        if evaluations > max_evaluations:
            hint = "the model is stiff, or is no smooth denoiser; try its bound, or a larger tolerance"
            raise ConfigError(f"the ODE of a sample was not solved in {max_evaluations:,} evaluations of the model", hint)
        time, state = t[rows], z[rows]
        h = torch.minimum(step[rows], end - time)
        slopes, new_state = [first[rows]], state
        for c, row in zip(_C, _A, strict=True):
            new_state = state + h[:, None] * _weighted(row, slopes)
            slopes.append(slope(time + c * h, new_state, rows))
        error = h[:, None] * _weighted(_E, slopes)
        size = norm(error, new_state).nan_to_num(nan=math.inf)
        accepted = size <= 1
        done = rows[accepted]
        z[done] = new_state[accepted]
        first[done] = slopes[-1][accepted]
        t[done] = torch.where(h == end - time, end, time + h)[accepted]
        errors[done] += error[accepted].abs()
        step[rows] = h * (0.9 * size.clamp(min=1e-10) ** -0.2).clamp(0.2, 5.0)
        rows = rows[t[rows] < end]
    return z, errors


def _weighted(weights: tuple[float, ...], slopes: list[Tensor]) -> Tensor:
    return sum((weight * slope for weight, slope in zip(weights, slopes, strict=True) if weight), torch.zeros_like(slopes[0]))
