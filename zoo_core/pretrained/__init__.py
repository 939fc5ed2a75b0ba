"""A trained model, ready to use: what ``zoo_core.load`` returns."""

from zoo_core.pretrained.model import Pretrained

__all__ = ["Pretrained"]
