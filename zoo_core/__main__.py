"""``python -m zoo_core`` is ``zoo``."""

from zoo_core.cli.group import main

main()
