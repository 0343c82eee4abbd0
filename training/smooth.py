"""A smooth continuation of known pixels into a hole, in torch and fit for export: where the pocket model begins."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

GROWN = 3  # pixels of the coarsest scale that its gaps are grown shut by; what is left gets the mean of all


def continued(values: Tensor, weight: Tensor, halvings: int) -> Tensor:
    """(B, C, H, W), where weight (B, 1, H, W) in [0, 1] is 0 as smooth as can be; H and W divisible so often by two.

    Averages are pulled up a pyramid and pushed down into the gaps (Gortler et al. 1996, "The Lumigraph", section 3.4).
    """
    if halvings == 0:
        return _grown(values, weight)
    share = functional.avg_pool2d(weight, 2)
    smaller = functional.avg_pool2d(values * weight, 2) / (share + 1e-6)
    coarse = continued(smaller, (4 * share).clamp(max=1), halvings - 1)
    return values * weight + functional.interpolate(coarse, scale_factor=2.0, mode="bilinear") * (1 - weight)


def _grown(values: Tensor, weight: Tensor) -> Tensor:
    for _ in range(GROWN):
        share = functional.avg_pool2d(weight, 3, 1, 1, count_include_pad=False)
        near = functional.avg_pool2d(values * weight, 3, 1, 1, count_include_pad=False) / (share + 1e-6)
        reached = (share > 0).to(values.dtype)
        values = values * weight + near * reached * (1 - weight)
        weight = torch.maximum(weight, reached)
    mean = (values * weight).mean((2, 3), keepdim=True) / (weight.mean((2, 3), keepdim=True) + 1e-6)
    return values * weight + mean * (1 - weight)
