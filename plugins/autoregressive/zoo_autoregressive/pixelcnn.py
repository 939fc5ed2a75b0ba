"""The net of the gated PixelCNN: a stack that sees the rows above, and one that sees the values before in the row."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo_autoregressive.config import PixelCNNConfig

__all__ = ["GatedLayer", "PixelCNNNet"]

Pick = Callable[[Tensor, Tensor], Tensor]
"""``pick(outputs, u)``: levels int64 (n,) for the outputs (n, k) of a net and u (n,)."""


def gate(x: Tensor) -> Tensor:
    """tanh(a) sigmoid(b) of the halves a, b of the channels (arXiv:1606.05328, eq. 2)."""
    a, b = x.chunk(2, dim=1)
    return a.tanh() * b.sigmoid()


class GatedLayer(nn.Module):
    """One layer of both stacks (arXiv:1606.05328, figure 2), without masks: inputs are shifted once, and windows end at the present place.

    Args:
        inputs: channels of the inputs of both stacks.
        channels: channels of the outputs.
        kernel: odd side of the kernel.

    Example:
        >>> layer = GatedLayer(2, 8, 3)
        >>> [out.shape for out in layer(torch.zeros(4, 2, 5, 5), torch.zeros(4, 2, 5, 5))]
        [torch.Size([4, 8, 5, 5]), torch.Size([4, 8, 5, 5])]
    """

    def __init__(self, inputs: int, channels: int, kernel: int) -> None:
        super().__init__()
        self.span = (kernel + 1) // 2
        self.side = kernel // 2
        self.down = nn.Conv2d(inputs, 2 * channels, (self.span, kernel))
        self.across = nn.Conv2d(inputs, 2 * channels, (1, self.span))
        self.link = nn.Conv2d(2 * channels, 2 * channels, 1)
        self.mix = nn.Conv2d(channels, channels, 1)
        self.residual = inputs == channels

    def forward(self, v: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """The outputs (n, channels, rows, columns) of the vertical and the horizontal stack, for inputs (n, inputs, rows, columns)."""
        above = self.down(F.pad(v, (self.side, self.side, self.span - 1, 0)))
        out = self.mix(gate(self.across(F.pad(h, (self.span - 1, 0, 0, 0))) + self.link(above)))
        return gate(above), out + h if self.residual else out

    def row(self, window: Tensor) -> tuple[Tensor, Tensor]:
        """The vertical output of one row, and what it adds to the horizontal stack, (n, channels or 2 channels, 1, columns).

        Args:
            window: vertical inputs of the last ``span`` rows, (n, inputs, span, columns).
        """
        above = self.down(F.pad(window, (self.side, self.side, 0, 0)))
        return gate(above), self.link(above)

    def value(self, window: Tensor, link: Tensor) -> Tensor:
        """The horizontal output of one place, (n, channels).

        Args:
            window: horizontal inputs of the last ``span`` places, (n, inputs, span).
            link: what the vertical stack adds at the place, (n, 2 channels).
        """
        sums = F.linear(window.flatten(1), self.across.weight.flatten(1), self.across.bias) + link
        out = F.linear(gate(sums), self.mix.weight.flatten(1), self.mix.bias)
        return out + window[:, :, -1] if self.residual else out


class PixelCNNNet(nn.Module):
    """Outputs for every value, each a function of the values before it alone: of all rows above, and of the same row to the left.

    Args:
        config: sizes of the net.
        count: number of levels of a value.
        outputs: number of outputs for a value.

    Example:
        >>> net = PixelCNNNet(PixelCNNConfig(layers=2, channels=4), 2, 1)
        >>> net(torch.zeros(3, 5, 5, dtype=torch.int64)).shape
        torch.Size([3, 5, 5, 1])
    """

    def __init__(self, config: PixelCNNConfig, count: int, outputs: int) -> None:
        super().__init__()
        self.top = count - 1
        sizes = [(2, config.first_kernel), *[(config.channels, config.kernel)] * (config.layers - 1)]
        self.layers = nn.ModuleList(GatedLayer(inputs, config.channels, kernel) for inputs, kernel in sizes)
        self.hidden = nn.Conv2d(config.channels, config.hidden, 1)
        self.leave = nn.Conv2d(config.hidden, outputs, 1)

    def forward(self, levels: Tensor) -> Tensor:
        """The outputs (n, rows, columns, outputs) for ``levels`` int64 (n, rows, columns)."""
        return self.outputs(2 * levels.to(self.leave.weight.dtype) / self.top - 1)

    def outputs(self, values: Tensor) -> Tensor:
        """The outputs for values in [-1, 1], float (n, rows, columns)."""
        x = torch.stack([values, torch.ones_like(values)], dim=1)  # ones tell the border from values of 0
        v, h = F.pad(x, (0, 0, 1, 0))[:, :, :-1], F.pad(x, (1, 0))[..., :-1]
        for layer in self.layers:
            v, h = layer(v, h)
        out: Tensor = self.leave(self.hidden(h.relu()).relu())
        return out.permute(0, 2, 3, 1)

    def draw(self, u: Tensor, pick: Pick) -> Tensor:
        """Draws levels int64 (n, rows, columns): each is ``pick(outputs, u)`` for the outputs given the levels before it.

        Every layer keeps the last rows of its vertical stack and the last places of its horizontal one. The vertical stack takes one pass
        for each row, the horizontal one for each place, and nothing is computed twice.
        """
        n, rows, columns = u.shape
        like = self.leave.weight
        levels = torch.zeros(n, rows, columns, dtype=torch.int64, device=u.device)
        windows = [like.new_zeros(n, layer.down.in_channels, layer.span, columns) for layer in self._stack()]
        before = like.new_zeros(n, 2, 1, columns)
        for row in range(rows):
            links = []
            v = before
            for i, layer in enumerate(self._stack()):
                windows[i] = torch.cat([windows[i][:, :, 1:], v], dim=2)
                v, link = layer.row(windows[i])
                links.append(link[:, :, 0])
            before = self._draw_row(levels[:, row], u[:, row], links, pick)
        return levels

    def _draw_row(self, levels: Tensor, u: Tensor, links: list[Tensor], pick: Pick) -> Tensor:
        """Draws a row into ``levels`` (n, columns); returns its inputs of the next row, (n, 2, 1, columns)."""
        like = self.leave.weight
        windows = [like.new_zeros(len(u), layer.across.in_channels, layer.span) for layer in self._stack()]
        inputs = like.new_zeros(len(u), 2, u.shape[1] + 1)
        for place in range(u.shape[1]):
            h = inputs[:, :, place]
            for i, layer in enumerate(self._stack()):
                windows[i] = torch.cat([windows[i][:, :, 1:], h[:, :, None]], dim=2)
                h = layer.value(windows[i], links[i][:, :, place])
            hidden = F.linear(h.relu(), self.hidden.weight.flatten(1), self.hidden.bias).relu()
            levels[:, place] = pick(F.linear(hidden, self.leave.weight.flatten(1), self.leave.bias), u[:, place])
            inputs[:, 0, place + 1] = 2 * levels[:, place].to(like.dtype) / self.top - 1
            inputs[:, 1, place + 1] = 1
        return inputs[:, :, None, 1:]

    def _stack(self) -> list[GatedLayer]:
        return [layer for layer in self.layers if isinstance(layer, GatedLayer)]
