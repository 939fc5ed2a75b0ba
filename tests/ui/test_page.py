"""The page in a real browser, and its server under load and under attack."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from zoo_core.ui.limits import Limits
from zoo_core.ui.studio import Studio

pytest.importorskip("gradio", reason="the page needs the extra [ui]")
# Warnings of Gradio and of the libraries under it are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")

REFERENCES = ("ncsn-gaussian-mixture", "ncsn-mnist", "vae-mnist-2d", "classifier-mnist")


@pytest.fixture(scope="module")
def studio() -> Iterator[Studio]:
    for name in ("zoo_ncsn_langevin", "zoo_vae", "zoo_classifier"):
        pytest.importorskip(name)
    with Studio(REFERENCES, limits=Limits(requests=20)) as studio:
        yield studio


@pytest.fixture(scope="module")
def address(studio: Studio) -> Iterator[str]:
    from zoo_core.ui.page import serve

    with serve(studio) as address:
        yield address


def client_of(address: str) -> Any:
    from gradio_client import Client

    return Client(address, verbose=False, analytics_enabled=False, download_files=False, httpx_kwargs={"timeout": 60})


def draw(client: Any, seed: int) -> Any:
    own = "default"
    return client.predict("vae-mnist-2d", 1, seed, own, own, None, "", None, api_name="/draw")


def wait_for(condition: Any, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.slow
def test_twenty_requests_at_once_are_served_and_the_next_is_refused_politely(
    studio: Studio, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = [client_of(address) for _ in range(3)]
    resident = [crowd(studio, clients, monkeypatch) for _ in range(2)]
    assert len(studio.line) == 0
    assert len(studio._models.loaded) == 1
    assert resident[1] - resident[0] < 30, resident  # MB; a picture and its data are kept of each drawing, the rest is given back


def crowd(studio: Studio, clients: list[Any], monkeypatch: pytest.MonkeyPatch) -> float:
    """Lets 20 requests of a few visitors come at once, and one more in vain; the resident memory afterwards, in MB, on Linux."""
    gate = threading.Event()
    get = studio._models.get
    monkeypatch.setattr(studio._models, "get", lambda reference: gate.wait(60) and get(reference))
    with ThreadPoolExecutor(20) as threads:
        waiting = [threads.submit(draw, clients[seed % len(clients)], seed) for seed in range(20)]
        wait_for(lambda: len(studio.line) == 20)
        with pytest.raises(Exception, match="the page is busy: 20 requests are in the line -- try again in a minute"):
            draw(clients[0], 99)
        gate.set()
        notes = [future.result(timeout=120)[1] for future in waiting]
    monkeypatch.undo()
    assert all(f"seed {seed}" in note for seed, note in enumerate(notes))
    status = Path("/proc/self/status")
    return float(status.read_text().partition("VmRSS:")[2].split()[0]) / 1000 if status.exists() else 0.0


def test_other_files_cannot_be_read(studio: Studio, address: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret.txt"
    secret.write_text("secret")
    url = urlsplit(address)
    for path in (f"/gradio_api/file={secret}", "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../../../etc/passwd", "/../etc/passwd"):
        connection = HTTPConnection(url.hostname or "", url.port, timeout=20)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        assert answer.status in (403, 404)
        assert b"secret" not in text.replace(str(secret).encode(), b"")
        assert b"root:" not in text


def test_other_checkpoints_and_large_numbers_are_refused(studio: Studio, address: str) -> None:
    client = client_of(address)
    own = "default"
    for reference, n in (("local:/etc", 1), ("vae-mnist-2d", 10**6)):
        with pytest.raises(Exception, match=r"local:/etc|number of samples"):
            client.predict(reference, n, 0, own, own, None, "", None, api_name="/draw")


def test_the_page_listens_on_this_machine_alone(address: str) -> None:
    assert urlsplit(address).hostname == "127.0.0.1"


@pytest.fixture
def tab(browser: Any, address: str) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 390, "height": 844}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(90_000)
    outside: list[str] = []
    page.on("request", lambda request: outside.append(request.url))
    page.goto(address)
    page.get_by_role("button", name="Draw", exact=True).wait_for()
    yield page
    context.close()
    assert [url for url in outside if not url.startswith((address, "data:", "blob:"))] == []


def choose(tab: Any, label: str, name: str) -> None:
    tab.get_by_label(label, exact=True).filter(visible=True).first.click()
    tab.get_by_role("option", name=name, exact=True).click()


@pytest.mark.slow
def test_a_sample_is_drawn_and_downloaded_on_a_phone(tab: Any, tmp_path: Path) -> None:
    choose(tab, "Checkpoint", "vae-mnist-2d")
    tab.get_by_label("Scheduler").wait_for(state="detached")
    tab.get_by_label("Seed").first.fill("5")
    tab.get_by_role("button", name="Draw", exact=True).click()
    tab.locator('img[alt*="seed 5"]').wait_for()
    assert tab.evaluate("document.documentElement.scrollWidth") <= 390
    for kind in ("PNG", "npz"):
        with tab.expect_download() as download:
            tab.get_by_role("button", name=f"{kind} of samples").click()
        download.value.save_as(tmp_path / download.value.suggested_filename)
    with Image.open(tmp_path / "vae-mnist-2d-seed5.png") as image:
        assert image.info["seed"] == "5"
    with np.load(tmp_path / "vae-mnist-2d-seed5.npz") as arrays:
        assert arrays["samples"].shape == (16, 1, 28, 28)
        assert str(arrays["reference"]) == "vae-mnist-2d"


@pytest.mark.slow
def test_nothing_can_be_drawn_before_the_settings_are_those_of_the_checkpoint(
    studio: Studio, address: str, browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    abilities = studio.abilities
    monkeypatch.setattr(studio, "abilities", lambda reference: gate.wait(60) and abilities(reference))
    page = browser.new_page()
    page.goto(address)
    button = page.get_by_role("button", name="Draw", exact=True)
    button.wait_for()
    assert button.is_disabled()  # numbers that are empty would be sent as 0
    gate.set()
    wait_for(button.is_enabled)
    page.close()


@pytest.mark.slow
def test_a_mask_is_painted_by_hand_and_filled_in(tab: Any) -> None:
    choose(tab, "Checkpoint", "ncsn-mnist")
    tab.get_by_role("tab", name="Inpaint").click()
    tab.get_by_role("button", name="Take this sample").click()
    canvas = tab.locator("#editor canvas").first
    tab.wait_for_timeout(3000)
    tab.locator('#editor button[aria-label*="rush"]').first.click()
    box = canvas.bounding_box()
    tab.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.6, steps=8)
    tab.mouse.up()
    tab.get_by_label("Completions", exact=True).fill("1")
    choose(tab, "Sampler", "ddim")
    tab.get_by_label("Steps").filter(visible=True).fill("4")
    tab.get_by_role("button", name="Fill in").click()
    tab.locator('img[alt*="completions of the rest"]').wait_for(timeout=100_000)


@pytest.mark.slow
def test_every_field_and_button_has_a_name(tab: Any) -> None:
    unnamed = tab.evaluate(
        """() => [...document.querySelectorAll('input, textarea, select, button')].filter(e => e.offsetParent !== null)
        .filter(e => !(e.ariaLabel || e.labels?.length || e.textContent.trim() || e.title)).map(e => e.outerHTML.slice(0, 200))"""
    )
    assert unnamed == []
    assert tab.evaluate("[...document.images].filter(i => !i.alt).length") == 0
