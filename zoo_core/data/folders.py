"""The files of a folder that are data: pictures in class folders, without what systems, tools and the zoo itself leave beside them."""

import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from zoo_core.data.image_files import drawn_by_zoo, suffixes
from zoo_core.datasets import placed
from zoo_core.errors import ConfigError

__all__ = ["Listing", "list_folder"]

# Of systems, file servers, archives and editors; what begins with a dot (._1.png, .DS_Store, .git, .ipynb_checkpoints) is hidden anyway.
_LEFTOVERS = {"#recycle", "$recycle.bin", "@eadir", "__macosx", "__pycache__", "desktop.ini", "ehthumbs.db", "icon\r", "lost+found"}
_LEFTOVERS |= {"system volume information", "thumbs.db"}
# What belongs to a picture or describes the set.
_SIDECARS = {".aae", ".caption", ".csv", ".html", ".ini", ".json", ".jsonl", ".log", ".md", ".parquet", ".tsv", ".txt", ".xml", ".xmp"}
_SIDECARS |= {".yaml", ".yml"}
_SIDECAR_NAMES = {"copying", "license", "licence", "makefile", "notice", "readme"}
_SPLITS = {"train", "training", "val", "valid", "validation", "test", "testing", "dev", "eval"}
_READERS = {".heic": "pip install pillow-heif", ".heif": "pip install pillow-heif", ".avif": "pip install -U pillow"}
_NAMES = "--data folder:PATH names a folder of images"
_SHOWN = 4


@dataclass(kw_only=True)
class Listing:
    """What lies in a folder.

    Args:
        root: path of the folder.
        classes: names of the class folders that hold pictures; empty where the pictures lie in the folder itself.
        pictures: the picture files with their labels, class by class, each class in the order of its paths.
        unreadable: files and folders that cannot be opened, with the reason.
        skipped: files that are neither pictures that can be read nor sidecars, counted by suffix.
        ours: run folders and checkpoints of the zoo, which are left out.
    """

    root: Path
    classes: tuple[str, ...] = ()
    pictures: list[tuple[Path, int]] = field(default_factory=list)
    unreadable: list[tuple[Path, str]] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    ours: list[Path] = field(default_factory=list)

    def skips(self) -> str:
        """The skipped files in words, the most frequent suffixes first; empty where there are none."""
        parts = [f"{count:,} {suffix}{_reader(suffix)}" for suffix, count in self.skipped.most_common(_SHOWN)]
        more = self.skipped.total() - sum(count for _, count in self.skipped.most_common(_SHOWN))
        return ", ".join([*parts, *([f"{more:,} others"] if more else [])])


def _reader(suffix: str) -> str:
    return f" (to read them: {_READERS[suffix]})" if suffix in _READERS else ""


def list_folder(root: Path, chosen: Sequence[str] = ()) -> Listing:
    """Lists the pictures below a folder, and warns of files that are not read.

    Links to files and folders are followed; a folder is read once, however many links lead to it.

    Args:
        root: path of the folder.
        chosen: names of the class folders to read, in this order; empty means all.

    Raises:
        ConfigError: if there is no such folder, it holds a run or a checkpoint of the zoo or nothing but the splits of a data set, a class
            folder that was chosen holds no image, or pictures lie beside class folders.
    """
    found = Listing(root=root)
    folders, files = _top(root, found)
    names = chosen or folders
    images = {name: sorted(_pictures(root / name, found), key=lambda path: path.split(os.sep)) for name in names}
    empty = [name for name in names if not images[name]]
    if chosen and empty:
        raise ConfigError(f"the class folder {empty[0]!r} of {root} is not there, or holds no image", "data.classes names its subfolders")
    found.classes = tuple(name for name in names if images[name])
    if not chosen:
        _check_splits(root, found.classes)
    loose = [] if chosen else sorted(_readable(files, found))
    if found.classes:
        loose = [path for path in loose if not _is_drawn(path)]
        if loose:
            what = f"{root} holds {len(loose):,} images beside the class folders {_some(found.classes)}"
            raise ConfigError(what, "move them into a class of their own, or name the folders with data.classes")
        found.pictures = [(Path(path), label) for label, name in enumerate(found.classes) for path in images[name]]
    else:
        found.pictures = [(Path(path), 0) for path in loose]
    _tell(found, [name for name in empty if found.classes and not any(path.is_relative_to(root / name) for path in found.ours)])
    return found


def _top(root: Path, found: Listing) -> tuple[list[str], list[os.DirEntry[str]]]:
    """The names of the folders in ``root`` in alphabetical order, and its files."""
    try:
        entries = [entry for entry in os.scandir(root) if not _is_leftover(entry.name)]
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
    return ConfigError(f"there is no folder {placed(root)}", hint)


def _pictures(folder: Path, found: Listing) -> Iterator[str]:
    """The picture files below a folder, in no order."""
    seen, stack = set[tuple[int, int]](), [str(folder)]
    while stack:
        path = stack.pop()
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in seen:  # links may go round in circles
                continue
            seen.add((status.st_dev, status.st_ino))
            with os.scandir(path) as scan:
                entries = [entry for entry in scan if not _is_leftover(entry.name)]
        except FileNotFoundError:
            continue
        except OSError as error:
            found.unreadable.append((Path(path), error.strerror or str(error)))
            continue
        if _is_ours({entry.name for entry in entries}):
            found.ours.append(Path(path))
            continue
        folders = {entry.path for entry in entries if _is_folder(entry)}
        stack += folders
        yield from _readable([entry for entry in entries if entry.path not in folders], found)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that goes round in a circle
        return False


def _readable(entries: Sequence[os.DirEntry[str]], found: Listing) -> Iterator[str]:
    """The paths of picture files; the others are counted, but for sidecars."""
    for entry in entries:
        stem, suffix = os.path.splitext(entry.name.lower())
        if suffix in suffixes():
            if _is_file(entry):
                yield entry.path
            elif entry.is_symlink():
                found.unreadable.append((Path(entry.path), "it is a broken link"))
            else:
                found.skipped["that are no files"] += 1
        elif suffix not in _SIDECARS and stem not in _SIDECAR_NAMES and _is_file(entry):
            found.skipped[suffix if suffix.isprintable() and suffix else "without a suffix"] += 1


def _is_file(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_file()
    except OSError:
        return False


def _is_leftover(name: str) -> bool:
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
    except Exception:  # no PNG: it is read, or refused, with the others
        return False


def _check_splits(root: Path, classes: Sequence[str]) -> None:
    if classes and all(name.lower() in _SPLITS for name in classes):
        first = next((name for name in classes if name.lower().startswith("train")), classes[0])
        what = f"the folders {_some(classes)} of {root} are splits of a data set, not classes"
        raise ConfigError(what, f"--data folder:PATH/{first} reads one of them; for classes, name them with data.classes")


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")


def _tell(found: Listing, empty: Sequence[str]) -> None:
    if found.skipped and found.pictures:
        warnings.warn(f"not read in {found.root}: {found.skips()}", RuntimeWarning, stacklevel=4)
    if found.ours and found.pictures:
        what = f"left out in {found.root}: {_some([path.name for path in found.ours])}, which the zoo wrote"
        warnings.warn(what, RuntimeWarning, stacklevel=4)
    if empty:
        what = f"no image in the class folders {_some(empty)} of {found.root}, which are left out"
        warnings.warn(what, RuntimeWarning, stacklevel=4)
