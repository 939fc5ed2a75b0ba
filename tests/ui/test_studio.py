"""The work behind the page, without a page."""

import gc
import io
import threading
import weakref
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from zoo_core import load
from zoo_core.errors import Interrupted, ResourceError, UnknownNameError, UsageError, ZooError
from zoo_core.ui.catalogue import Catalogue
from zoo_core.ui.drawing import Choice, draw
from zoo_core.ui.limits import Limits
from zoo_core.ui.line import Line
from zoo_core.ui.studio import Studio

pytest.importorskip("zoo_realnvp")
MOONS = "realnvp-moons"


def test_the_page_draws_the_samples_that_python_draws() -> None:
    model = load(MOONS)
    drawing, samples = draw(model, Choice(reference=MOONS, n=20, seed=3))
    assert samples.equal(model.sample(20, seed=3))
    with np.load(io.BytesIO(drawing.npz)) as arrays:
        assert np.array_equal(arrays["samples"], samples.numpy())
        assert str(arrays["seed"]) == "3"
    with Image.open(io.BytesIO(drawing.png)) as image:
        assert image.info["weights"].startswith("sha256:")


@pytest.mark.parametrize(
    ("setting", "value"), [("n", 5001), ("n", 0), ("seed", -1), ("steps", 10_001), ("sampler", "nothing"), ("labels", "0")]
)
def test_settings_out_of_bounds_are_refused(setting: str, value: object) -> None:
    with Studio([MOONS]) as studio, pytest.raises(ZooError):
        studio.draw(Choice.of(MOONS, **{setting: value}))


def test_a_checkpoint_that_the_page_does_not_offer_is_refused() -> None:
    for reference in ("local:/etc", "maf-moons", None, ["realnvp-moons"]):
        with pytest.raises(UnknownNameError):
            Catalogue([MOONS]).check(reference)


def test_the_page_opens_at_a_checkpoint_that_draws() -> None:
    pytest.importorskip("zoo_classifier")
    assert Catalogue(["classifier-mnist", MOONS]).first == MOONS


def test_old_files_leave_the_disk_and_all_at_the_end() -> None:
    with Studio([MOONS], limits=Limits(drawings=2)) as studio:
        paths = [studio.draw(Choice(reference=MOONS, n=2, seed=seed)).png for seed in range(3)]
        assert [path.exists() for path in paths] == [False, True, True]
        folder = studio.folder
    assert not folder.exists()


def test_memory_is_given_back_when_the_line_is_empty() -> None:
    pytest.importorskip("zoo_vae")
    references = [MOONS, "vae-mnist-2d"]
    with Studio(references, limits=Limits(models=1)) as studio:
        studio.draw(Choice(reference=MOONS, n=2))
        first = weakref.ref(studio._models.get(MOONS).model)
        studio.draw(Choice(reference="vae-mnist-2d", n=2))
        gc.collect()
        assert first() is None
        assert len(studio.line) == 0
        second = weakref.ref(studio._models.get("vae-mnist-2d").model)
    gc.collect()
    assert second() is None


def test_a_full_line_refuses_and_a_place_that_was_given_up_leaves_it() -> None:
    line = Line(limit=2)
    errors: list[BaseException] = []
    waits = threading.Event()

    def wait() -> None:
        try:
            with line.place("b", lambda ahead: waits.set()):
                pass
        except Interrupted as error:
            errors.append(error)

    with line.place("a"):
        thread = threading.Thread(target=wait)
        thread.start()
        assert waits.wait(10)
        with pytest.raises(ResourceError, match="busy"), line.place("c"):
            pass
        assert line.give_up("b") == 1
        thread.join(10)
    assert [type(error) for error in errors] == [Interrupted]
    assert len(line) == 0


def test_two_sides_on_one_noise_of_the_same_model_are_equal() -> None:
    with Studio([MOONS]) as studio:
        pair = studio.compare(Choice(reference=MOONS, n=4), Choice(reference=MOONS, n=4))
        assert "Root mean square difference: 0" in pair.note
        with pytest.raises(UsageError, match="one seed"):
            studio.compare(Choice(reference=MOONS, n=4), Choice(reference=MOONS, n=4, seed=1))


def test_a_description_has_rows_numbers_licence_and_a_curve() -> None:
    about = Catalogue([MOONS]).describe(MOONS)
    assert dict(about.rows)["family"].startswith("realnvp")
    assert "|" in about.numbers
    assert about.licence
    assert about.curve is None or about.curve[:4] == b"\x89PNG"


def test_a_folder_that_is_named_is_offered(tmp_path: Path) -> None:
    with pytest.raises(ZooError):
        Catalogue([f"local:{tmp_path}"])
