"""Pictures whose best denoiser is known in closed form: what a training run can be checked against."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

import torch
from torch import Generator, Tensor

from training.views import boxes

DEVIATION = 0.5
# of the three colours, which go together but not quite
COLOURS = torch.tensor([[1.0, 0.6, 0.3], [0.6, 1.0, 0.6], [0.3, 0.6, 1.0]], dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class GaussianPictures:
    """Normal pixels of deviation 0.5 whose correlation falls with their distance: exp(-distance / reach)."""

    reach: float = 6.0
    sources: dict[str, int] = field(default_factory=lambda: {"drawn numbers": 0})

    def covariance(self, size: int) -> Tensor:
        """Of the pictures laid flat, (3 size², 3 size²) float64."""
        line = torch.arange(size, dtype=torch.float64)
        y, x = torch.meshgrid(line, line, indexing="ij")
        places = torch.stack([y.ravel(), x.ravel()], 1)
        return DEVIATION**2 * torch.kron(COLOURS, torch.exp(-torch.cdist(places, places) / self.reach))

    def draw(self, batch: int, size: int, random: Generator) -> tuple[Tensor, Tensor]:
        root = _root(self, size).to(random.device)
        clean = torch.randn(batch, len(root), generator=random, device=random.device) @ root.T
        ramp = (torch.arange(size, device=random.device) + 0.5) / size
        return clean.view(batch, 3, size, size), (boxes(batch, ramp, random) > 0)[:, None].float()

    def best_estimate(self, noisy: Tensor, sigma: float, known: Tensor, hole: Tensor) -> Tensor:
        """E[clean | noisy inside the hole, known outside]: one picture, noisy and known (3, H, W), hole (1, H, W)."""
        inside = hole.expand_as(noisy).flatten() > 0
        covariance = self.covariance(noisy.shape[-1])
        a, b = covariance[inside][:, inside], covariance[inside][:, ~inside]
        gain = torch.linalg.solve(covariance[~inside][:, ~inside], b.T).T
        mean, spread = gain @ known.flatten()[~inside].double(), a - gain @ b.T
        unit = torch.eye(len(a), dtype=torch.float64)
        answer = known.flatten().double()
        answer[inside] = mean + spread @ torch.linalg.solve(
            spread + sigma**2 * unit, noisy.flatten()[inside].double() - mean
        )
        return answer.view_as(noisy)


@functools.lru_cache(maxsize=4)
def _root(pictures: GaussianPictures, size: int) -> Tensor:
    return torch.linalg.cholesky(pictures.covariance(size)).float()
