"""Edges that run into a hole on one side and out on the other, drawn through it before anything else is painted.

To patches, a line that goes straight on and one with a kink look alike: both are made of what the photo shows. So the
edges that reach a hole are followed outward, those that continue each other are joined by a straight or evenly bent
curve, and a narrow strip along it is filled with the edge's own profile. This is structure propagation (Sun et al.
2005, "Image completion with structure propagation"), where a person draws the curves; which edges belong together is
decided by good continuation, as Gestalt psychology calls it (Wertheimer 1923).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from eraser.engines import edge_kernels as kernels
from eraser.geometry import Box
from eraser.pyramid import dilate
from eraser.window import tighten

REACH = 10  # pixels of an edge that its direction and profile are taken from
LEAST_REACH = 6  # where no more is to be seen
FARTHEST = 40  # pixels that an edge is followed at most
BRIDGE = 3.5  # a gap may be so many times longer than the edge is seen to go on at either side
HALF_WIDTHS = (3, 2, 1)  # pixels to each side of an edge; the widest profile that fits is drawn
WIDER = 0.1  # of quality, by which a pixel more on each side is preferred
ANCHORS = 600  # places where edges meet the hole, at most, the strongest
COHERENCE = 0.5  # of the structure tensor: 0 has no direction, 1 is a perfect edge
LEAST_STEP = 0.02  # somewhere in the profile, between neighbours, in the image's range [-1, 1]
UNEVEN = 0.35  # an edge's profile may change along it by this share of its own variance,
SHIFT = 0.25  # of the square of a difference in brightness between whole profiles that counts
UNLIKE = 0.5  # and the profiles of two that are joined may differ by this share
BEND = 25.0  # degrees that a curve may turn at either end
SNAKE = 6.0  # degrees by which its two turns may differ: more is a step to one side, not a bend
LEAST_QUALITY = 0.4  # 1 is a perfect match
JOINS = 400  # that are looked at, at most, the best
RIM = 3  # pixels at either end of a curve that need not lie in the hole


@dataclass(frozen=True, slots=True)
class Ends:
    """Where M edges meet the hole, with profiles of one width."""

    places: np.ndarray  # (M, 2) y, x
    ways: np.ndarray  # (M, 2) unit vectors along the edges, away from the hole
    profiles: np.ndarray  # (M, 2 half + 1, C) across the edges, from the left of somebody who walks away
    changes: np.ndarray  # (M,) mean square of what changes along them
    variance: np.ndarray  # (M,) of the profiles
    support: np.ndarray  # (M,) pixels that they are seen to go on for


@dataclass(frozen=True, slots=True)
class Join:
    """Two edges that continue each other."""

    quality: float
    curve: np.ndarray  # (N, 2) y, x, about half a pixel apart
    first: np.ndarray  # (2 half + 1, C) profile where the curve begins, from the left of somebody who walks along it
    second: np.ndarray  # and where it ends


def draw_edges(image: np.ndarray, hole: np.ndarray, colours: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw strips through the hole along edges that go on behind it.

    image (H, W, C) float32, the first `colours` of its channels tell what fits · hole (H, W) bool
    Returns where something was drawn, (H, W) bool inside the hole, and the image with it.
    """
    drawn, picture = np.zeros_like(hole), image.copy()
    every = Box(0, 0, hole.shape[1], hole.shape[0])
    box = tighten(hole, every)
    if box is None:
        return drawn, picture
    near = box.pad(FARTHEST + REACH).clamp(every).slices
    part, gap, done = picture[near], hole[near], drawn[near]
    for join in joins(part, gap, colours):
        y, x = np.rint(join.curve[2 * RIM : -2 * RIM]).astype(int).T
        # a curve through what is drawn already is a second opinion
        if len(y) == 0 or gap[y, x].mean() < 0.9 or done[y, x].mean() > 0.05:
            continue
        places, values = strip(join, gap & ~done)
        part[places] = values
        done[places] = True
    return drawn, picture


def joins(image: np.ndarray, hole: np.ndarray, colours: int) -> list[Join]:
    """The likeliest pairs of edges, best first."""
    places, tangents = anchors(image[:, :, :colours], hole)
    found: list[tuple[float, Ends, int, int]] = []
    for half in HALF_WIDTHS:
        ends = follow(image, hole, places, tangents, half, colours)
        quality = match(ends, colours)
        pairs = np.argwhere(np.triu(quality >= LEAST_QUALITY, 1)).tolist()
        found += [(float(quality[a, b]) + WIDER * half, ends, a, b) for a, b in pairs]
    found.sort(key=lambda pair: -pair[0])
    return [_join(*pair) for pair in found[:JOINS]]


def anchors(image: np.ndarray, hole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Known pixels beside the hole with a clear edge through them, (M, 2) float32, and its tangents, (M, 2) float32.

    From the structure tensor (Förstner & Gülch 1987) of what is known.
    """
    from scipy import ndimage

    down, across = np.zeros_like(image), np.zeros_like(image)
    down[1:-1] = (image[2:] - image[:-2]) / 2
    across[:, 1:-1] = (image[:, 2:] - image[:, :-2]) / 2
    sure = ndimage.binary_erosion(~hole)
    share = np.maximum(ndimage.uniform_filter(sure.astype(np.float32), 5), 1e-6)

    def pooled(product: np.ndarray) -> np.ndarray:
        mean: np.ndarray = ndimage.uniform_filter(np.where(sure, product.mean(axis=2), 0), 5) / share
        return mean

    yy, xx, xy = pooled(down**2), pooled(across**2), pooled(down * across)
    spread = np.hypot((yy - xx) / 2, xy)
    strength = (yy + xx) / 2 + spread
    clear = (spread > COHERENCE * (yy + xx) / 2) & (strength > (LEAST_STEP / 2) ** 2) & (share > 0.3)
    # pixels right at the hole may still show a little of what is to be erased
    places = np.argwhere(clear & dilate(hole, 2) & ~dilate(hole, 1))
    places = places[np.argsort(-strength[tuple(places.T)], kind="stable")[:ANCHORS]]
    gradient = 0.5 * np.arctan2(2 * xy, xx - yy)[tuple(places.T)]
    tangents = np.stack([np.cos(gradient), -np.sin(gradient)], axis=1)
    return places.astype(np.float32), tangents.astype(np.float32)


def follow(
    image: np.ndarray, hole: np.ndarray, places: np.ndarray, tangents: np.ndarray, half: int, colours: int
) -> Ends:
    """Walk from the places away from the hole, and keep those from which one and the same edge goes on."""
    image, known, count = np.ascontiguousarray(image, np.float32), ~hole, len(places)
    ways = np.zeros((count, 2), np.float32)
    profiles = np.zeros((count, 2 * half + 1, image.shape[2]), np.float32)
    changes, support = np.zeros(count, np.float32), np.zeros(count, np.float32)
    room = np.empty(profiles.shape[1:], np.float32), np.empty((REACH, *profiles.shape[1:]), np.float32)
    kernels.follow(image, known, places, tangents, half, REACH, LEAST_REACH, colours, ways, profiles, changes, *room)
    shown = profiles[:, :, :colours]
    variance = shown.var(axis=1).mean(axis=1)
    steps = np.sqrt((np.diff(shown, axis=1) ** 2).mean(axis=2)).max(axis=1)
    good = (changes >= 0) & (changes <= UNEVEN * variance) & (steps >= LEAST_STEP)
    places, ways, profiles, changes, variance, support = (
        part[good] for part in (places, ways, profiles, changes, variance, support)
    )
    beyond, allowed = places + REACH * ways, (UNEVEN + UNLIKE) * variance
    kernels.trace(image, known, beyond, ways, half, FARTHEST - REACH, colours, profiles, allowed, *room, support)
    return Ends(places, ways, profiles, changes, variance, np.minimum(REACH + support, FARTHEST))


def match(ends: Ends, colours: int) -> np.ndarray:
    """How well each edge, by column, continues each other, by row: (M, M), 1 is perfect, -1 not at all."""
    between = ends.places[None] - ends.places[:, None]
    length = np.hypot(between[..., 0], between[..., 1])
    straight = np.arctan2(between[..., 0], between[..., 1])
    away = np.arctan2(ends.ways[:, 0], ends.ways[:, 1])
    # how far the curve turns from the edge it comes from to the straight line, and from there to the edge it goes to
    first, second = _degrees(straight - away[:, None] - np.pi), _degrees(away[None] - straight)
    snake = np.abs(first - second)
    shown = ends.profiles[:, :, :colours]
    # light that changes along an edge shifts its profile as a whole, so that counts for less
    shown = shown - (1 - math.sqrt(SHIFT)) * shown.mean(axis=(1, 2), keepdims=True)
    samples = shown.shape[1] * colours
    coming, going = shown[:, ::-1].reshape(-1, samples), shown.reshape(-1, samples)
    unlike = (coming**2).sum(axis=1)[:, None] + (going**2).sum(axis=1) - 2 * coming @ going.T
    unlike = np.maximum(unlike, 0) / samples
    variance = np.minimum(ends.variance[:, None], ends.variance)
    support = np.minimum(ends.support[:, None], ends.support)
    fits = (length >= 4) & ((length <= BRIDGE * support) | (support >= FARTHEST))
    fits &= (np.abs(first) <= BEND) & (np.abs(second) <= BEND) & (snake <= SNAKE)
    fits &= unlike <= UNLIKE * variance
    quality = 1 - (ends.changes[:, None] + ends.changes + unlike) / np.maximum(variance, 1e-9)
    quality -= 0.2 * (snake / SNAKE) ** 2 + 0.1 * np.abs(first + second) / BEND
    return np.where(fits, quality, -1)


def strip(join: Join, hole: np.ndarray) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray]:
    """The hole's pixels along a join, as an index (rows, columns), and what is drawn there, (K, C) float32."""
    from scipy import spatial

    half = len(join.first) // 2
    low = np.maximum(np.floor(join.curve.min(axis=0)).astype(int) - half, 0)
    high = np.ceil(join.curve.max(axis=0)).astype(int) + half + 1
    places = np.argwhere(hole[low[0] : high[0], low[1] : high[1]]) + low
    distance, nearest = spatial.cKDTree(join.curve).query(places, distance_upper_bound=half + 0.5)
    places, nearest = places[np.isfinite(distance)], nearest[np.isfinite(distance)]
    way = np.gradient(join.curve, axis=0)[nearest]
    off = places - join.curve[nearest]
    across = (off[:, 1] * way[:, 0] - off[:, 0] * way[:, 1]) / np.hypot(way[:, 0], way[:, 1])
    across = np.clip(across, -half, half) + half
    index = np.minimum(across.astype(int), 2 * half - 1)
    part, share = (across - index)[:, None], (nearest / (len(join.curve) - 1))[:, None]
    first, second = (profile[index] * (1 - part) + profile[index + 1] * part for profile in (join.first, join.second))
    return (places[:, 0], places[:, 1]), (first * (1 - share) + second * share).astype(np.float32)


def _join(quality: float, ends: Ends, a: int, b: int) -> Join:
    begin, end = ends.places[a], ends.places[b]
    handle = float(np.hypot(*(end - begin))) / 3
    t = np.linspace(0, 1, max(3, round(6 * handle)))[:, None]
    # a cubic Bézier curve, which for small turns is nearly the arc of a circle
    inner = 3 * t * (1 - t) ** 2 * (begin - handle * ends.ways[a]) + 3 * t**2 * (1 - t) * (end - handle * ends.ways[b])
    curve = (1 - t) ** 3 * begin + inner + t**3 * end
    # who walks into the hole has on the right what was on the left on the way out
    return Join(quality, curve, ends.profiles[a][::-1], ends.profiles[b])


def _degrees(angle: np.ndarray) -> np.ndarray:
    return np.degrees((angle + np.pi) % (2 * np.pi) - np.pi)
