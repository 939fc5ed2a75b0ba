"""``python -m zoo_core.cli`` is ``zoo``, for ``torchrun -m`` and ``accelerate launch -m``."""

from zoo_core.cli.group import main

main()
