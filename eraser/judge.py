"""How well a filling fits what is around it, in numbers, so that the best of several can be kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from eraser.geometry import Box
from eraser.pyramid import dilate, halve_mean
from eraser.resemblance import likeness
from eraser.window import tighten

RING = 8  # pixels around the hole that the filling should resemble
SKIP = 3  # of them next to the hole, where the filling touches them anyhow
REACH = 3  # patches are 7x7
SCALES = 3
DIRECTIONS = 32
PATCHES = 4000  # compared at most
QUANTILES = 256
FEWEST = 8  # patches that say something
BESIDE = 3  # pixels on either side of the rim, whose steps are the usual ones
LEAST_STEP = 1 / 255  # of colours, that would be seen beside none at all
REDRAWN = 0.4  # the likeness from which something seems to be there again
VISIBLE = 1.4
SEAM_COUNTS = 0.25


@dataclass(frozen=True, slots=True)
class Verdict:
    """What can be said about a filling, None for what cannot.

    misfit    how far its texture and colours are from those around the hole: 0 for not at all
    seam      how much steeper the hole's rim is than what lies beside it: 1 for not at all
    likeness  how much of what made the erased thing stand out is there again: 0 for nothing, 1 for all
    """

    misfit: float | None
    seam: float | None
    likeness: float | None = None

    @property
    def redrawn(self) -> bool:
        """Whether what was erased seems to be there again."""
        return self.likeness is not None and self.likeness >= REDRAWN

    @property
    def has_seam(self) -> bool:
        return self.seam is not None and self.seam >= VISIBLE

    @property
    def rank(self) -> tuple[bool, float]:
        """The least is the best of several: those that show nothing of what was erased, then those that fit."""
        seam = max(0.0, (self.seam or 1.0) - 1)
        return self.redrawn, (self.misfit or 0.0) * (1 + SEAM_COUNTS * seam)

    @property
    def words(self) -> str:
        if self.misfit is None and self.likeness is None:
            return "too small to judge"
        said = ["what was erased seems to be there again"] if self.redrawn else []
        if self.has_seam:
            said.append("its seam can be seen")
        return " and ".join(said) or "nothing against it"

    @property
    def facts(self) -> dict[str, object]:
        numbers = {name: getattr(self, name) for name in ("misfit", "seam", "likeness")}
        return {name: round(value, 4) for name, value in numbers.items() if value is not None} | {"said": self.words}


def judge(pixels: np.ndarray, hole: np.ndarray, erased: np.ndarray | None = None) -> Verdict:
    """pixels (H, W, C) float32 in [-1, 1], filled · hole (H, W) bool · erased (H, W, C): what was there, if known."""
    again = None if erased is None else likeness(pixels, hole, erased)
    return Verdict(misfit(pixels, hole), seam(pixels, hole), again)


def seam(pixels: np.ndarray, hole: np.ndarray) -> float | None:
    """Mean step between neighbours on either side of the hole's rim, over that of pairs beside it: 1 for no seam.

    What lies beside it is measured on both sides and the steeper counts, so that a rim between rough and smooth is
    no seam. None where the rim is shorter than FEWEST pairs.
    """
    every = Box(0, 0, hole.shape[1], hole.shape[0])
    box = tighten(hole, every)
    if box is None:
        return None
    near = box.pad(2 * BESIDE).clamp(every).slices
    pixels, hole = pixels[near], hole[near]
    beside = dilate(hole, BESIDE), ~dilate(~hole, BESIDE)
    steps: dict[str, list[np.ndarray]] = {"across": [], "inside": [], "outside": []}
    for first, second in ((np.s_[:-1], np.s_[1:]), (np.s_[:, :-1], np.s_[:, 1:])):
        step = np.abs(pixels[first] - pixels[second]).mean(axis=2)
        one, other = hole[first], hole[second]
        near = beside[0][first] & beside[0][second] & ~(beside[1][first] | beside[1][second])
        steps["across"].append(step[one != other])
        steps["inside"].append(step[one & other & near])
        steps["outside"].append(step[~one & ~other & near])
    across, inside, outside = (np.concatenate(found) for found in steps.values())
    if min(len(across), len(outside)) < FEWEST:
        return None
    usual = max(float(part.mean()) for part in (inside, outside) if len(part))
    return float(across.mean()) / max(usual, LEAST_STEP)


def misfit(pixels: np.ndarray, hole: np.ndarray) -> float | None:
    """Sliced Wasserstein distance between patches of the filled hole and of a ring around it: less is better.

    pixels (H, W, C) float32 in [-1, 1], filled · hole (H, W) bool. None where there are too few patches to compare.
    Rabin et al. 2011, at three scales; the ring is narrow because what lies near the hole is what it hid.
    """
    every = Box(0, 0, hole.shape[1], hole.shape[0])
    box = tighten(hole, every)
    if box is None:
        return None
    near = box.pad(2 * RING).clamp(every).slices
    pixels, inside = pixels[near], hole[near]
    around = dilate(inside, RING) & ~dilate(inside, SKIP)
    distances = []
    for scale in range(SCALES):
        if scale:
            pixels, inside, around = (halve_mean(part) for part in (pixels, inside, around))
        filled, known = _projected(pixels, inside, scale), _projected(pixels, around, scale)
        if filled is not None and known is not None:
            distances.append(float(np.abs(filled - known).mean()))
    return float(np.mean(distances)) if distances else None


def _projected(pixels: np.ndarray, where: np.ndarray, scale: int) -> np.ndarray | None:
    """Quantiles of the patches centred at `where` along fixed directions, (QUANTILES, DIRECTIONS); None if too few."""
    height, width, channels = pixels.shape
    rows, columns = np.nonzero(where)
    whole = (rows >= REACH) & (rows < height - REACH) & (columns >= REACH) & (columns < width - REACH)
    rows, columns = rows[whole], columns[whole]
    if len(rows) < FEWEST:
        return None
    step = -(-len(rows) // PATCHES)
    rows, columns = rows[::step], columns[::step]
    directions = np.random.default_rng(scale).standard_normal(((2 * REACH + 1) ** 2 * channels, DIRECTIONS), np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    patches = np.concatenate([pixels[rows + dy, columns + dx] for dy, dx in _offsets()], axis=1)
    return np.quantile(patches @ directions, (np.arange(QUANTILES) + 0.5) / QUANTILES, axis=0)


def _offsets() -> Iterator[tuple[int, int]]:
    span = range(-REACH, REACH + 1)
    return ((dy, dx) for dy in span for dx in span)
