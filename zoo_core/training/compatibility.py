"""Checks that a model and a data set fit each other: shape, range, classes and captions."""

import warnings
from typing import Any, cast

from torch import Tensor, nn

from zoo_core.data.dataset import Data
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Decoder, Denoiser
from zoo_core.vocabulary import words_of

__all__ = ["check_fits"]


def check_fits(model: nn.Module, data: Data, *, begun: bool = False, captions: bool = False) -> None:
    """Checks that a model draws samples of the data's shape, range and vocabulary, and has exactly the classes of the data.

    Args:
        model: model to train.
        data: data to train it on.
        begun: whether the model begins with the weights of a checkpoint; it may then have more classes than the data.
        captions: whether the trainer reads captions.

    Raises:
        ConfigError: if they do not fit.
    """
    event = cast(Denoiser | Decoder, model).event
    if event.shape != data.event.shape:
        what = f"the data has samples of {list(data.event.shape)}, the model of {list(event.shape)}"
        raise ConfigError(what, f"the sizes and channels of data.* and model.* must agree{_to_agree(model, event.shape, data.event.shape)}")
    _check_vocabulary(model, event.categories, data)
    if event.range is not None and data.x.is_floating_point():
        low, high = map(float, data.x.aminmax())
        if not event.range[0] <= low <= high <= event.range[1]:
            what = f"the data goes from {low:.3g} to {high:.3g}, the model's samples from {event.range[0]:g} to {event.range[1]:g}"
            raise ConfigError(what, "the data set's plugin must scale them, or return uint8 images")
        if low >= sum(event.range) / 2:
            what = f"the data goes from {low:.3g} to {high:.3g}, and so fills only the upper half of the model's range"
            warnings.warn(f"{what} {list(event.range)}", RuntimeWarning, stacklevel=2)
    _check_classes(cast(int, getattr(model, "num_classes", 0)), data, begun)
    if captions:
        _check_captions(model, data)


def _check_captions(model: nn.Module, data: Data) -> None:
    if not data.captions:
        raise ConfigError("the data has no captions, and this model is trained on images with captions", "--data captioned-mnist")
    known = set(cast(Any, model).vocabulary.tokens)
    unknown = next((word for text in data.captions for word in words_of(text) if word not in known), None)
    if unknown is not None:
        raise ConfigError(f"the captions have the word {unknown!r:.40}, which the model does not know", "train a new model on this data")


def _check_vocabulary(model: nn.Module, categories: int | None, data: Data) -> None:
    if (categories is None) != (data.vocabulary is None):
        theirs, ours = ("numbers", "categories") if data.vocabulary is None else ("categories", "numbers")
        raise ConfigError(f"the data is of {theirs}, and the model of {ours}", "a family of texts goes with --data text:PATH or pydoc")
    own = getattr(model, "vocabulary", None)
    if data.vocabulary is not None and own is not None and own != data.vocabulary:
        what = f"the data has a vocabulary of {len(data.vocabulary)} {data.vocabulary.unit}s, the model another one of {len(own)}"
        raise ConfigError(what, "leave data.vocabulary out: it is then the model's")


def _to_agree(model: nn.Module, ours: tuple[int, ...], theirs: tuple[int, ...]) -> str:
    """A hint with the options that make images of data and model (c, h, w), or texts, agree; empty for other samples."""
    if len(ours) != 3 or len(theirs) != 3:
        return (
            f", as by -o data.length={ours[0]}"
            if len(ours) == len(theirs) == 1 and hasattr(getattr(model, "config", None), "length")
            else ""
        )
    options = [f"-o data.size={ours[-1]}"] if ours[1:] != theirs[1:] else []
    if ours[0] != theirs[0] and hasattr(getattr(model, "config", None), "channels"):
        options.append(f"-o model.channels={theirs[0]}")
    return f", as by {' '.join(options)}" if options else ""


def _check_classes(classes: int, data: Data, begun: bool) -> None:
    if not classes:
        return
    labels = 0 if data.labels is None else int(data.labels.max()) + 1
    if not 0 < labels <= classes:
        hint = "put the images into class folders, or choose a set with labels"
        if labels:
            hint = f"they must agree: -o model.num_classes={labels}"
        raise ConfigError(f"the data has {labels} classes, and model.num_classes is {classes}", hint)
    named = max(labels, len(data.classes))
    if named < classes and not begun:
        what = f"the data has {named} classes, and model.num_classes is {classes}: it would draw classes that it never saw"
        raise ConfigError(what, f"-o model.num_classes={named}")
    if unseen := classes - int((cast(Tensor, data.labels).bincount() > 0).sum()):
        warnings.warn(f"the data has no sample of {unseen} of the model's {classes} classes", RuntimeWarning, stacklevel=3)
