"""Plugins in folders that are not installed: their pyproject.toml says what pip would register."""

import sys
import tomllib
from importlib import invalidate_caches
from pathlib import Path

from zoo_core.errors import UsageError
from zoo_core.registry.plugin import GROUP, Plugin, load_plugin

__all__ = ["plugins_in"]


def plugins_in(folder: Path) -> tuple[Plugin, ...]:
    """Loads the plugins of a project's folder, and leaves the folder, or its ``src``, on ``sys.path`` of this process.

    Args:
        folder: folder with a pyproject.toml that has entry points of the group ``zoo``.

    Raises:
        UsageError: if there is no such pyproject.toml.
    """
    path = folder / "pyproject.toml"
    try:
        project = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    except OSError:
        raise UsageError(f"{folder} has no pyproject.toml", "name the folder that holds it; `zoo new-plugin NAME` writes one") from None
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}", "correct it") from error
    points = project.get("entry-points", {}).get(GROUP, {})
    if not points or not all(isinstance(module, str) for module in points.values()):
        hint = f'add [project.entry-points.{GROUP}] with NAME = "PACKAGE.plugin"'
        raise UsageError(f"{path} has no entry point of the group {GROUP}", hint)
    root = (folder / "src" if (folder / "src").is_dir() else folder).resolve()
    if str(root) not in sys.path:
        sys.path.insert(0, str(root))
        invalidate_caches()
    dist, version = str(project.get("name", folder.resolve().name)), str(project.get("version", "?"))
    return tuple(load_plugin(name, module, dist, version) for name, module in points.items())
