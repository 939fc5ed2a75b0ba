"""A trained model, ready to use: what ``zoo_core.load`` returns."""

from zoo_core.pretrained.model import Pretrained, assemble

__all__ = ["Pretrained", "assemble"]
