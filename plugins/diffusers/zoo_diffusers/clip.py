"""The text encoder of CLIP (Radford et al. 2021, arXiv:2103.00020), with the names of weights that transformers gives them."""

import json
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_diffusers.config import TextConfig
from zoo_diffusers.tokenizer import BytePairs

__all__ = ["ClipText"]


class ClipText(nn.Module):
    """Texts to the last hidden states of their tokens, after the final norm: a causal transformer.

    The tables of the tokenizer are bytes in a tensor of the state dict, so that they are verified and stored as weights are.

    Example:
        >>> from zoo_diffusers.tokenizer import END, START, table_of
        >>> table = table_of({START: 0, END: 1, "a</w>": 2}, [])
        >>> options = {"vocab_size": 3, "hidden_size": 8, "layers": 1, "heads": 2, "intermediate_size": 16, "positions": 5}
        >>> encoder = ClipText(TextConfig(**options, start=0, end=1, pad=1, table_bytes=len(table)))
        >>> encoder.table.copy_(torch.frombuffer(bytearray(table), dtype=torch.uint8)).shape[0] == len(table)
        True
        >>> encoder.encode(["a", ""]).shape, encoder.empty().shape
        (torch.Size([2, 5, 8]), torch.Size([1, 5, 8]))
    """

    table: Tensor

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        self.config = config
        self.embeddings = nn.ModuleDict(
            {
                "token_embedding": nn.Embedding(config.vocab_size, config.hidden_size),
                "position_embedding": nn.Embedding(config.positions, config.hidden_size),
            }
        )
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(_Layer(config) for _ in range(config.layers))})
        self.final_layer_norm = nn.LayerNorm(config.hidden_size, eps=config.eps)
        self.register_buffer("table", torch.zeros(config.table_bytes, dtype=torch.uint8))

    def tokens(self, prompts: Sequence[str]) -> Tensor:
        """The tokens of texts, int64 (n, positions).

        Raises:
            UsageError: if a text is too long.
            ConfigError: if the tables are not of this kind.
        """
        tables = json.loads(bytes(self.table.cpu().numpy()))
        pairs = BytePairs(**tables, pad=self.config.pad, length=self.config.positions)
        return torch.tensor([pairs.ids(prompt) for prompt in prompts], device=self.table.device)

    def forward(self, tokens: Tensor) -> Tensor:
        """Hidden states (n, positions, hidden_size) of ``tokens`` (n, positions)."""
        h: Tensor = self.embeddings["token_embedding"](tokens)
        h = h + cast(nn.Embedding, self.embeddings["position_embedding"]).weight[: tokens.shape[1]]
        for layer in cast(nn.ModuleList, self.encoder["layers"]):
            h = layer(h)
        out: Tensor = self.final_layer_norm(h)
        return out

    def encode(self, prompts: Sequence[str]) -> Tensor:
        """Hidden states, float32 (n, positions, hidden_size), of texts; raises as :meth:`tokens` does."""
        out: Tensor = self(self.tokens(prompts))
        return out.float()

    def empty(self) -> Tensor:
        """Hidden states, float32 (1, positions, hidden_size), of the empty text, which needs no tables."""
        tokens = [self.config.start, self.config.end, *[self.config.pad] * (self.config.positions - 2)]
        out: Tensor = self(torch.tensor([tokens], device=self.table.device))
        return out.float()


class _Layer(nn.Module):
    """Causal self-attention and a perceptron, each after a norm and beside a shortcut."""

    def __init__(self, config: TextConfig) -> None:
        super().__init__()
        width = config.hidden_size
        self.heads = config.heads
        self.quick = config.activation == "quick_gelu"
        self.layer_norm1 = nn.LayerNorm(width, eps=config.eps)
        self.self_attn = nn.ModuleDict({name: nn.Linear(width, width) for name in ("q_proj", "k_proj", "v_proj", "out_proj")})
        self.layer_norm2 = nn.LayerNorm(width, eps=config.eps)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, config.intermediate_size), "fc2": nn.Linear(config.intermediate_size, width)})

    def forward(self, x: Tensor) -> Tensor:
        h = self.layer_norm1(x)
        q, k, v = (self.self_attn[name](h).unflatten(2, (self.heads, -1)).transpose(1, 2) for name in ("q_proj", "k_proj", "v_proj"))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.self_attn["out_proj"](attended.transpose(1, 2).flatten(2))
        h = self.mlp["fc1"](self.layer_norm2(x))
        h = h * torch.sigmoid(1.702 * h) if self.quick else F.gelu(h)
        out: Tensor = x + self.mlp["fc2"](h)
        return out
