"""The page: tabs that describe a checkpoint, draw from it, show its process, fill in pictures, and compare."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from html import escape
from typing import Any

from zoo_core.errors import ResourceError
from zoo_core.ui.catalogue import Description
from zoo_core.ui.controls import Controls, Output, gradio, polite, reporters
from zoo_core.ui.drawing import Choice
from zoo_core.ui.look import CSS, theme
from zoo_core.ui.models import Abilities
from zoo_core.ui.studio import Studio

__all__ = ["build", "serve"]

_Update = Callable[[Abilities], list[Any]]


class _Page:
    """The page while it is built: its studio, the checkpoint that is chosen, and the widgets that depend on it."""

    def __init__(self, studio: Studio, chosen: Any) -> None:
        self.studio = studio
        self.chosen = chosen
        self.dependent: list[tuple[list[Any], _Update]] = []

    def follow(self, controls: Controls) -> Controls:
        self.dependent.append((controls.inputs, controls.updates))
        return controls

    def button(self, text: str, work: Callable[..., Any], inputs: list[Any], outputs: list[Any], name: str) -> None:
        """A button that starts ``work(progress and owner, *values)``, and one that stops it.

        It can be pressed once the settings are those of the checkpoint; until then, Gradio sends empty numbers as 0.
        """
        gr = gradio()
        studio = self.studio
        with gr.Row():
            start = gr.Button(text, variant="primary", interactive=False, min_width=100, elem_id=f"{name}-start")
            stop = gr.Button("Stop", min_width=100, elem_id=f"{name}-stop")

        def run(request: gr.Request, progress: Any = gr.Progress(), *values: Any) -> Any:  # type: ignore[name-defined]  # noqa: B008
            return polite(lambda: work(reporters(progress, request), *values))

        def give_up(request: gr.Request) -> None:  # type: ignore[name-defined]
            studio.stop(request.session_hash or "")

        self.dependent.append(([start], lambda able: [gr.update(interactive=True)]))
        start.click(run, inputs, outputs, api_name=name, api_visibility="undocumented", concurrency_limit=None)
        stop.click(give_up, None, None, queue=False, api_visibility="private")


def build(studio: Studio) -> Any:
    """Builds the page as ``gradio.Blocks``.

    Args:
        studio: the work behind it.

    Raises:
        UsageError: if gradio is not installed.
    """
    gr = gradio()
    with gr.Blocks(title="The zoo", analytics_enabled=False, delete_cache=(600, 3600)) as blocks:
        gr.Markdown("# The zoo\nDeep generative models: their cards, their samples, and the way to them.")
        names = list(studio.catalogue.references)
        chosen = gr.Dropdown(label="Checkpoint", choices=names, value=studio.catalogue.first, elem_id="checkpoint")
        page = _Page(studio, chosen)
        with gr.Tabs():
            with gr.Tab("Draw"):
                _draw(page)
            with gr.Tab("Process"):
                _process(page)
            with gr.Tab("Inpaint"):
                _inpaint(page)
            with gr.Tab("Compare"):
                _compare(page)
            with gr.Tab("About"):
                _about(page, blocks)
        _follow(page, blocks)
        blocks.unload(_gone(studio))
    blocks.queue(max_size=4 * studio.limits.requests, default_concurrency_limit=2 * studio.limits.requests)
    return blocks


def _gone(studio: Studio) -> Callable[..., None]:
    gr = gradio()

    def gone(request: gr.Request) -> None:  # type: ignore[name-defined]
        studio.stop(request.session_hash or "")

    return gone


def _follow(page: _Page, blocks: Any) -> None:
    """Lets all settings follow the chosen checkpoint."""

    def changed(reference: str) -> list[Any]:
        able = polite(lambda: page.studio.abilities(reference))
        return [state for _, update in page.dependent for state in update(able)]

    outputs = [widget for widgets, _ in page.dependent for widget in widgets]
    for event in (blocks.load, page.chosen.change):
        event(changed, page.chosen, outputs, api_visibility="private", show_progress="hidden")


def _draw(page: _Page) -> None:
    gr = gradio()
    with gr.Row():
        with gr.Column(min_width=280):
            controls = page.follow(Controls())
            place = gr.Column()
        with gr.Column(min_width=280, scale=2):
            output = Output("Samples")

    def work(how: dict[str, Any], reference: str, *entered: Any) -> list[Any]:
        return output.show(page.studio.draw(Choice.of(reference, **controls.values(entered)), **how))

    with place:
        page.button("Draw", work, [page.chosen, *controls.inputs], output.outputs, "draw")


def _process(page: _Page) -> None:
    gr = gradio()
    with gr.Row():
        with gr.Column(min_width=280):
            figure = gr.Radio(["From noise to samples", "Between two samples"], value="From noise to samples", label="Figure")
            points = gr.Number(label="Samples on a path between two", value=8, precision=0, minimum=2)
            controls = page.follow(Controls(n=3, noun="Number of rows"))
            place = gr.Column()
        with gr.Column(min_width=280, scale=2):
            output = Output("Process")

    def work(how: dict[str, Any], reference: str, kind: str, count: float, *entered: Any) -> list[Any]:
        choice = Choice.of(reference, **controls.values(entered))
        if kind.startswith("From"):
            return output.show(page.studio.reverse(choice, **how))
        return output.show(page.studio.interpolate(choice, int(count or 8), **how))

    with place:
        page.button("Show", work, [page.chosen, figure, points, *controls.inputs], output.outputs, "process")


def _inpaint(page: _Page) -> None:
    gr = gradio()
    with gr.Row():
        with gr.Column(min_width=280):
            gr.Markdown("Take a sample or upload a picture, paint over the part to replace, and fill it in.")
            with gr.Row():
                number = gr.Number(label="Sample number", value=0, precision=0, minimum=0, min_width=120)
                take = gr.Button("Take this sample", size="md", min_width=120, elem_id="take")
            editor = gr.ImageEditor(
                label="Picture to paint on",
                type="pil",
                image_mode="RGBA",
                sources=("upload", "clipboard"),
                brush=gr.Brush(default_size=40, colors=["#e11d48"], color_mode="fixed"),
                transforms=(),
                layers=False,
                canvas_size=(384, 384),
                elem_id="editor",
            )
            controls = page.follow(Controls(n=4, noun="Completions"))
            place = gr.Column()
        with gr.Column(min_width=280, scale=2):
            output = Output("Completions")

    def ground(reference: str, seed: float, index: float) -> dict[str, Any]:
        picture = polite(lambda: page.studio.picture(reference, int(seed or 0), int(index or 0)))
        return {"background": picture, "layers": [], "composite": picture}

    take.click(ground, [page.chosen, controls.widgets["seed"], number], editor, api_visibility="private")

    def work(how: dict[str, Any], reference: str, drawn: dict[str, Any] | None, *entered: Any) -> list[Any]:
        picture, painted = _painted(drawn)
        return output.show(page.studio.inpaint(Choice.of(reference, **controls.values(entered)), picture, painted, **how))

    with place:
        page.button("Fill in", work, [page.chosen, editor, *controls.inputs], output.outputs, "inpaint")


def _painted(drawn: dict[str, Any] | None) -> tuple[Any, Any]:
    """The picture of an editor, and the mask of the part that is painted over."""
    from PIL import Image, ImageChops

    from zoo_core.errors import UsageError

    if not drawn or drawn.get("background") is None:
        raise UsageError("there is no picture", "take a sample or upload a picture, and paint over a part of it")
    picture = drawn["background"].convert("RGBA")
    mask = Image.new("L", picture.size)
    for layer in drawn.get("layers") or []:
        mask = ImageChops.lighter(mask, layer.convert("RGBA").getchannel("A").resize(picture.size))
    return picture.convert("RGB"), mask


def _compare(page: _Page) -> None:
    gr = gradio()
    names = list(page.studio.catalogue.references)
    gr.Markdown("Two checkpoints, or two samplers of one, on the same seed. Choose the left checkpoint above.")
    shared = page.follow(Controls(n=16, walk=False))
    with gr.Row():
        with gr.Column(min_width=280):
            left = page.follow(Controls("Left", n=None))
        with gr.Column(min_width=280):
            other = gr.Dropdown(label="Right checkpoint", choices=["the same", *names], value="the same")
            right = Controls("Right", n=None)
    place = gr.Column()
    note = gr.Markdown("", elem_classes="note")
    with gr.Row():
        with gr.Column(min_width=280):
            left_output = Output("Left side")
        with gr.Column(min_width=280):
            right_output = Output("Right side")

    def changed(reference: str, second: str) -> list[Any]:
        return right.updates(polite(lambda: page.studio.abilities(reference if second == "the same" else second)))

    for event in (page.chosen.change, other.change):
        event(changed, [page.chosen, other], right.inputs, api_visibility="private", show_progress="hidden")
    page.dependent.append((right.inputs, right.updates))

    def work(how: dict[str, Any], reference: str, second: str, *entered: Any) -> list[Any]:
        common = shared.values(entered[: len(shared.inputs)])
        ends = len(shared.inputs) + len(left.inputs)
        first = Choice.of(reference, **common, **left.values(entered[len(shared.inputs) : ends]))
        last = Choice.of(reference if second == "the same" else second, **common, **right.values(entered[ends:]))
        pair = page.studio.compare(first, last, **how)
        return [*left_output.show(pair.left), *right_output.show(pair.right), pair.note]

    inputs = [page.chosen, other, *shared.inputs, *left.inputs, *right.inputs]
    with place:
        page.button("Compare", work, inputs, [*left_output.outputs, *right_output.outputs, note], "compare")


def _about(page: _Page, blocks: Any) -> None:
    gr = gradio()
    facts = gr.HTML(elem_classes="facts")
    with gr.Accordion("Numbers", open=True):
        numbers = gr.Markdown(elem_classes="scroll")
    with gr.Accordion("Pictures and the training loss", open=True):
        pictures = gr.HTML(elem_classes="pictures")
    with gr.Accordion("Card", open=False):
        card = gr.Markdown(elem_classes="scroll")
    with gr.Accordion("Licence", open=False):
        licence = gr.HTML(elem_classes="facts")

    def changed(reference: str) -> list[Any]:
        about = polite(lambda: page.studio.catalogue.describe(reference))
        return [
            _table(about),
            about.numbers or "No numbers are recorded.",
            _pictures(about),
            about.card or "There is no card.",
            f"<pre>{escape(about.licence)}</pre>",
        ]

    outputs = [facts, numbers, pictures, card, licence]
    for event in (blocks.load, page.chosen.change):
        event(changed, page.chosen, outputs, api_visibility="private", show_progress="hidden")


def _pictures(about: Description) -> str:
    named = [(f"{name.removesuffix('.png')} of {about.title}", content) for name, content in about.pictures]
    if about.curve is not None:
        named.append((f"training loss of {about.title} by step", about.curve))
    shown = [_figure(name, content) for name, content in named]
    return "".join(shown) or "<p>There are no pictures.</p>"


def _figure(name: str, content: bytes) -> str:
    source = "data:image/png;base64," + b64encode(content).decode()
    return f'<figure><img src="{source}" alt="{escape(name)}"><figcaption>{escape(name)}</figcaption></figure>'


def _table(about: Description) -> str:
    rows = "".join(f'<tr><th scope="row">{escape(label)}</th><td>{escape(text)}</td></tr>' for label, text in about.rows)
    return f"<h2>{escape(about.title)}</h2><p>{escape(about.summary)}</p><table>{rows}</table>"


@contextmanager
def serve(studio: Studio, host: str = "127.0.0.1", port: int | None = None) -> Iterator[str]:
    """Serves the page while the ``with`` block runs, and gives its address.

    Args:
        studio: the work behind the page.
        host: address to listen at; the page is for this machine alone by default.
        port: port; the first free one from 7860 when None.

    Raises:
        UsageError: if gradio is not installed.
        ResourceError: if the port is taken.
    """
    import os

    os.environ["GRADIO_TEMP_DIR"] = str(studio.folder / "page")  # what the page copies goes with the studio's folder
    blocks = build(studio)
    try:
        _, address, _ = blocks.launch(
            server_name=host,
            server_port=port,
            share=False,
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            run_history=False,
            pwa=False,
            footer_links=[],
            inbrowser=False,
            max_threads=3 * studio.limits.requests,
            max_file_size=studio.limits.upload,
            theme=theme(),
            css=CSS,
        )
    except OSError as error:
        raise ResourceError(f"the page cannot listen at {host}:{port or 7860}: {error}", "choose another --port") from None
    try:
        yield address
    finally:
        blocks.close(verbose=False)
