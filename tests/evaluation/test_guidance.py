"""Theorems about numbers of guided samples: their records, their reproduction, and the figure over the scale."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from torch import Tensor, nn

import zoo_core.evaluation.measurement
import zoo_core.evaluation.reproduce
from zoo_core.cards.metrics_json import by_sampler
from zoo_core.cards.tables import markdown, tables
from zoo_core.cli.evaluate import evaluate as command
from zoo_core.cli.figure.command import figure
from zoo_core.errors import CapabilityError, UsageError
from zoo_core.evaluation.evaluate import evaluate
from zoo_core.evaluation.feature_spaces import FeatureSpace
from zoo_core.evaluation.reproduce import rerun
from zoo_core.figures.guidance import _distinct, trade_offs
from zoo_core.figures.quality import panels
from zoo_core.interfaces import Event
from zoo_core.loading import load
from zoo_core.samplers import Ancestral
from zoo_core.testing import fake_zoo, write_checkpoint
from zoo_core.testing.fake_config import FakeDataConfig
from zoo_ddpm.config import DDPMConfig
from zoo_ddpm.model import DDPM

DATA = FakeDataConfig(shape=(3, 8, 8), count=40)
CONFIG = DDPMConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=(), heads=2, num_classes=3)


def _embed(x: Tensor) -> tuple[Tensor, Tensor | None]:
    features = x.flatten(1) @ torch.randn(x[0].numel(), 4, generator=torch.Generator().manual_seed(0))
    return features, features[:, :3].softmax(1)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A class-conditional denoiser with random weights, and a feature space that costs nothing."""
    judge = FeatureSpace(name="map", digest="0" * 64, event=Event(shape=(3, 8, 8)), classes=3, embed=_embed)
    for module in (zoo_core.evaluation.measurement, zoo_core.evaluation.reproduce):
        monkeypatch.setattr(module, "load_feature_space", lambda name, device="cpu", fetch=True: judge)
    monkeypatch.setattr(zoo_core.evaluation.measurement, "default_feature_space", lambda config, shape: "map")
    torch.manual_seed(0)
    model = DDPM(CONFIG)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    with fake_zoo("zoo-ddpm"):
        write_checkpoint(tmp_path / "clothes", model, CONFIG, Ancestral(steps=4))
        yield f"local:{tmp_path / 'clothes'}"


def test_each_scale_has_its_record_of_guided_samples(checkpoint: str) -> None:
    plain, one, four = evaluate(checkpoint, ["fd"], n=30, data=DATA, guidance=[None, 1.0, 4.0])
    assert "guidance" not in plain
    assert (one["guidance"], four["guidance"]) == (1.0, 4.0)
    assert (plain["nfe"], one["nfe"], four["nfe"]) == (4, 4, 8)
    assert one["value"] == pytest.approx(plain["value"], rel=1e-3)
    assert four["value"] != pytest.approx(plain["value"], rel=1e-2)


def test_the_number_is_that_of_guided_samples_by_hand(checkpoint: str) -> None:
    [record] = evaluate(checkpoint, ["class-accuracy"], n=30, data=DATA, guidance=[3.0])
    labels = torch.arange(30) % 3
    with torch.no_grad():
        x = load(checkpoint).sample(30, labels=labels, guidance=3.0)
    assert record["value"] == pytest.approx((_embed(x)[0][:, :3].argmax(1) == labels).double().mean().item())


def test_records_of_other_scales_stand_beside_each_other_and_are_reproduced(checkpoint: str, tmp_path: Path) -> None:
    out = tmp_path / "clothes" / "metrics.json"
    for scales in ([None, 2.0], [2.0, 4.0]):
        evaluate(checkpoint, ["fd"], n=30, data=DATA, guidance=scales, out=out)
    records = json.loads(out.read_text())["metrics"]
    assert sorted(record.get("guidance", 0) for record in records) == [0, 2, 4]
    assert [outcome.state for outcome in rerun(checkpoint)] == ["pass"] * 3
    for record in records:
        record["guidance"] = -8.0
    out.write_text(json.dumps({"metrics": records}))
    assert "pass" not in [outcome.state for outcome in rerun(checkpoint)]
    for record in records:
        record["guidance"] = "much"
    out.write_text(json.dumps({"metrics": records}))
    assert [outcome.state for outcome in rerun(checkpoint)] == ["fail"] * 3


def test_a_model_without_classes_is_not_guided(tmp_path: Path, checkpoint: str) -> None:
    config = DDPMConfig(image_size=8, dim=8, multipliers=(1, 2), linear_attention=(), heads=2)
    write_checkpoint(tmp_path / "plain", DDPM(config), config, Ancestral(steps=4))
    with pytest.raises(CapabilityError, match="guided"):
        evaluate(f"local:{tmp_path / 'plain'}", ["fd"], n=9, data=DATA, guidance=[2.0])


@pytest.mark.parametrize("scales", ["1,much", "nan", "", "1,,2", "inf"])
def test_scales_are_numbers(checkpoint: str, scales: str) -> None:
    with pytest.raises(UsageError, match="is not a list of numbers"):
        CliRunner().invoke(command, [checkpoint, "--guidance", scales], catch_exceptions=False)


def records_at(*scales: float | None, metric: str = "fd") -> list[dict[str, Any]]:
    base = {"metric": metric, "stderr": 0.1, "n": {"drawn": 9, "real": 9}, "dataset": "d", "sampler": {"name": "heun", "steps": 5}}
    given = [{} if scale is None else {"guidance": scale, "nfe": 20} for scale in scales]
    return [{**base, "value": 1.0 + place, "nfe": 10, **own} for place, own in enumerate(given)]


def test_numbers_without_guidance_are_those_of_scale_1() -> None:
    [made] = trade_offs(records_at(4.0, None, 2.0))
    assert made.scales == (1.0, 2.0, 4.0)
    assert made.values == (2.0, 3.0, 1.0)
    assert trade_offs(records_at(4.0)) == []
    assert [each.metric for each in trade_offs([*records_at(1.0, 2.0), *records_at(1.0, 2.0, metric="kid")], ["kid"])] == ["kid"]


def test_cards_hold_the_numbers_without_guidance_and_tables_name_the_scale() -> None:
    records = records_at(None, 2.0)
    assert by_sampler(records, {"name": "heun", "steps": 5}) == records[:1]
    [table] = tables(records)
    assert "guidance 2" in markdown(table)
    assert list(panels(records)[0].curves) == ["heun", "heun (guidance 2)"]


def test_the_figure_is_drawn_from_records_or_says_how_to_measure_them(tmp_path: Path) -> None:
    (tmp_path / "metrics.json").write_text(json.dumps({"metrics": records_at(4.0, None, 2.0)}))
    out = tmp_path / "guidance.png"
    result = CliRunner().invoke(figure, [str(tmp_path), "guidance", "--out", str(out)], catch_exceptions=False)
    assert "fd at scale 1, 2, 4" in result.output
    assert out.read_bytes().startswith(b"\x89PNG")
    (tmp_path / "metrics.json").write_text(json.dumps({"metrics": records_at(2.0)}))
    with pytest.raises(UsageError, match="no numbers at two or more guidance scales"):
        CliRunner().invoke(figure, [str(tmp_path), "guidance"], catch_exceptions=False)


def test_a_caption_that_says_less_than_another_is_left_out() -> None:
    assert _distinct(["heun; 9 of 60 real (no FID)", "heun; 9 of 60 real", "heun; 9 of real", "ddim; 9 of 60 real"]) == [
        "heun; 9 of 60 real (no FID)",
        "ddim; 9 of 60 real",
    ]
