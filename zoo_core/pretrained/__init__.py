"""Trained models, ready to use, as ``zoo_core.load`` returns them."""

from zoo_core.pretrained.model import Pretrained, assemble

__all__ = ["Pretrained", "assemble"]
