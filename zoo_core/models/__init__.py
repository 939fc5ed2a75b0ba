"""Base classes of models, for authors of plugins: the light config in ``models.config``, the net in ``models.denoising``."""
