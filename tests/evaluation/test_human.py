"""Answers of people, counted: accuracy, d', their intervals, and the records."""

import math
from collections.abc import Sequence
from dataclasses import replace
from statistics import NormalDist

import numpy as np
import pytest

from zoo_core.cards.metrics_json import metric_records, model_index
from zoo_core.cards.tables import tables
from zoo_core.config import decode, encode
from zoo_core.errors import UsageError
from zoo_core.evaluation.factory import make_metric
from zoo_core.evaluation.human import Answer, Key, Picture, Session, design_effect, tally, wilson_interval

NORMAL = NormalDist()
FACTS = {"dataset": "cats", "sampler": {"name": "latent"}, "nfe": 1, "seed": 0, "weights": "0" * 64, "data": {"config": {}}}


def key_of(n: int, exposures: Sequence[int] = (0,)) -> Key:
    pictures = [Picture(kind="real" if i % 2 else "drawn", index=i, exposure=exposures[i // 2 % len(exposures)]) for i in range(n)]
    return Key(reference="cats", pictures=tuple(pictures), facts=FACTS)


def simulated(
    key: Key, session: str, d: float, rng: np.random.Generator, criterion: float = 0.0, shared: np.ndarray | None = None
) -> Session:
    """A person who perceives N(+-d / 2, 1), and calls real what lies above the criterion."""
    noise = rng.standard_normal(len(key.pictures)) if shared is None else shared
    answers = [
        Answer(
            picture=i,
            answer="real" if (d / 2 if picture.kind == "real" else -d / 2) + noise[i] > criterion else "drawn",
            shown=float(picture.exposure),
            ms=500.0,
        )
        for i, picture in enumerate(key.pictures)
    ]
    return Session(study=key.study, session=session, answers=tuple(answers))


def counted(right_real: int, right_drawn: int, n: int) -> list[dict]:
    """The records of one person who is right about so many of n real and n drawn pictures."""
    key = key_of(2 * n)
    places = {kind: [i for i, picture in enumerate(key.pictures) if picture.kind == kind] for kind in ("real", "drawn")}
    right = {*places["real"][:right_real], *places["drawn"][:right_drawn]}
    other = {"real": "drawn", "drawn": "real"}
    answers = [
        Answer(picture=i, answer=picture.kind if i in right else other[picture.kind], shown=0.0, ms=1.0)  # type: ignore[arg-type]
        for i, picture in enumerate(key.pictures)
    ]
    return tally(key, {"a": Session(study=key.study, session="a", answers=tuple(answers))})


def test_accuracy_and_its_interval_are_those_of_scipy() -> None:
    stats = pytest.importorskip("scipy.stats")
    for right_real, right_drawn, n in ((30, 41, 50), (50, 50, 50), (3, 0, 5)):
        record = counted(right_real, right_drawn, n)[0]
        right = right_real + right_drawn
        expected = stats.binomtest(right, 2 * n).proportion_ci(0.95, method="wilson")
        assert record["value"] == right / (2 * n)
        assert record["interval"] == pytest.approx([expected.low, expected.high], abs=1e-12)


def test_d_prime_and_its_error_are_those_of_scipy() -> None:
    norm = pytest.importorskip("scipy.stats").norm
    record = counted(30, 41, 50)[1]
    hits, false_alarms = 30.5 / 51, 9.5 / 51
    variance = sum(p * (1 - p) / (50 * norm.pdf(norm.ppf(p)) ** 2) for p in (hits, false_alarms))
    assert record["value"] == pytest.approx(norm.ppf(hits) - norm.ppf(false_alarms), abs=1e-12)
    assert record["stderr"] == pytest.approx(math.sqrt(variance), abs=1e-12)
    assert record["interval"] == pytest.approx([record["value"] + side * norm.ppf(0.975) * record["stderr"] for side in (-1, 1)], abs=1e-12)


def test_the_ends_of_the_interval_solve_wilsons_equation() -> None:
    for share, n in ((0.3, 40.0), (0.97, 33.3)):
        for end in wilson_interval(share, n):
            assert abs(share - end) == pytest.approx(NORMAL.inv_cdf(0.975) * math.sqrt(end * (1 - end) / n))


def test_answers_that_are_all_right_have_a_finite_d_prime() -> None:
    accuracy, d = counted(20, 20, 20)
    assert accuracy["value"] == 1.0
    assert accuracy["interval"][0] < 0.95
    assert d["value"] == pytest.approx(2 * NORMAL.inv_cdf(20.5 / 21))


@pytest.mark.parametrize(("d", "criterion"), [(0.0, 0.0), (1.2, 0.0), (1.2, 0.8)])
def test_the_d_prime_of_a_simulated_person_does_not_depend_on_the_criterion(d: float, criterion: float) -> None:
    key = key_of(20_000)
    accuracy, prime = tally(key, {"a": simulated(key, "a", d, np.random.default_rng(0), criterion)})
    assert abs(prime["value"] - d) < 3 * prime["stderr"] < 0.1
    expected = (NORMAL.cdf(d / 2 - criterion) + NORMAL.cdf(d / 2 + criterion)) / 2
    assert accuracy["value"] == pytest.approx(expected, abs=3 * accuracy["stderr"])


def test_the_intervals_hold_the_truth_in_95_percent_of_studies() -> None:
    key = key_of(100)
    rng = np.random.default_rng(1)
    truth = (NORMAL.cdf(0.5), 1.0)
    held = np.zeros(2)
    for _ in range(300):
        records = tally(key, {"a": simulated(key, "a", 1.0, rng)})
        held += [low <= value <= high for value, (low, high) in zip(truth, (record["interval"] for record in records), strict=True)]
    assert np.all((held / 300 > 0.91) & (held / 300 < 0.985)), held / 300  # three standard errors of 0.95


def test_people_who_answer_alike_count_as_few_answers() -> None:
    key = key_of(100)
    noise = np.random.default_rng(2).standard_normal(100)
    alone = tally(key, {"0": simulated(key, "0", 1.0, np.random.default_rng(0), shared=noise)})
    alike = tally(key, {str(i): simulated(key, str(i), 1.0, np.random.default_rng(0), shared=noise) for i in range(8)})
    for one, eight in zip(alone, alike, strict=True):
        assert eight["stderr"] > 0.9 * one["stderr"]  # not a third
        assert eight["people"]["answers"] == 800


def test_people_who_answer_independently_count_as_many_answers() -> None:
    key = key_of(100)
    rng = np.random.default_rng(3)
    alone = tally(key, {"0": simulated(key, "0", 1.0, rng)})
    many = tally(key, {str(i): simulated(key, str(i), 1.0, rng) for i in range(16)})
    for one, sixteen in zip(alone, many, strict=True):
        assert 0.2 < sixteen["stderr"] / one["stderr"] < 0.4  # about 1 / 4


def test_the_design_effect_of_identical_raters_is_their_number_at_least() -> None:
    residuals = [0.5, -0.5, 0.5, -0.5] * 3
    raters = [rater for rater in range(3) for _ in range(4)]
    pictures = list(range(4)) * 3
    # Raters sum to 0; each picture to 9/4 = (3 * 0.5)^2, with 4 / 3 of few clusters: 4 * 9/4 * 4/3 = 12; alone 3.
    assert design_effect(residuals, raters, pictures) == pytest.approx((0 + 12 - 3) / 3)


def test_each_exposure_has_records_of_its_own() -> None:
    key = key_of(40, (100, 500))
    records = tally(key, {"a": simulated(key, "a", 1.0, np.random.default_rng(0))})
    assert [(record["metric"], record["options"]["exposure"]) for record in records] == [
        (metric, exposure) for exposure in (100, 500) for metric in ("human-accuracy", "human-d-prime")
    ]
    assert all(record["n"] == {"real": 10, "drawn": 10} for record in records)


def test_pictures_that_stood_too_long_are_left_out() -> None:
    key = key_of(40, (100,))
    session = simulated(key, "a", 1.0, np.random.default_rng(0))
    slow = replace(session, answers=(replace(session.answers[0], shown=900.0), *session.answers[1:]))
    people = tally(key, {"a": slow})[0]["people"]
    assert (people["answers"], people["left_out"]) == (39, 1)


def test_wrong_files_are_refused() -> None:
    key = key_of(40)
    session = simulated(key, "a", 1.0, np.random.default_rng(0))
    first = session.answers[0]
    for sessions, message in (
        ({"a": replace(session, study="f" * 16)}, "answers to study"),
        ({"a": session, "b": session}, "a and b are of one session"),
        ({"a": replace(session, answers=(first, first))}, "answers picture 0 twice"),
        ({"a": replace(session, answers=(replace(first, picture=40),))}, "has no such picture"),
        ({"a": replace(session, answers=())}, "no answers"),
        ({"a": replace(session, answers=session.answers[:3])}, "too few answers"),
    ):
        with pytest.raises(UsageError, match=message):
            tally(key, sessions)


def test_the_records_are_those_of_a_metrics_json_and_stand_in_tables_and_cards() -> None:
    key = key_of(40, (500,))
    records = tally(key, {name: simulated(key, name, 1.0, np.random.default_rng(int(name))) for name in "01"})
    assert metric_records({"metrics": records}) == records
    [table] = tables(records)
    assert table.caption == "20 images of seed 0 against 20 of `cats`, judged by 2 people in 80 answers."
    assert table.columns[3:] == ("`human-accuracy: exposure=500`", "`human-d-prime: exposure=500`")
    [result] = model_index("cats", {"metrics": records}, "", {"name": "latent"})[0]["results"]
    assert [metric["type"] for metric in result["metrics"]] == ["human-accuracy", "human-d-prime"]
    assert result["metrics"][0]["args"]["interval"] == records[0]["interval"]


def test_a_key_and_answers_are_read_as_they_were_written() -> None:
    key = key_of(4, (100, 0))
    assert decode(Key, encode(key)) == key
    assert decode(Key, encode(key)).study == key.study
    assert replace(key, pictures=key.pictures[::-1]).study != key.study


def test_no_machine_measures_what_people_do() -> None:
    with pytest.raises(UsageError, match="human-accuracy is measured by people"):
        make_metric("human-accuracy")
