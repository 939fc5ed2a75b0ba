"""Widgets of the page: the settings of a drawing, and a drawing with its downloads."""

from collections.abc import Callable, Sequence
from typing import Any

from zoo_core.errors import Interrupted, UsageError, ZooError
from zoo_core.ui.models import Abilities
from zoo_core.ui.studio import Shown

__all__ = ["OWN", "Controls", "Output", "gradio", "polite", "reporters"]

OWN = "default"
"""The choice of a sampler or scheduler that leaves it to the checkpoint."""


def gradio() -> Any:
    """Gradio, imported with its analytics off.

    Raises:
        UsageError: if it is not installed.
    """
    import os

    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    try:
        import gradio as gr
    except ImportError:
        raise UsageError("the page needs gradio", "pip install 'zoo-core[ui]'") from None
    return gr


def polite(work: Callable[[], Any]) -> Any:
    """Runs ``work``; its failure becomes a message on the page."""
    gr = gradio()
    try:
        return work()
    except Interrupted as error:
        raise gr.Error(error.what, title="Stopped", duration=5, print_exception=False) from None
    except ZooError as error:
        text = f"{error.what} -- {error.hint}" if error.hint else error.what
        raise gr.Error(_escaped(text), title="This cannot be done", duration=15, print_exception=False) from None


def _escaped(text: str) -> str:
    from html import escape

    return escape(text[:600])


def reporters(progress: Any, request: Any) -> dict[str, Any]:
    """The arguments of a studio's work that show its progress and name its visitor."""
    return {
        "owner": getattr(request, "session_hash", None) or "",
        "on_wait": lambda ahead: progress(0, desc=f"Waiting: {ahead} ahead"),
        "report": lambda done, total: progress((done, total), desc="Drawing", unit="steps"),
    }


class Controls:
    """Widgets of the settings of a drawing: sampler, scheduler and steps, and, if ``drawing`` is set, number, seed, labels, guidance.

    Args:
        side: word that begins the labels of the widgets, such as ``Left``; may be empty.
        n: first number of samples; None leaves out all but sampler, scheduler and steps.
        noun: label of the number of samples.
    """

    def __init__(self, side: str = "", n: int | None = 16, noun: str = "Number of samples", *, walk: bool = True) -> None:
        gr = gradio()
        self.widgets: dict[str, Any] = {}

        def named(text: str) -> str:
            return f"{side} {text.lower()}" if side else text

        if n is not None:
            with gr.Row():
                self.widgets["n"] = gr.Number(label=noun, value=n, precision=0, minimum=1, min_width=120)
                self.widgets["seed"] = gr.Number(label="Seed", value=0, precision=0, minimum=0, min_width=120)
        if walk:
            with gr.Row():
                self.widgets["sampler"] = gr.Dropdown(label=named("Sampler"), choices=[OWN], value=OWN, min_width=160)
                self.widgets["scheduler"] = gr.Dropdown(label=named("Scheduler"), choices=[OWN], value=OWN, min_width=160)
                self.widgets["steps"] = gr.Number(label=named("Steps"), value=None, precision=0, minimum=1, min_width=100)
        if n is not None:
            with gr.Row():
                self.widgets["labels"] = gr.Textbox(label="Classes", value="", max_length=2000, min_width=160)
                self.widgets["guidance"] = gr.Number(label="Guidance", value=None, min_width=100)

    @property
    def inputs(self) -> list[Any]:
        return list(self.widgets.values())

    def values(self, entered: Sequence[Any]) -> dict[str, Any]:
        """The arguments of :meth:`zoo_core.ui.drawing.Choice.of` from the values of the widgets."""
        own = dict(zip(self.widgets, entered, strict=True))
        return {key: None if value == OWN else value for key, value in own.items()}

    def updates(self, able: Abilities) -> list[Any]:
        """New states of the widgets for a checkpoint that is ``able`` of so much."""
        gr = gradio()
        classes = f"0 to {able.classes - 1}"
        if able.names:
            classes = ", ".join(able.names[:12]) + (", ..." if len(able.names) > 12 else "")
        states: dict[str, dict[str, Any]] = {
            "n": {},
            "seed": {},
            "sampler": {"choices": [OWN, *able.samplers], "value": OWN, "info": able.default, "visible": able.draws},
            "scheduler": {"choices": [OWN, *able.schedulers], "value": OWN, "visible": able.denoises, "info": "Noise levels"},
            "steps": {"value": None, "visible": able.denoises, "info": "Empty: the sampler's own"},
            "labels": {"value": "", "visible": able.classes > 0, "info": f"Such as 3 or 0-4, or names, in turns: {classes}"},
            "guidance": {"value": None, "visible": able.guided, "info": "1 has no effect; needs classes"},
        }
        return [gr.update(**states[key]) for key in self.widgets]


class Output:
    """Widgets of a drawing: the picture, its description, and two downloads.

    Args:
        label: name of the picture.
    """

    def __init__(self, label: str) -> None:
        gr = gradio()
        self.label = label
        self.picture = gr.Image(
            label=label,
            show_label=False,
            type="filepath",
            format="png",
            interactive=False,
            buttons=["fullscreen"],
            alt_text=f"{label}: nothing drawn yet",
        )
        self.note = gr.Markdown("", elem_classes="note")
        with gr.Row():
            self.png = gr.DownloadButton(f"PNG of {label.lower()}", interactive=False, size="md", min_width=120)
            self.npz = gr.DownloadButton(f"npz of {label.lower()}", interactive=False, size="md", min_width=120)

    @property
    def outputs(self) -> list[Any]:
        return [self.picture, self.note, self.png, self.npz]

    def show(self, shown: Shown) -> list[Any]:
        """New states of the widgets."""
        gr = gradio()
        return [
            gr.update(value=str(shown.png), alt_text=f"{shown.note}. {shown.title}"),
            f"**{_plain(shown.title)}**  \n{_plain(shown.note)}",
            gr.update(value=str(shown.png), interactive=True),
            gr.update(value=str(shown.npz), interactive=True),
        ]


def _plain(text: str) -> str:
    """Text without meaning in markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_[]<>#|$" else letter for letter in text)
