"""The image files of a folder with class folders, without the files that systems, tools and the zoo itself leave there."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo_core.data.decoding import drawn_by_zoo, suffixes
from zoo_core.datasets import describe_path
from zoo_core.errors import ConfigError

__all__ = ["Listing", "is_leftover", "list_folder"]

# Leftovers of systems, file servers and archives. Names that begin with a dot (._1.png, .DS_Store, .git) are skipped too.
_LEFTOVERS = {"#recycle", "$recycle.bin", "@eadir", "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db", "icon\r", "lost+found"}
_LEFTOVERS |= {"system volume information", "thumbs.db"}
# Files that belong to an image or describe the data set.
_SIDECARS = {".aae", ".caption", ".csv", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".parquet", ".tsv", ".txt", ".xml", ".xmp"}
_SIDECARS |= {".yaml", ".yml"}
_SIDECAR_NAMES = {"copying", "license", "licence", "makefile", "notice", "readme"}
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"}
_READERS = {
    ".heic": "pip install pillow-heif",
    ".heif": "pip install pillow-heif",
    ".hif": "pip install pillow-heif",
    ".avif": "pip install -U pillow",
}
_NAMES = "--data folder:PATH names a folder of images"
_SHOWN = 4


@dataclass(kw_only=True)
class Listing:
    """The contents of a folder.

    Args:
        root: path of the folder.
        classes: names of the class folders that hold images; empty if the images lie in the folder itself.
        pictures: image files with their labels, class by class, each class in the order of its paths.
        unreadable: files and folders that cannot be opened, with the reason.
        skipped: numbers of files that are neither readable images nor sidecars, by suffix.
        ours: run folders and checkpoints of the zoo, which are left out.

    >>> Listing(root=Path("cats"), skipped=Counter({".psd": 2, ".mp4": 1})).skips()
    '2 .psd, 1 .mp4'
    """

    root: Path
    classes: tuple[str, ...] = ()
    pictures: list[tuple[Path, int]] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    ours: list[Path] = field(default_factory=list)

    def skips(self) -> str:
        """Describes the skipped files, the most frequent suffixes first; empty if there are none."""
        parts = [f"{count:,} {suffix}{_reader(suffix)}" for suffix, count in self.skipped.most_common(_SHOWN)]
        more = self.skipped.total() - sum(count for _, count in self.skipped.most_common(_SHOWN))
        return ", ".join([*parts, *([f"{more:,} others"] if more else [])])


def _reader(suffix: str) -> str:
    return f" (to read them: {_READERS[suffix]})" if suffix in _READERS else ""


def list_folder(root: Path, chosen: Sequence[str] = ()) -> Listing:
    """Lists the images below a folder, and warns of files that are not read.

    Links to files and folders are followed; a folder with several links to it is read once.

    Args:
        root: path of the folder.
        chosen: names of the class folders to read, in this order; empty for all.

    Raises:
        ConfigError: if there is no such folder, if it is a run or a checkpoint of the zoo, if its class folders are the splits of a data
            set, if a chosen class folder holds no image, or if images lie beside class folders.
    """
    listing = Listing(root=root)
    folders, files = _top(root)
    names = chosen or folders
    images = {name: sorted(_pictures(root / name, listing), key=lambda path: path.split(os.sep)) for name in names}
    empty = [name for name in names if not images[name]]
    if chosen and empty:
        raise ConfigError(f"the class folder {empty[0]!r} of {root} is not there, or holds no image", "data.classes names its subfolders")
    listing.classes = tuple(name for name in names if images[name])
    if not chosen:
        _check_splits(root, listing.classes)
    loose = [] if chosen else sorted(_readable(files, listing))
    if listing.classes:
        loose = [path for path in loose if not _is_drawn(path)]
        if loose:
            problem = f"{root} holds {len(loose):,} images beside the class folders {_some(listing.classes)}"
            raise ConfigError(problem, "move them into a class of their own, or name the folders with data.classes")
        listing.pictures = [(Path(path), label) for label, name in enumerate(listing.classes) for path in images[name]]
    else:
        listing.pictures = [(Path(path), 0) for path in loose]
    _warn(listing, [name for name in empty if listing.classes and not any(path.is_relative_to(root / name) for path in listing.ours)])
    return listing


def _top(root: Path) -> tuple[list[str], list[os.DirEntry[str]]]:
    """The names of the folders in ``root`` in alphabetical order, and its files."""
    try:
        entries = [entry for entry in os.scandir(root) if not is_leftover(entry.name)]
    except OSError as error:
        raise _absent(root, error) from error
    if _is_ours({entry.name for entry in entries}):
        raise ConfigError(f"{root} is a run folder or a checkpoint of the zoo, and holds no data", _NAMES)
    folders = sorted(entry.name for entry in entries if _is_folder(entry))
    for name in folders:
        if not name.isascii() and name != name.encode(errors="replace").decode():
            raise ConfigError(f"the name of the folder {name!r} in {root} is not UTF-8", "rename it: class names are recorded")
    return folders, [entry for entry in entries if entry.name not in set(folders)]


def _absent(root: Path, error: OSError) -> ConfigError:
    if isinstance(error, NotADirectoryError):
        return ConfigError(f"{root} is a file, not a folder", f"unpack it if it is an archive; {_NAMES}")
    if not isinstance(error, FileNotFoundError):
        return ConfigError(f"cannot read the folder {root}: {error.strerror}", "see to its permissions")
    hint = _NAMES if root.is_absolute() else "run this from where the folder is, or pass its whole path: --data folder:/PATH"
    return ConfigError(f"there is no folder {describe_path(root)}", hint)


def _pictures(folder: Path, listing: Listing) -> Iterator[str]:
    """Yields the image files below a folder, in no order."""
    seen, stack = set[tuple[int, int]](), [str(folder)]
    while stack:
        path = stack.pop()
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:  # links may go round in circles
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as scan:
                entries = [entry for entry in scan if not is_leftover(entry.name)]
        except FileNotFoundError:
            continue
        except OSError as error:
            listing.unreadable.append((Path(path), error.strerror or str(error)))
            continue
        if _is_ours({entry.name for entry in entries}):
            listing.ours.append(Path(path))
            continue
        folders = {entry.path for entry in entries if _is_folder(entry)}
        stack += folders
        yield from _readable([entry for entry in entries if entry.path not in folders], listing)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that goes round in a circle
        return False


def _readable(entries: Sequence[os.DirEntry[str]], listing: Listing) -> Iterator[str]:
    """Yields the paths of image files; other files are counted, except for sidecars."""
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name.lower())
        if suffix in suffixes():
            if _is_file(entry):
                yield entry.path
            elif entry.is_symlink():
                listing.unreadable.append((Path(entry.path), "it is a broken link"))
            else:
                listing.skipped["that are not files"] += 1
        elif suffix not in _SIDECARS and stem not in _SIDECAR_NAMES and _is_file(entry):
            listing.skipped[suffix if suffix.isprintable() and suffix else "without a suffix"] += 1


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def is_leftover(name: str) -> bool:
    """True for the name of a hidden file, or of one that systems and tools leave behind."""
    return name.startswith(".") or name.lower() in _LEFTOVERS


def _is_ours(names: set[str]) -> bool:
    """True for the names in a run folder or a checkpoint of the zoo."""
    run = "recipe.json" in names and bool(names & {"export", "metrics.jsonl", "steps"})
    return run or {"config.json", "model.safetensors"} <= names


def _is_drawn(path: str) -> bool:
    from PIL import Image

    try:
        with Image.open(path, formats=("PNG",)) as image:
            return drawn_by_zoo(image.info)
    except Exception:  # not a PNG: it is read, or refused, with the others
        return False


def _check_splits(root: Path, classes: Sequence[str]) -> None:
    if classes and all(name.lower() in _SPLITS for name in classes):
        first = next((name for name in classes if name.lower().startswith("train")), classes[0])
        problem = f"the folders {_some(classes)} of {root} are splits of a data set, not classes"
        raise ConfigError(problem, f"--data folder:PATH/{first} reads one of them; for classes, name them with data.classes")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _warn(listing: Listing, empty: Sequence[str]) -> None:
    if listing.skipped and listing.pictures:
        warnings.warn(f"not read in {listing.root}: {listing.skips()}", RuntimeWarning, stacklevel=4)
    if listing.ours and listing.pictures:
        message = f"left out in {listing.root}: {_some([path.name for path in listing.ours])}, which the zoo wrote"
        warnings.warn(message, RuntimeWarning, stacklevel=4)
    if empty:
        message = f"no image in the class folders {_some(empty)} of {listing.root}, which are left out"
        warnings.warn(message, RuntimeWarning, stacklevel=4)
