"""Installs a Chromium for the tests of pages: ``python -m tools.browser``, which ``make browser-test`` runs.

The browser comes in the package @sparticuz/chromium of the npm registry and goes to ``browser/`` of the virtual environment. It needs npm,
the extra ``browser``, and the libraries of a desktop system; where the system has a Chromium, that one is taken, and nothing is installed.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import click

PACKAGE = "@sparticuz/chromium@147.0.0"
FOLDER = Path(sys.prefix) / "browser"
NAMES = ("chromium", "chromium-browser", "google-chrome")
_UNPACK = """
const fs = require("fs"), zlib = require("zlib"), stream = require("stream");
const [packed, path] = process.argv.slice(1);
stream.pipeline(fs.createReadStream(packed), zlib.createBrotliDecompress(), fs.createWriteStream(path, {mode: 0o755}), error => {
  if (error) throw error;
});
"""


def chromium() -> str | None:
    """The path of a Chromium: that of the system, or that of the virtual environment; None without one."""
    installed = FOLDER / "chromium"
    return next((path for path in map(shutil.which, NAMES) if path), str(installed) if installed.exists() else None)


def install() -> Path:
    """Installs the browser, and returns its path."""
    import playwright

    FOLDER.mkdir(exist_ok=True)
    subprocess.run(["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", FOLDER, PACKAGE], check=True)
    packed = FOLDER / "node_modules" / "@sparticuz" / "chromium" / "bin" / "chromium.br"
    node = Path(playwright.__file__).parent / "driver" / "node"
    partial = FOLDER / "chromium.part"
    subprocess.run([node, "-e", _UNPACK, packed, partial], check=True)
    return partial.rename(FOLDER / "chromium")


@click.command()
def main() -> None:
    """Install a Chromium for the tests of pages, unless there is one."""
    path = chromium() or install()
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout.strip()
    click.echo(f"{path}: {version}")


if __name__ == "__main__":
    main()
