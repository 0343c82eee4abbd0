"""What the model is shown: pieces of photographs as an eraser sees them, and holes such as people draw. All in batches.

Everything is drawn on the training device from one generator, so that it never waits for a processor, and the same
seed gives the same views.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor

from training.photos import LEVELS, Photos

LEAST_HOLE, MOST_HOLE = 0.004, 0.8  # of the view's pixels


class Source(Protocol):
    """Where training pictures come from."""

    sources: dict[str, int]  # what to name in a model card

    def draw(self, batch: int, size: int, random: Generator) -> tuple[Tensor, Tensor]:
        """clean (B, 3, size, size) float32 in [-1, 1], hole (B, 1, size, size) float32 in {0, 1}."""
        ...


@dataclass(frozen=True)
class PhotoViews:
    photos: Photos
    jitter: float = 1.0  # how much colours are changed; 0 for not at all

    @property
    def sources(self) -> dict[str, int]:
        return self.photos.sources

    def draw(self, batch: int, size: int, random: Generator) -> tuple[Tensor, Tensor]:
        clean = cut(self.photos, batch, size, random)
        return jitter_colours(clean, self.jitter, random), draw_holes(batch, size, random)


def uniform(random: Generator, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
    return torch.rand(shape, generator=random, device=random.device) * (high - low) + low


def log_uniform(random: Generator, *shape: int, low: float, high: float) -> Tensor:
    return torch.exp(uniform(random, *shape, low=math.log(low), high=math.log(high)))


def cut(photos: Photos, batch: int, size: int, random: Generator) -> Tensor:
    """Squares of photographs at sizes from the photograph's own pixels to all of its shorter side, some mirrored.

    Small and large pieces are equally likely per octave: windows around holes come at all scales.
    """
    device = random.device
    chosen = torch.searchsorted(photos.share, torch.rand(batch, generator=random, device=device, dtype=torch.float64))
    chosen.clamp_(max=len(photos) - 1)
    full = torch.stack([photos.height[chosen, 0], photos.width[chosen, 0]], 1).float()  # (B, 2): rows, columns
    shorter = full.min(1).values
    side = shorter * torch.exp(uniform(random, batch) * torch.log((size / shorter).clamp(max=1)))
    # not quite square, as lenses and viewpoints differ
    sides = torch.minimum(side[:, None] * log_uniform(random, batch, 2, low=0.93, high=1.07), full)
    corner = uniform(random, batch, 2) * (full - sides)
    level = torch.log2(side / size).round().long().clamp(0, LEVELS - 1)
    shrink = torch.stack([photos.height[chosen, level], photos.width[chosen, level]], 1) / full
    ramp = (torch.arange(size, device=device) + 0.5) / size
    mirrored = torch.rand(batch, generator=random, device=device) < 0.5
    across = torch.where(mirrored[:, None], 1 - ramp, ramp)
    rows = (corner[:, :1] + ramp * sides[:, :1]) * shrink[:, :1] - 0.5  # (B, size) in the level's pixels
    columns = (corner[:, 1:] + across * sides[:, 1:]) * shrink[:, 1:] - 0.5
    return _bilinear(photos, chosen, level, rows, columns).permute(0, 3, 1, 2) / 127.5 - 1


def _bilinear(photos: Photos, chosen: Tensor, level: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    width = photos.width[chosen, level][:, None, None]
    start = photos.offset[chosen, level][:, None, None]
    rows = rows.clamp(min=0).minimum(photos.height[chosen, level][:, None] - 1.0)
    columns = columns.clamp(min=0).minimum(photos.width[chosen, level][:, None] - 1.0)
    colours = torch.arange(3, device=rows.device)
    total: Tensor | float = 0.0
    for row, row_weight in _neighbours(rows):
        for column, column_weight in _neighbours(columns):
            place = start + 3 * (row[:, :, None] * width + column[:, None, :])  # (B, size, size)
            weight = row_weight[:, :, None] * column_weight[:, None, :]
            total = total + photos.pixels[place[..., None] + colours] * weight[..., None]
    assert isinstance(total, Tensor)
    return total


def _neighbours(places: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The whole places before and after, with their weights; the one after weighs nothing at the border."""
    before = places.floor()
    after = places.ceil()
    return [(before.long(), 1 - (places - before)), (after.long(), places - before)]


def jitter_colours(clean: Tensor, amount: float, random: Generator) -> Tensor:
    """Exposure, contrast, saturation and tint, changed lightly."""
    batch = len(clean)
    spread = [uniform(random, batch, 3 if i == 3 else 1, 1, 1, low=-amount, high=amount) for i in range(4)]
    grey = clean.mean(1, keepdim=True)
    clean = grey + (clean - grey) * (1 + 0.2 * spread[0])
    middle = clean.mean((1, 2, 3), keepdim=True)
    clean = middle + (clean - middle) * (1 + 0.15 * spread[1])
    return (clean + 0.15 * spread[2] + 0.04 * spread[3]).clamp(-1, 1)


# --- holes: shapes as signed functions over the unit square, positive inside ----------------------------------------


def draw_holes(batch: int, size: int, random: Generator) -> Tensor:
    """Holes (B, 1, size, size) in {0, 1}: blobs, strokes, polygons, boxes, sides to extend, and several at once."""
    families = [blobs] * 7 + [strokes] * 5 + [polygons] * 3 + [boxes] * 2 + [sides] * 3
    ramp = (torch.arange(size, device=random.device) + 0.5) / size
    # each family draws its share of the batch; which family begins is drawn too, so that small batches see all
    begin = int(torch.randint(len(families), (1,), generator=random, device=random.device))
    counts: dict[int, int] = {}
    for i in range(batch):
        family = families.index(families[(begin + 7 * i) % len(families)])  # 7 walks through all twenty
        counts[family] = counts.get(family, 0) + 1
    holes = torch.cat([families[family](count, ramp, random) for family, count in counts.items()]) > 0
    more = uniform(random, batch, 1, 1) < 0.2
    holes = holes | (holes.roll(1, 0) & more)  # several at once, of two kinds where families meet
    area = holes.float().mean((1, 2), keepdim=True)
    fallback = blobs(batch, ramp, random, least=0.35) > 0
    holes = torch.where((area < LEAST_HOLE) | (area > MOST_HOLE), fallback, holes)
    return holes[:, None].float()


def blobs(count: int, ramp: Tensor, random: Generator, least: float = 0.16) -> Tensor:
    """Object-like: up to three wavy ellipses that hang together, as a body, a head and a shadow do."""
    extent = log_uniform(random, count, 1, 1, low=least, high=0.6)  # of the whole object
    x, y = centre(count, random, extent)
    inside = torch.full((count, len(ramp), len(ramp)), -1.0, device=random.device)
    for part in range(3):
        share = 1.0 if part == 0 else uniform(random, count, 1, 1, low=-0.3, high=0.7)  # below 0: no such part
        around = uniform(random, count, 1, 1, high=2 * math.pi)
        reach = 0.0 if part == 0 else 0.4
        dx, dy = _turned(
            ramp[None, None, :] - x - reach * extent * torch.cos(around),
            ramp[None, :, None] - y - reach * extent * torch.sin(around),
            uniform(random, count, 1, 1, high=math.pi),
        )
        dy = dy * log_uniform(random, count, 1, 1, low=1.0, high=2.5)
        angle = torch.atan2(dy, dx)
        radius = 0.5 * extent * share
        for wave in (2, 3, 5, 8):
            depth = uniform(random, count, 1, 1, high=0.5 / wave)
            radius = radius * (1 + depth * torch.cos(wave * angle + uniform(random, count, 1, 1, high=2 * math.pi)))
        inside = torch.maximum(inside, radius - torch.hypot(dx, dy))
    return inside


def strokes(count: int, ramp: Tensor, random: Generator) -> Tensor:
    """Brush strokes: a thick line that wanders; thin ones are wires and scratches."""
    thick = log_uniform(random, count, 1, 1, low=0.012, high=0.12)
    x, y = centre(count, random, torch.full((count, 1, 1), 0.3, device=random.device))
    heading = uniform(random, count, 1, 1, high=2 * math.pi)
    length = log_uniform(random, count, 1, 1, low=0.03, high=0.22)
    wander = log_uniform(random, count, 1, 1, low=0.05, high=1.2)  # some are nearly straight
    nearest = torch.full((count, len(ramp), len(ramp)), 9.0, device=random.device)
    for _ in range(6):
        across, down = length * torch.cos(heading), length * torch.sin(heading)
        px, py = ramp[None, None, :] - x, ramp[None, :, None] - y
        along = ((px * across + py * down) / length**2).clamp(0, 1)
        nearest = torch.minimum(nearest, torch.hypot(px - along * across, py - along * down))
        x, y = x + across, y + down
        heading = heading + wander * torch.randn(count, 1, 1, generator=random, device=random.device)
    return thick - nearest


def polygons(count: int, ramp: Tensor, random: Generator) -> Tensor:
    """Lasso outlines: the common part of five half-planes around a centre."""
    extent = log_uniform(random, count, 1, 1, low=0.18, high=0.6)
    x, y = centre(count, random, extent)
    inside = torch.full((count, len(ramp), len(ramp)), 9.0, device=random.device)
    for corner in range(5):
        facing = 2 * math.pi / 5 * (corner + uniform(random, count, 1, 1, low=-0.4, high=0.4))
        distance = 0.5 * extent * uniform(random, count, 1, 1, low=0.5, high=1.0)
        plane = (ramp[None, None, :] - x) * torch.cos(facing) + (ramp[None, :, None] - y) * torch.sin(facing)
        inside = torch.minimum(inside, distance - plane)
    return inside


def boxes(count: int, ramp: Tensor, random: Generator) -> Tensor:
    """Rectangles, as a box given in numbers is: upright."""
    extent = log_uniform(random, count, 1, 1, low=0.16, high=0.6)
    x, y = centre(count, random, extent)
    slim = log_uniform(random, count, 1, 1, low=0.5, high=2.0).sqrt()
    return torch.minimum(
        0.5 * extent * slim - (ramp[None, None, :] - x).abs(), 0.5 * extent / slim - (ramp[None, :, None] - y).abs()
    )


def sides(count: int, ramp: Tensor, random: Generator) -> Tensor:
    """What lies beyond one side of the picture, or beyond two; some are oblique, as seams of panoramas are."""
    inside = torch.full((count, len(ramp), len(ramp)), -9.0, device=random.device)
    quarter = torch.randint(4, (count, 1, 1), generator=random, device=random.device)
    oblique = torch.where(uniform(random, count, 1, 1) < 0.2, 0.25, 0.0)
    for turn in range(2):
        wide = uniform(random, count, 1, 1, low=0.1, high=0.5)
        wide = wide if turn == 0 else torch.where(uniform(random, count, 1, 1) < 0.25, 0.6 * wide, -9.0)
        facing = (quarter + turn) * (math.pi / 2) + oblique * uniform(random, count, 1, 1, low=-1.0, high=1.0)
        plane = (ramp[None, None, :] - 0.5) * torch.cos(facing) + (ramp[None, :, None] - 0.5) * torch.sin(facing)
        inside = torch.maximum(inside, plane - (0.5 - wide))
    return inside


def centre(count: int, random: Generator, extent: Tensor) -> tuple[Tensor, Tensor]:
    """Mostly near the middle, as windows are laid around their holes; one in five anywhere, the border included."""
    anywhere = uniform(random, count, 1, 1) < 0.2
    loose = torch.where(anywhere, 0.5, 0.12 + 0.15 * (0.6 - extent).clamp(min=0))
    x, y = (0.5 + loose * uniform(random, count, 1, 1, low=-1.0, high=1.0) for _ in range(2))
    return x, y


def _turned(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    return x * torch.cos(angle) + y * torch.sin(angle), y * torch.cos(angle) - x * torch.sin(angle)
