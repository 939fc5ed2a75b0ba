"""Images in a file on disk, which are read row by row and never all at once."""

import os
import warnings
import weakref
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from zoo_core.errors import ResourceError

__all__ = ["StoredImages"]


class StoredImages:
    """A file of images, uint8 (N, c, h, w), one after the other.

    Rows are read by the system's ``pread`` and not through a map of the file: a disk that fails then raises an error instead of ending the
    process, and the memory of a process does not grow as it reads on.

    Args:
        path: path of the file.
        shape: (N, c, h, w).

    Raises:
        ResourceError: if the file is not there, or has another size.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder, "images")
    ...     _ = path.write_bytes(bytes(range(12)))
    ...     StoredImages(path, (3, 1, 2, 2)).rows(torch.tensor([2, 0])).flatten().tolist()
    [8, 9, 10, 11, 0, 1, 2, 3]
    """

    def __init__(self, path: Path, shape: tuple[int, int, int, int]) -> None:
        self.path = path
        self.shape = shape
        self._length = int(np.prod(shape[1:]))
        try:
            self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            size = os.fstat(self._file).st_size
        except OSError as error:
            raise self._broken(error.strerror or str(error)) from error
        weakref.finalize(self, os.close, self._file)
        if size != shape[0] * self._length:
            raise self._broken(f"it has {size:,} bytes, and must have {shape[0] * self._length:,}")
        if hasattr(os, "posix_fadvise"):  # the order of training is random: reading ahead is of no use
            os.posix_fadvise(self._file, 0, 0, os.POSIX_FADV_RANDOM)

    @cached_property
    def mapped(self) -> Tensor:
        """All images as a tensor that maps the file; it must not be written to."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
            return torch.from_numpy(np.memmap(self.path, np.uint8, "r", shape=self.shape))

    def rows(self, index: Tensor) -> Tensor:
        """The images at ``index`` (n,), uint8 (n, c, h, w).

        Raises:
            ResourceError: if the file cannot be read.
        """
        out = np.empty((len(index), *self.shape[1:]), dtype=np.uint8)
        for row, place in zip(out, index.tolist(), strict=True):
            try:
                count = os.preadv(self._file, [row.data], place * self._length)
            except OSError as error:
                raise self._broken(error.strerror or str(error)) from error
            if count != self._length:
                raise self._broken("it ends too early")
        return torch.from_numpy(out)

    def _broken(self, why: str) -> ResourceError:
        return ResourceError(f"cannot read {self.path}: {why}", "remove its folder: the images are decoded again")
