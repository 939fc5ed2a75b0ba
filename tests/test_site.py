"""The documentation as a site: it builds without a warning, its links lead somewhere, and its search finds the words of the field."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(any(find_spec(name) is None for name in ("material", "mkdocstrings", "lunr")), reason="needs the extra docs"),
]


# Contrast ratios (WCAG 2) of text with its background, over paragraphs, links, headings and code.
CONTRASTS = """() => {
  const numbers = colour => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
    canvas.fillStyle = colour
    canvas.fillRect(0, 0, 1, 1)
    return [...canvas.getImageData(0, 0, 1, 1).data]
  }
  const linear = value => value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4
  const luminance = ([r, g, b]) => 0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b)
  const behind = element => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor
      if (!/rgba\\(.*, 0(\\.\\d+)?\\)|transparent/.test(colour)) return numbers(colour)
    }
    return [255, 255, 255]
  }
  const texts = [...document.querySelectorAll(".md-content :is(p, a:not(.headerlink), h1, h2, code)")]
  return texts.filter(each => each.offsetParent).map(each => {
    const back = behind(each)
    const [r, g, b, a] = numbers(getComputedStyle(each).color)
    const front = [r, g, b].map((value, i) => value * a / 255 + back[i] * (1 - a / 255))
    const [low, high] = [luminance(front), luminance(back)].sort((x, y) => x - y)
    return (high + 0.05) / (low + 0.05)
  })
}"""


class Page(HTMLParser):
    """The anchors of a page, its links, and what it loads when it is opened."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.without_text: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {key: value or "" for key, value in attrs}
        self.anchors.update(values[key] for key in ("id", "name") if key in values)
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag in ("script", "img", "iframe") and "src" in values:
            self.loads.append(values["src"])
        if tag == "link" and values.get("rel") in ("stylesheet", "icon", "preconnect", "preload"):
            self.loads.append(values["href"])
        if tag == "img" and not values.get("alt"):
            self.without_text.append(values.get("src", ""))


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    env = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[Path, Page]:
    return {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_link_of_the_site_leads_to_a_page_and_a_place_on_it(site: Path, pages: dict[Path, Page]) -> None:
    dead = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = pages[target].anchors if target in pages else None
            if not target.is_file() or (parts.fragment and known is not None and unquote(parts.fragment) not in known):
                dead.append(f"{path.relative_to(site)}: {link}")
    assert dead == []
    assert sum(len(page.links) for page in pages.values()) > 1000


def test_the_site_loads_nothing_from_another_address(site: Path, pages: dict[Path, Page]) -> None:
    for path, page in pages.items():
        for address in page.loads:
            assert not urlsplit(address).netloc, f"{path.relative_to(site)} loads {address}"
            assert (path.parent / unquote(urlsplit(address).path)).is_file(), f"{path.relative_to(site)} lacks {address}"
    assert not re.search(r"url\(\s*['\"]?(?:https?:)?//", "".join(path.read_text() for path in site.rglob("*.css")))


def test_every_picture_of_the_site_has_a_text(pages: dict[Path, Page]) -> None:
    assert {path.name: page.without_text for path, page in pages.items() if page.without_text} == {}


@pytest.fixture(scope="module")
def search(site: Path) -> Callable[[str], list[str]]:
    """Addresses that hold all words of a query, best first, by the index that the site's own search reads."""
    from lunr import lunr

    documents = json.loads((site / "search/search_index.json").read_text())["docs"]
    index = lunr(ref="location", fields=["title", "text"], documents=documents)
    return lambda words: [match["ref"] for match in index.search(" ".join(f"+{word}" for word in words.split()))]


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("inpainting", "samplers.html#inpainting"),
        ("classifier-free guidance", "glossary.html#drawing"),
        ("safetensors", "glossary.html"),
        ("Frechet distance", "evaluation.html"),
        ("posterior collapse", "glossary.html"),
        ("lecture notes", "notes.html"),
        ("dpmpp-2m", "samplers.html"),
    ],
)
def test_the_search_finds(search: Callable[[str], list[str]], words: str, page: str) -> None:
    places = search(words)
    assert any(place.startswith(page) for place in places[:10]), places[:10]


def test_the_search_does_not_find_words_that_the_site_does_not_have(search: Callable[[str], list[str]]) -> None:
    assert search("photosynthesis") == []


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")  # of the browser's pipes
def test_the_search_works_in_a_browser_when_the_site_is_opened_from_a_folder(site: Path, browser: Any) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, offline=True)
    tab = context.new_page()
    outside: list[str] = []
    tab.on("request", lambda request: outside.append(request.url))
    for start, words, best in (
        ("index.html", "classifier-free guidance", "samplers.html#classifier-free-guidance"),
        ("families/ddpm.html", "inpainting", "samplers.html#inpainting"),
        ("model_cards/vae-mnist/index.html", "safetensors", "evaluation.html#records"),
    ):
        tab.goto((site / start).as_uri())
        tab.get_by_placeholder("Search").press_sequentially(words)
        link = tab.locator(".md-search-result__item").first.locator(".md-search-result__link").nth(1)
        link.wait_for(state="attached", timeout=20_000)
        assert (
            re.sub(r"\?.*(?=#)", "", link.get_attribute("href")) == (site / best.partition("#")[0]).as_uri() + "#" + best.partition("#")[2]
        )
    context.close()
    assert [url for url in outside if not url.startswith(("file:", "data:", "blob:"))] == []


@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")
def test_no_page_is_wider_than_a_phone_or_in_faint_colours(site: Path, browser: Any) -> None:
    for scheme in ("light", "dark"):
        context = browser.new_context(viewport={"width": 400, "height": 800}, color_scheme=scheme, offline=True)
        tab = context.new_page()
        for page in ("index", "samplers", "checkpoints", "families/ddpm", "api/samplers", "model_cards/ddpm-afhq-cat/index"):
            tab.goto((site / f"{page}.html").as_uri())
            assert tab.evaluate("document.documentElement.scrollWidth") <= 400, page
            assert min(tab.evaluate(CONTRASTS)) >= 4.5, page
        context.close()


def test_the_page_of_a_family_has_sheet_numbers_and_equations(site: Path) -> None:
    text = (site / "families/projection-cgan.html").read_text()
    assert 'src="../model_cards/projection-cgan-fashion-mnist/samples.png"' in text
    assert "<td><code>projection-cgan-fashion-mnist</code></td>" in text
    assert 'display="block"' in text
    assert "arithmatex" not in text


def test_a_family_without_checkpoints_has_no_empty_table() -> None:
    from tools.site_hooks import checkpoints_of

    assert list(checkpoints_of("nothing")) == ["None comes with the plugin yet; `zoo train nothing` makes one."]


def test_the_reference_has_the_docstrings_of_public_names(site: Path, pages: dict[Path, Page]) -> None:
    import zoo_core

    anchors = {anchor for path, page in pages.items() if path.parent.name == "api" for anchor in page.anchors}
    for name in zoo_core.samplers.__all__:
        assert f"zoo_core.samplers.{name}" in anchors
    assert {"zoo_core.loading.load", "zoo_core.pretrained.Pretrained.sample", "zoo_core.errors.ZooError"} <= anchors
    assert "&gt;&gt;&gt;" in (site / "api/samplers.html").read_text()
