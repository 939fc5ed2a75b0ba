"""The page of a study as one HTML file, which needs no server and holds no key."""

import json
from base64 import b64encode
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

    from zoo_core.evaluation.human import Key

__all__ = ["study_page"]

_TEMPLATE = Path(__file__).with_name("study.html")


def study_page(key: "Key", pixels: "Tensor") -> str:
    """The page that shows the pictures of a study and saves the answers. It holds neither the key nor the name of the checkpoint.

    Args:
        key: key of the study, of which the page takes the name, the order and the exposures.
        pixels: pictures in the order of the key, uint8 (n, c, h, w).
    """
    from zoo_core.images import png

    height, width = pixels.shape[2:]
    pictures = [
        {"source": f"data:image/png;base64,{b64encode(png(image)).decode()}", "exposure": picture.exposure}
        for image, picture in zip(pixels, key.pictures, strict=True)
    ]
    study = {"study": key.study, "width": width, "height": height, "pictures": pictures}
    return _TEMPLATE.read_text(encoding="utf-8").replace("@STUDY@", json.dumps(study))
