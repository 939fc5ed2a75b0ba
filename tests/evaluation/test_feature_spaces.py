"""Theorems about feature spaces: images are fitted to them, and names that do not exist are refused."""

import pytest
import torch

from zoo_core.errors import UsageError
from zoo_core.evaluation.feature_spaces import FeatureSpace, load_feature_space
from zoo_core.interfaces import Event


def test_a_space_fits_images_to_its_size_channels_and_range() -> None:
    judge = FeatureSpace(name="s", digest="", event=Event(shape=(3, 8, 8)), classes=0, embed=lambda x: (x.flatten(1), None))
    features, probabilities = judge(3 * torch.ones(2, 1, 16, 16))
    assert (features.shape, probabilities) == ((2, 192), None)
    assert features.max() == pytest.approx(1)
    assert judge.resize((1, 8, 8)) == "none"
    assert judge.resize((1, 16, 16)) == "bilinear, antialiased, to 8"
    same = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(judge(same)[0], same.flatten(1))
    for x in (torch.zeros(2, 2), torch.zeros(2, 2, 8, 8)):
        with pytest.raises(UsageError, match=r"images of 3 channels"):
            judge(x)


def test_a_backbone_without_training_must_be_asked_for_by_that_word() -> None:
    with pytest.raises(UsageError, match=r"timm has no model 'nothing'"):
        load_feature_space("timm:nothing")
    first, second = (load_feature_space("timm:test_resnet:untrained") for _ in range(2))
    assert first.digest == second.digest
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    torch.testing.assert_close(first(x)[0], second(x)[0])
    assert first.classes == 0
