"""Base classes of models, for authors of plugins: light configs in ``models.config``, nets in ``models.denoising`` and ``models.unet``."""
