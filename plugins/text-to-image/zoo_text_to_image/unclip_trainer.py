"""Training of unCLIP: the prior on embeddings of a frozen CLIP, and the decoder given these embeddings."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from zoo_core.arguments import level_dtype
from zoo_core.errors import ConfigError
from zoo_core.interfaces import Rng
from zoo_core.training.teachers import begin_part
from zoo_core.training.trainer import Batch, Loss
from zoo_text_to_image.trainer import TextToImageTrainer
from zoo_text_to_image.unclip import UnCLIP
from zoo_text_to_image.unclip_config import UnCLIPTrainerConfig

__all__ = ["UnCLIPTrainer"]


class UnCLIPTrainer(TextToImageTrainer):
    """The sum of the losses of prior and decoder, which share the encoder of words alone; the CLIP stays as it is.

    The prior's is the mean of |D(z + sigma eps, sigma, y) - z|^2 (Ramesh et al. 2022, arXiv:2204.06125, eq. 2), where z is the
    scaled embedding of an image; the decoder's is that of :class:`TextToImageTrainer`, whose noise levels both have. Captions and
    embeddings are withheld as in section 2 of the paper: an embedding by zeros, a caption by the empty text.

    Raises:
        IncompatibleCheckpoint: if ``config.clip`` is a checkpoint of another config than the model's CLIP.
        ConfigError: in ``prepare``, if a new run has no CLIP.

    Example:
        >>> UnCLIPTrainer.reads_captions
        True
    """

    model: UnCLIP
    config: UnCLIPTrainerConfig

    def __init__(self, model: UnCLIP, config: UnCLIPTrainerConfig) -> None:
        super().__init__(model, config)
        if config.clip is not None:
            begin_part("clip", model.clip, model.config.clip, config.clip, requires="features")
        self.freeze_part(model.clip)

    def parameters_of(self, phase: str) -> Iterable[nn.Parameter]:
        return [parameter for name, parameter in self.model.named_parameters() if not name.startswith("clip.")]

    def prepare(self, batch: Batch, rng: Rng) -> None:
        if self.config.clip is None:
            raise ConfigError("the run has no CLIP", "name its checkpoint: -o trainer.clip.reference=REF")
        super().prepare(batch, rng)

    def forward(self, phase: str, batch: Batch, rng: Rng) -> Loss:
        model, x = self.model, batch.x
        tokens = model.tokenizer(batch.captions).to(x.device)
        untold, blind, unread = (rng.uniform() < rate for rate in (self.config.p_uncond, self.config.p_uncond, self.config.p_caption))
        withheld = torch.cat([untold, unread])[:, None]
        words, read = model.text(tokens.repeat(2, 1).masked_fill(withheld, model.tokenizer.pad)).chunk(2)
        texts = ["" if left else text for text, left in zip(batch.captions, untold.tolist(), strict=True)]
        with torch.autocast(x.device.type, enabled=False):
            z, text = model.image_embeddings(x), model.text_embeddings(texts)
        prior = self.denoising_embeddings(z, text, words, rng)
        decoder = self.denoising(x, model.context(z.masked_fill(blind[:, None], 0.0), read), rng)
        return Loss(value=prior + decoder, logs={"prior": prior.detach(), "decoder": decoder.detach()})

    def compilable(self) -> tuple[nn.Module, ...]:
        return (*super().compilable(), self.model.prior)

    def denoising_embeddings(self, z: Tensor, text: Tensor, words: Tensor, rng: Rng) -> Tensor:
        """The prior's loss () for embeddings of images and of captions, scaled, (n, d) each, and words (n, length, text_width)."""
        sigma = self._levels(rng.uniform().to(level_dtype(z.device)))
        noisy = z + sigma[:, None].to(z) * rng.normal(*z.shape[1:])
        return (self.model.prior.denoise(noisy, sigma, text, words) - z).square().mean()
