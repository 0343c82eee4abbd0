"""Structure at a native size, texture from the photo: how a small drawing of the fill becomes a full-size painting.

An engine draws a window at the size it knows, 128 or 256 pixels. Here the patch engine starts from that drawing instead
of from nothing: at the scale of the drawing every patch of it looks for its like among the known patches of the photo,
and from there on their sources are carried to full size, as sharp and as grainy as the surroundings. What the photo has
nothing alike for (the patch distance tells) keeps the drawing's own pixels, softly. A view that lends no texture gets
the drawing enlarged, and is no sharper than that.
"""

from __future__ import annotations

import math
from collections.abc import Generator
from dataclasses import dataclass, replace

import numpy as np

from eraser.canvas import View
from eraser.engines import patch_kernels as kernels
from eraser.engines.base import Progress
from eraser.engines.patch import finish
from eraser.engines.patch_denoiser import ColourNoise, PatchDenoiser, Recipe, walk
from eraser.engines.patch_fields import Painting, finer_field, random_field, smooth_start, vote
from eraser.engines.patch_levels import Level, Workers, box_ratio, level_steps
from eraser.engines.patch_progress import Tracker
from eraser.geometry import Box
from eraser.pyramid import halve
from eraser.schedule import geometric

PATCH_VALUES = (2 * kernels.RADIUS + 1) ** 2 * kernels.CHANNELS


@dataclass(frozen=True, slots=True)
class Drawing:
    """What an engine drew: pixels (h, w, C) float32 in [-1, 1] of `box`, a part of the view that holds its hole."""

    pixels: np.ndarray
    box: Box

    def at(self, pixels: np.ndarray, width: int, scale: float) -> np.ndarray:
        """Its colours at pixels (N,) of an image of that width, which is `scale` times as small as the view."""
        rows, columns = np.divmod(pixels, width)
        height, across = self.pixels.shape[:2]
        y = ((rows + 0.5) * scale - self.box.y) * (height / self.box.height) - 0.5
        x = ((columns + 0.5) * scale - self.box.x) * (across / self.box.width) - 0.5
        return bilinear(self.pixels, y, x)


@dataclass(frozen=True, slots=True)
class Carrying:
    """What can be turned. Distances are of patches, root mean square, in levels of 255."""

    noise: tuple[float, float, int] = (0.04, 0.016, 6)  # from, to, steps at the drawing's scale
    sweeps: int = 6  # of PatchMatch in the first of them
    hold: float = 1.0  # how much of what the painting has come away from the drawing, at its scale, is taken back
    alike: float = 16.0  # up to this distance the photo's own patches are as good as the drawing
    unlike: float = 24.0  # beyond it, by so much more, the drawing keeps 60 %
    least_trust: float = 0.03  # below this the photo's patches count nothing


def carry(
    view: View,
    drawing: Drawing,
    *,
    seed: int,
    workers: Workers,
    recipe: Recipe | None = None,
    carrying: Carrying | None = None,
) -> Generator[Progress, None, np.ndarray]:
    """Paint where `view.hole` is True, following the drawing: as an engine's `fill` does."""
    if not view.lends_texture:
        yield Progress(0.0, "enlarging the drawing")
        result = enlarged(view, drawing)
        yield Progress(1.0, "the drawing, enlarged")
        return result
    recipe, carrying = recipe or Recipe(), carrying or Carrying()
    result = view.pixels.copy()
    inside = np.flatnonzero(view.hole)
    drawn = drawing.at(inside, view.size.width, 1.0)
    levels = yield from level_steps(
        view,
        coarsest_radius=recipe.coarsest_radius,
        texture=recipe.texture,
        texture_reach=recipe.texture_reach,
        workers=workers,
    )
    if not levels:  # nowhere a whole known patch to take texture from
        result[view.hole] = np.clip(drawn, -1, 1)
        yield Progress(1.0, "the drawing, enlarged")
        return result
    shrunk = max(drawing.box.width / drawing.pixels.shape[1], drawing.box.height / drawing.pixels.shape[0])
    # at half size at most: a drawing has less grain than the photo, and looks like the photo's smoothest patches there
    levels = levels[max(0, len(levels) - 1 - max(1, round(math.log2(shrunk)))) :]
    hold = carrying.hold if len(levels) > 1 else 0.0
    counts = [_steps(recipe, carrying, levels, index) for index in range(len(levels))]
    tracker = Tracker(view, levels, counts)
    rng = np.random.default_rng((seed, 77))
    painting: Painting | None = None
    trust: np.ndarray | None = None
    held = drawing.at(levels[0].pixels, levels[0].width, 2.0 ** (len(levels) - 1))
    for index, level in enumerate(levels):
        guide = drawing.at(level.pixels, level.width, 2.0 ** (len(levels) - 1 - index))
        if painting is None or trust is None:
            field = random_field(level, rng)
            start = smooth_start(level)  # for the texture channel
            start[:, : level.colours] = guide
            level.foreign = None  # the drawing says what belongs here
            sigmas = geometric(carrying.noise[0], carrying.noise[1], counts[index])
            own = replace(recipe, first_sweeps=carrying.sweeps)
        else:
            field = finer_field(painting, level, rng)
            trust = _finer(trust, painting.level, level)
            yield tracker.pause(tracker.note(index))
            start = vote(level, level.pixels, field, workers, decay=recipe.rim_decay)
            yield tracker.pause(tracker.note(index))
            start[:, : level.colours] += hold * _come_away(start, level, levels[0], held)
            sigmas = geometric(max(0.04, recipe.noise_share * level.grain), recipe.last_noise, counts[index])
            own = recipe
        reach = max(level.height, level.width) if painting is None else recipe.reach
        level.cost = np.zeros_like(level.cost)
        patches = PatchDenoiser(level, field, own, rng, workers, sigmas=sigmas, reach=reach)
        denoiser = GuidedDenoiser(patches, level, guide, trust, carrying, workers, sigmas[-2])
        values = start
        for estimate in walk(denoiser, patches, start, sigmas, ColourNoise(rng, level.colours)):
            if estimate is None:
                yield tracker.pause(tracker.note(index))
            else:
                values = estimate
                yield tracker.step(index, level, values)
        trust = denoiser.trust
        painting = Painting(level, patches.field, values, level.cost)
    assert painting is not None
    assert trust is not None
    finished = yield from finish(painting, recipe, workers, tracker)
    finished += hold * _come_away(finished, levels[-1], levels[0], held)
    result[view.hole] = np.clip(drawn + (finished - drawn) * trust[:, None], -1, 1)
    yield Progress(1.0, "seams levelled")
    return result


def enlarged(view: View, drawing: Drawing) -> np.ndarray:
    """The view with the drawing in its hole, by bicubic interpolation and nothing else: (H, W, C)."""
    from PIL import Image

    result = view.pixels.copy()
    box = drawing.box
    hole = view.hole[box.slices]
    for channel in range(result.shape[2]):
        values = Image.fromarray(np.ascontiguousarray(drawing.pixels[:, :, channel], np.float32))
        larger = np.asarray(values.resize((box.width, box.height), Image.Resampling.BICUBIC))
        result[box.slices][hole, channel] = np.clip(larger[hole], -1, 1)
    return result


class GuidedDenoiser:
    """The patch denoiser, and the drawing's pixels where patches are not trusted.

    trust (N,) in [0, 1], or None at the drawing's own scale: there it is found by comparing patches with the drawing.
    """

    sees_known = True

    def __init__(
        self,
        patches: PatchDenoiser,
        level: Level,
        guide: np.ndarray,
        trust: np.ndarray | None,
        carrying: Carrying,
        workers: Workers,
        last: float,
    ) -> None:
        self.trust, self._searching, self._last = trust, trust is None, last
        self._patches, self._level, self._guide = patches, level, guide
        self._carrying, self._workers = carrying, workers

    def __call__(self, noisy: np.ndarray, sigma: float, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
        clean = self._patches(noisy, sigma, known, hole)
        colours = self._level.colours
        if self._searching:
            self.trust = trust_in(self._level, sigma, self._carrying, self._workers)
            if sigma > self._last:  # sources are sought for the drawing itself, not for what they made of it
                clean[:, :colours] = self._guide
                return clean
        assert self.trust is not None
        clean[:, :colours] = self._guide + (clean[:, :colours] - self._guide) * self.trust[:, None]
        return clean


def trust_in(level: Level, sigma: float, carrying: Carrying, workers: Workers) -> np.ndarray:
    """How well the photo's patches stand for what the level was painted with, for each pixel of its hole: (N,)."""
    squares = np.zeros(level.hole.size, np.float32)
    targets = np.zeros(level.hole.size, np.float32)
    # the noise that was added for the search is no difference
    noise = 3 / kernels.CHANNELS * (127.5 * sigma) ** 2
    squares[level.targets] = np.maximum(0, level.cost[level.targets] / PATCH_VALUES - noise)
    targets[level.targets] = 1
    shape = level.hole.shape
    mean = box_ratio(squares.reshape(shape), targets.reshape(shape), kernels.RADIUS, workers).ravel()[level.pixels]
    excess = np.maximum(0, np.sqrt(np.maximum(0, mean)) - carrying.alike) / carrying.unlike
    trust = np.exp(-0.5 * excess**2)
    trust[trust < carrying.least_trust] = 0
    return trust.astype(np.float32)


def bilinear(image: np.ndarray, y: np.ndarray, x: np.ndarray) -> np.ndarray:
    """image (h, w, C) at these places (N,), those beyond its border moved onto it: (N, C) float32."""
    y, x = np.clip(y, 0, image.shape[0] - 1), np.clip(x, 0, image.shape[1] - 1)
    top, left = y.astype(np.intp), x.astype(np.intp)
    bottom, right = np.minimum(top + 1, image.shape[0] - 1), np.minimum(left + 1, image.shape[1] - 1)
    down, across = (y - top)[:, None].astype(np.float32), (x - left)[:, None].astype(np.float32)
    upper = image[top, left] * (1 - across) + image[top, right] * across
    lower = image[bottom, left] * (1 - across) + image[bottom, right] * across
    return upper * (1 - down) + lower * down


def _finer(trust: np.ndarray, coarse: Level, level: Level) -> np.ndarray:
    """Trust at the next finer level's hole pixels; where the coarser level had no hole, patches are trusted."""
    picture = np.ones((coarse.height, coarse.width, 1), np.float32)
    picture.reshape(-1)[coarse.pixels] = trust
    rows, columns = np.divmod(level.pixels, level.width)
    return bilinear(picture, (rows + 0.5) / 2 - 0.5, (columns + 0.5) / 2 - 0.5)[:, 0]


def _come_away(values: np.ndarray, level: Level, drawn: Level, held: np.ndarray) -> np.ndarray:
    """How far the drawing, `held` at the hole's pixels of the level `drawn`, is from these values there: (N, C)."""
    picture = level.colour_image.copy()
    picture.reshape(-1, level.colours)[level.pixels] = values[:, : level.colours]
    scale = 1
    while picture.shape[0] > drawn.height or picture.shape[1] > drawn.width:
        picture = halve(picture, np.zeros(picture.shape[:2], bool))[0]
        scale *= 2
    away = np.zeros_like(picture)
    away.reshape(-1, level.colours)[drawn.pixels] = held - picture.reshape(-1, level.colours)[drawn.pixels]
    rows, columns = np.divmod(level.pixels, level.width)
    return bilinear(away, (rows + 0.5) / scale - 0.5, (columns + 0.5) / scale - 0.5)


def _steps(recipe: Recipe, carrying: Carrying, levels: list[Level], index: int) -> int:
    if index == 0:
        return carrying.noise[2]
    steps = recipe.fine_steps if index == len(levels) - 1 else recipe.steps
    excess = max(1.0, len(levels[index].targets) / recipe.patience)
    return max(recipe.least_steps, round(steps / math.sqrt(excess)))
