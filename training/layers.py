"""Layers that keep magnitudes, by normalising weights instead of pictures (Karras et al. 2024, arXiv:2312.02696).

Pictures' channels are at unit magnitude at the start and stay near it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional


def unit(x: Tensor, axis: int = 1) -> Tensor:
    """Scaled to unit magnitude along an axis, that of the channels."""
    return x * torch.rsqrt(x.float().square().mean(axis, keepdim=True) + 1e-4).to(x.dtype)


def silu(x: Tensor) -> Tensor:
    return functional.silu(x) * (1 / 0.596)  # the magnitude of silu(unit noise)


def mix(a: Tensor, b: Tensor, share: float) -> Tensor:
    """Magnitude-preserving sum (eq. 88)."""
    size = math.hypot(1 - share, share)
    return a * ((1 - share) / size) + b * (share / size)


class Weights(nn.Module):
    """A convolution (size > 0) or linear layer without bias, its weights normalised whenever they are used (eq. 66).
    `normalize_` keeps the stored ones normalised too; after `fold` the stored weights are those that are used."""

    def __init__(self, inputs: int, outputs: int, size: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *(size, size) if size else ()))
        self.folded = False
        self.normalize_()

    def _unit_weight(self) -> Tensor:
        weight = self.weight.float()
        norm = torch.linalg.vector_norm(weight.flatten(1), dim=1).view(-1, *[1] * (weight.ndim - 1))
        return weight / (norm / math.sqrt(weight[0].numel()) + 1e-4)

    def _used_weight(self) -> Tensor:
        return self.weight if self.folded else self._unit_weight() / math.sqrt(self.weight[0].numel())

    @torch.no_grad()
    def normalize_(self) -> None:
        self.weight.copy_(self._unit_weight())

    @torch.no_grad()
    def fold(self) -> None:
        self.weight.copy_(self._used_weight())
        self.folded = True

    def forward(self, x: Tensor, gain: Tensor | float = 1.0) -> Tensor:
        weight = (self._used_weight() * gain).to(x.dtype)
        if weight.ndim == 2:
            return functional.linear(x, weight)
        return functional.conv2d(x, weight, padding=weight.shape[-1] // 2)
