"""A web page on which checkpoints are browsed, drawn from and compared, and a human study in one file.

``page``, ``controls`` and ``look`` are a thin layer of Gradio; the other modules do the work and need no web page.
"""
