"""Colours, fonts and style sheet of the page, in light and dark; nothing is loaded from elsewhere."""

from typing import Any

from zoo_core.ui.controls import gradio

__all__ = ["CSS", "theme"]

_FONTS = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "Helvetica", "Arial", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "monospace"]

CSS = """
.facts table { width: 100%; border-collapse: collapse; table-layout: fixed; }
#take { align-self: center; }
.facts tr { border: 0 !important; }
.facts table { border: 0; border-top: 1px solid var(--border-color-primary); }
.facts th, .facts td { padding: 0.4em 0.7em; border: 0; border-bottom: 1px solid var(--border-color-primary); }
.facts th { width: 8.5em; text-align: left; vertical-align: top; font-weight: 600; }
.facts td { overflow-wrap: anywhere; }
.facts pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 0.85em; }
.scroll { overflow-x: auto; }
.scroll table { width: max-content; border-collapse: collapse; }
.scroll th, .scroll td { white-space: nowrap; overflow-wrap: normal; word-break: normal; }
.scroll tr, .scroll th, .scroll td { border-color: var(--border-color-primary) !important; }
.pictures > div, .pictures .prose { display: flex; flex-wrap: wrap; gap: 1.5em; }
.pictures figure { margin: 0; flex: 1 1 280px; max-width: 560px; }
.pictures img { width: 100%; height: auto; background: white; }
button[role="tab"][aria-selected="true"] { color: var(--primary-700) !important; }
.dark button[role="tab"][aria-selected="true"] { color: var(--primary-300) !important; }
:focus-visible { outline: 3px solid var(--primary-600) !important; outline-offset: 2px; }
"""
"""The style sheet beside that of the theme."""


def theme() -> Any:
    """The theme of Gradio: teal as on the site, with texts that have a contrast of at least 4.5 to 1."""
    base = gradio().themes.Default(primary_hue="teal", font=_FONTS, font_mono=_MONO)
    return base.set(
        block_info_text_color="*neutral_500",
        block_info_text_color_dark="*neutral_400",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        color_accent="*primary_600",
    )
