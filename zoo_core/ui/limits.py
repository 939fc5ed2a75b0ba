"""Bounds of what one visitor of the page can ask for."""

from dataclasses import dataclass

__all__ = ["LIMITS", "Limits"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds of requests.

    >>> Limits(images=4).images
    4

    Args:
        images: largest number of images of a drawing.
        points: largest number of points of a drawing.
        rows: largest number of images of a figure of the process, and of completions.
        steps: largest number of steps of a sampler, and of network passes along a path.
        seconds: longest time of a drawing.
        requests: largest number of requests that are waiting or running.
        models: largest number of models in memory.
        drawings: number of drawings whose files are kept for download.
        upload: largest size of an uploaded picture, in bytes.
    """

    images: int = 64
    points: int = 5000
    rows: int = 8
    steps: int = 10_000
    seconds: float = 300.0
    requests: int = 20
    models: int = 2
    drawings: int = 64
    upload: int = 8_000_000


LIMITS = Limits()
