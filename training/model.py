"""The pocket model: a hole-aware denoiser in pixels.

A U-Net of magnitude-preserving layers (Karras et al. 2024, arXiv:2312.02696, configuration G), which normalise weights
instead of pictures. So nothing depends on a picture's size or on how much of it is hole, half precision is safe, and
there is no group normalisation, slow on a CPU. It works on 2x2 blocks of pixels: the finest grid is half the picture's.
Written out here rather than taken from diffusers, whose import alone takes longer than a fill.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from training.layers import Weights, mix, silu, unit
from training.smooth import continued


@dataclass(frozen=True)
class NetSettings:
    # per level, finest first; each level's grid is half the one before
    channels: tuple[int, ...] = (64, 192, 320, 384)
    blocks: tuple[int, ...] = (1, 2, 2, 2)  # going down, and as many going up except at the coarsest
    attention: tuple[bool, ...] = (False, False, True, True)  # after the last of a level's blocks, either way
    embedding: int = 256
    head: int = 64  # channels per attention head
    dropout: float = 0.1
    patch: int = 2  # pixels along a block
    sigma_data: float = 0.5  # of the known pixels
    sigma_rest: float = 0.3  # of what a smooth continuation leaves to be drawn

    @property
    def stride(self) -> int:
        """A picture's sides must be multiples of this."""
        return self.patch * 2 ** (len(self.channels) - 1)


class Block(nn.Module):
    """Two convolutions and perhaps attention, each added to what came in. normalize: pixels to unit size before."""

    def __init__(self, inputs: int, outputs: int, net: NetSettings, attention: bool, normalize: bool) -> None:
        super().__init__()
        self.normalize, self.dropout, self.heads = normalize, net.dropout, outputs // net.head if attention else 0
        self.skip = Weights(inputs, outputs, 1) if inputs != outputs else None
        self.first = Weights(outputs if normalize else inputs, outputs, 3)
        self.level = Weights(net.embedding, outputs)
        self.level_gain = nn.Parameter(torch.zeros(()))
        self.second = Weights(outputs, outputs, 3)
        self.qkv = Weights(outputs, 3 * outputs, 1) if attention else None
        self.join = Weights(outputs, outputs, 1) if attention else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        main = x if self.skip is None else self.skip(x)
        if self.normalize:
            x = main = unit(main)
        y = self.first(silu(x))
        y = silu(y * (1 + self.level(embedding, self.level_gain))[:, :, None, None])
        x = mix(main, self.second(functional.dropout(y, self.dropout, self.training)), 0.3)
        if self.qkv is not None and self.join is not None:
            x = mix(x, self.join(self._attend(self.qkv(x))), 0.3)
        return x.clamp(-256, 256)

    def _attend(self, qkv: Tensor) -> Tensor:
        batch, _, height, width = qkv.shape
        parts = qkv.reshape(batch, 3 * self.heads, -1, height * width).transpose(2, 3)  # (B, 3 heads, places, channels)
        q, k, v = unit(parts, 3).chunk(3, 1)
        return functional.scaled_dot_product_attention(q, k, v).transpose(2, 3).reshape(batch, -1, height, width)


def blocks(inputs: int, width: int, count: int, attention: bool, net: NetSettings, normalize: bool) -> nn.ModuleList:
    last = [False] * (count - 1) + [attention]
    return nn.ModuleList(Block(width if i else inputs, width, net, last[i], normalize) for i in range(count))


class PocketNet(nn.Module):
    """E[clean | noisy, known pixels], as a U-Net with the preconditioning of Karras et al. 2022 (arXiv:2206.00364).

    What it is asked for is the rest that a smooth continuation of the known pixels leaves to be drawn: a net that has
    seen little is no worse than that.
    """

    def __init__(self, net: NetSettings) -> None:
        super().__init__()
        self.net, self.precision = net, torch.float32  # of everything between the first and the last layer
        area, inputs = net.patch**2, net.channels[0]
        self.register_buffer("frequencies", 2 * math.pi * torch.randn(64), persistent=True)
        self.register_buffer("phases", 2 * math.pi * torch.rand(64), persistent=True)
        self.embed, self.uncertainty = Weights(64, net.embedding), Weights(64, 1)
        self.stem, self.direct = Weights(10 * area + 1, inputs, 3), Weights(net.embedding, 10 * area + 1)
        self.direct_gain, self.out_gain = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))
        self.down, self.up, self.lift = nn.ModuleList(), nn.ModuleList(), nn.ModuleList()
        levels = list(zip(net.channels, net.blocks, net.attention, strict=True))
        for width, *level in levels:
            self.down.append(blocks(inputs, width, *level, net, normalize=True))
            inputs = width
        for width, *level in levels[-2::-1]:
            self.lift.append(Weights(inputs, width, 1))
            self.up.append(blocks(2 * width, width, *level, net, normalize=False))
            inputs = width
        self.out = Weights(inputs + 10 * area + 1, 3 * area, 3)

    def forward(self, noisy: Tensor, sigma: Tensor, known: Tensor, hole: Tensor) -> Tensor:
        """noisy, known (B, 3, H, W) in [-1, 1] plus noise; sigma (B,); hole (B, 1, H, W) in {0, 1}; H and W multiples
        of `net.stride`. What stands in `known` under the hole, and in `noisy` outside it, does not matter."""
        rest, sigma = self.net.sigma_rest, sigma.view(-1, 1, 1, 1)
        spread = torch.sqrt(sigma**2 + rest**2)
        smooth = continued(known * (1 - hole), 1 - hole, int(math.log2(self.net.stride)))
        seen = noisy * hole + known * (1 - hole)
        # little noise stands here at unit size, and goes straight to the last layer too: learnt several times sooner
        fine = (seen - functional.avg_pool2d(seen, 3, 1, 1, count_include_pad=False)) / torch.sqrt(sigma**2 + 0.01)
        away = seen - smooth
        x = torch.cat([away * hole / spread, smooth / self.net.sigma_data, 2 * hole - 1, fine * hole], 1)
        x = functional.pixel_unshuffle(x, self.net.patch).to(self.precision)
        x = torch.cat([x, torch.ones_like(x[:, :1])], 1)  # stands in for biases
        embedding = silu(self.embed(self.fourier(sigma)).to(self.precision))
        direct = x * (1 + self.direct(embedding, self.direct_gain))[:, :, None, None]
        y = self.out(torch.cat([self._body(x, embedding), direct], 1), self.out_gain)
        y = functional.pixel_shuffle(y.float(), self.net.patch)
        return smooth + (noisy - smooth) * (rest / spread) ** 2 + y * (sigma * rest / spread)

    def fourier(self, sigma: Tensor) -> Tensor:  # (B, 64), of unit magnitude
        return torch.cos(torch.log(sigma.view(-1, 1)) / 4 * self.frequencies + self.phases) * math.sqrt(2)

    def doubt(self, sigma: Tensor) -> Tensor:  # (B,), the logarithm of the error to expect; for the loss alone
        return self.uncertainty(self.fourier(sigma)).flatten()

    def _body(self, x: Tensor, embedding: Tensor) -> Tensor:
        x, skips = self.stem(x), []
        for depth, blocks in enumerate(self.down):
            if depth:
                x = functional.avg_pool2d(x, 2)
            for block in blocks:
                x = block(x, embedding)
            skips.append(x)
        skips.pop()
        for lift, blocks in zip(self.lift, self.up, strict=True):
            x = torch.cat([functional.interpolate(lift(x), scale_factor=2.0, mode="nearest"), skips.pop()], 1)
            for block in blocks:
                x = block(x, embedding)
        return x

    def normalize_(self) -> None:
        """After each optimizer step: keeps the effective step size from shrinking as weights grow."""
        for module in self.modules():
            if isinstance(module, Weights):
                module.normalize_()

    @torch.no_grad()
    def fold(self) -> PocketNet:
        """No longer for training: plain convolutions, without normalising at each call."""
        scaled = [(module.level, module.level_gain) for module in self.modules() if isinstance(module, Block)]
        for module in self.modules():
            if isinstance(module, Weights):
                module.fold()
        for layer, gain in [*scaled, (self.direct, self.direct_gain), (self.out, self.out_gain)]:
            layer.weight *= gain
            gain.fill_(1)
        return self.eval()
