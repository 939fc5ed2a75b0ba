"""Answers of people who said of pictures whether they are real or drawn, as records of accuracy and d'."""

import hashlib
import json
from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import NormalDist
from typing import Any, Literal

from zoo_core.config import decode, encode, load_json
from zoo_core.errors import ConfigError, UsageError

__all__ = [
    "ACCURACY",
    "D_PRIME",
    "HUMAN",
    "Answer",
    "Key",
    "Kind",
    "Picture",
    "Session",
    "design_effect",
    "read_key",
    "read_session",
    "tally",
    "wilson_interval",
]

ACCURACY = "human-accuracy"
"""The metric: share of right answers."""
D_PRIME = "human-d-prime"
"""The metric: how far real pictures and drawn ones are apart for people, in standard deviations of what they perceive."""
HUMAN = (ACCURACY, D_PRIME)
"""The metrics that people measure."""
Kind = Literal["real", "drawn"]

_NORMAL = NormalDist()
_Z = _NORMAL.inv_cdf(0.975)  # of intervals of 95 %


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """A picture of a study.

    >>> Picture(kind="drawn", index=3, exposure=500).index
    3

    Args:
        kind: ``real`` or ``drawn``.
        index: place in the data of a real one; number of the image of the seed of a drawn one.
        exposure: time for which it is shown, in ms; 0 until it is answered.
    """

    kind: Kind
    index: int
    exposure: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Key:
    """The key of a study: which pictures are real.

    >>> key = Key(reference="a", pictures=(Picture(kind="real", index=0, exposure=0),), facts={})
    >>> len(key.study)
    16

    Args:
        format: number of the file format.
        reference: reference of the checkpoint.
        pictures: the pictures in the order in which they are shown.
        facts: fields of the records: data, weights, sampler, seed, ...
    """

    format: Literal[1] = 1
    reference: str
    pictures: tuple[Picture, ...]
    facts: Mapping[str, Any]

    @property
    def study(self) -> str:
        """The name of the study: 16 digits of the sha256 of its key."""
        return hashlib.sha256(json.dumps(encode(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """An answer of a person.

    >>> Answer(picture=0, answer="real", shown=500.0, ms=812.0).answer
    'real'

    Args:
        picture: place of the picture in the study.
        answer: ``real`` or ``drawn``.
        shown: time for which it was shown, in ms.
        ms: time from its appearance to the answer, in ms.
    """

    picture: int
    answer: Kind
    shown: float
    ms: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """The answers of one person; it holds no name.

    >>> Session(study="0" * 16, session="a", answers=()).format
    1

    Args:
        format: number of the file format.
        study: name of the study.
        session: random letters that tell one session from another.
        answers: the answers; a person may stop early.
    """

    format: Literal[1] = 1
    study: str
    session: str
    answers: tuple[Answer, ...]


def read_key(path: Path) -> Key:
    """Reads the key of a study; raises ConfigError if the file is not one."""
    try:
        return decode(Key, load_json(path), str(path))
    except ConfigError as error:
        raise ConfigError(error.what, "the key is the file NAME-key.json that `zoo study` wrote beside the page") from error


def read_session(path: Path) -> Session:
    """Reads the answers of a person; raises ConfigError if the file holds no answers."""
    try:
        return decode(Session, load_json(path), str(path))
    except ConfigError as error:
        raise ConfigError(error.what, "answers are the files that the page of `zoo study` saves") from error


@dataclass(frozen=True, slots=True)
class _Trial:
    rater: str
    picture: int
    real: bool
    right: bool

    @property
    def says_real(self) -> bool:
        return self.real == self.right


def tally(key: Key, sessions: Mapping[str, Session]) -> list[dict[str, Any]]:
    """Counts answers, and returns a record of accuracy and one of d' for each exposure.

    The accuracy has the Wilson interval of 95 %; d' = z(H) - z(F) with H the share of real pictures and F that of drawn ones that are
    called real, where half an answer is added to each count (Hautus 1995), and the standard error of Gourevitch & Galanter (1967). Both
    are of all answers together. Of several people, both variances grow by :func:`design_effect`. Answers to pictures that stood for much
    longer than they should, on a slow or hidden page, are left out.

    Args:
        key: key of the study.
        sessions: sessions by the names of their files.

    Raises:
        UsageError: if a file is of another study, two are of one session, one answers a picture twice, or there are too few answers.
    """
    _check(key, sessions)
    trials: dict[int, list[_Trial]] = {}
    left_out: Counter[int] = Counter()
    for session in sessions.values():
        for answer in session.answers:
            picture = key.pictures[answer.picture]
            if picture.exposure and answer.shown > picture.exposure + max(100, picture.exposure / 2):
                left_out[picture.exposure] += 1
                continue
            trial = _Trial(session.session, answer.picture, picture.kind == "real", picture.kind == answer.answer)
            trials.setdefault(picture.exposure, []).append(trial)
    if not trials:
        raise UsageError("there are no answers to count", "people save them at the end of the page")
    return [record for exposure in sorted(trials) for record in _records(key, exposure, trials[exposure], left_out[exposure])]


def _check(key: Key, sessions: Mapping[str, Session]) -> None:
    files: dict[str, str] = {}
    for name, session in sessions.items():
        if session.study != key.study:
            raise UsageError(f"{name} holds answers to study {session.study[:16]!r}, and the key is of {key.study!r}", "take its own key")
        if session.session in files:
            raise UsageError(f"{files[session.session]} and {name} are of one session", "name the one that was saved last")
        files[session.session] = name
        pictures = Counter(answer.picture for answer in session.answers)
        if wrong := [place for place, count in pictures.items() if count > 1 or not 0 <= place < len(key.pictures)]:
            problem = f"{name} answers picture {wrong[0]} twice, or the study has no such picture"
            raise UsageError(problem, "the file was changed: leave it out")


def _records(key: Key, exposure: int, trials: Sequence[_Trial], left_out: int) -> list[dict[str, Any]]:
    counts = {kind: [sum(trial.right for trial in own), len(own)] for kind, own in _by_kind(trials).items()}
    if min(total for _, total in counts.values()) < 2:
        raise UsageError(f"there are too few answers to pictures of {exposure} ms", "two to real ones and two to drawn ones are the least")
    people = {"raters": len({trial.rater for trial in trials}), "answers": len(trials), "left_out": left_out, "right": counts}
    pictures = {kind: len({trial.picture for trial in own}) for kind, own in _by_kind(trials).items()}
    common = {**key.facts, "options": {"exposure": exposure} if exposure else {}, "n": pictures, "people": people}
    numbers = {ACCURACY: _accuracy(trials), D_PRIME: _d_prime(trials)}
    return [{"metric": metric, **number, **common} for metric, number in numbers.items()]


def _by_kind(trials: Sequence[_Trial]) -> dict[str, list[_Trial]]:
    return {"real": [trial for trial in trials if trial.real], "drawn": [trial for trial in trials if not trial.real]}


def _accuracy(trials: Sequence[_Trial]) -> dict[str, Any]:
    n = len(trials)
    share = sum(trial.right for trial in trials) / n
    effect = design_effect([trial.right - share for trial in trials], *_groupings(trials))
    return {"value": share, "stderr": sqrt(share * (1 - share) * effect / n), "interval": list(wilson_interval(share, n / effect))}


def _d_prime(trials: Sequence[_Trial]) -> dict[str, Any]:
    value = variance = 0.0
    influence: dict[_Trial, float] = {}
    for kind, own in _by_kind(trials).items():
        n = len(own)
        real = sum(trial.says_real for trial in own)
        share = (real + 0.5) / (n + 1)
        z = _NORMAL.inv_cdf(share)
        slope = 1 / _NORMAL.pdf(z)
        value += z if kind == "real" else -z
        variance += share * (1 - share) * slope**2 / n
        sign = slope / n if kind == "real" else -slope / n
        influence |= {trial: sign * (trial.says_real - real / n) for trial in own}
    variance *= design_effect([influence[trial] for trial in trials], *_groupings(trials))
    half = _Z * sqrt(variance)
    return {"value": value, "stderr": sqrt(variance), "interval": [value - half, value + half]}


def _groupings(trials: Sequence[_Trial]) -> tuple[list[str], list[int]]:
    return [trial.rater for trial in trials], [trial.picture for trial in trials]


def wilson_interval(share: float, n: float) -> tuple[float, float]:
    """The interval of 95 % of a share (Wilson 1927): the shares p with \\|share - p\\| <= 1.96 sqrt(p (1 - p) / n).

    Args:
        share: share that was observed, in [0, 1].
        n: number of observations, or what they are worth, see :func:`design_effect`.

    >>> [round(end, 3) for end in wilson_interval(0.5, 100)]
    [0.404, 0.596]
    """
    middle = (share + _Z**2 / (2 * n)) / (1 + _Z**2 / n)
    half = _Z * sqrt(share * (1 - share) / n + _Z**2 / (4 * n**2)) / (1 + _Z**2 / n)
    return max(0.0, middle - half), min(1.0, middle + half)


def design_effect(residuals: Sequence[float], raters: Sequence[Hashable], pictures: Sequence[Hashable]) -> float:
    """The factor by which the variance of a sum grows since answers of one rater, and those to one picture, are alike; at least 1.

    It is the variance clustered in both ways (Cameron, Gelbach & Miller 2011) over that of independent answers. Of one rater, who answers
    each picture once, it is 1: such data cannot say how people differ.

    Args:
        residuals: contribution of each answer to the sum, less its mean.
        raters: rater of each answer.
        pictures: picture of each answer.

    >>> design_effect([1.0, 1.0, -1.0, -1.0], ["a", "a", "b", "b"], [0, 1, 0, 1])
    3.0
    """
    alone = sum(residual**2 for residual in residuals)
    if len(set(raters)) < 2 or not alone:
        return 1.0
    return max(1.0, (_clustered(residuals, raters) + _clustered(residuals, pictures) - alone) / alone)


def _clustered(residuals: Sequence[float], groups: Sequence[Hashable]) -> float:
    sums: dict[Hashable, float] = {}
    for residual, group in zip(residuals, groups, strict=True):
        sums[group] = sums.get(group, 0.0) + residual
    return sum(total**2 for total in sums.values()) * len(sums) / max(len(sums) - 1, 1)
