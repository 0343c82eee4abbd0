"""How close a fill is to the truth, looked at inside the hole only.

PSNR and SSIM reward blur, so they are read together with the other three: `swd` asks whether the texture is right
wherever it lies, `hf` whether the fill is as sharp as the photo, `rim` whether a seam shows.
Needs numpy and scipy only. The definitions are fixed: numbers stay comparable from release to release.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage, sparse

PATCH = 7  # side of a patch whose distribution is compared, and of SSIM's window
DIRECTIONS = 64  # random lines that the patch distributions are projected on
SAMPLES = 20_000  # patches at most per scale
FEWEST_PATCHES = 50  # a scale with fewer says nothing


@dataclass(frozen=True, slots=True)
class Scores:
    """One fill against its truth. Which way is good stands at each line's end."""

    psnr: float  # dB in the hole · more
    ssim: float  # structure in the hole · more
    swd: float  # 100 x sliced Wasserstein distance of 7x7 patches, mean over three scales · less
    hf: float  # highest-octave amplitude of the fill over the truth's · 1
    rim: float  # mean step across the hole's edge over the truth's · 1
    outside: int  # largest change of any known pixel, in levels · 0

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


def score(truth: np.ndarray, filled: np.ndarray, hole: np.ndarray) -> Scores:
    """Scores of `filled` (H, W, 3) uint8 RGB against `truth` of the same kind, inside `hole` (H, W) bool.

    Raises ValueError when shapes differ or the hole is empty. Nothing here is random between two calls.
    """
    if not truth.shape == filled.shape == (*hole.shape, 3):
        raise ValueError(f"truth is {truth.shape}, fill is {filled.shape}, hole is {hole.shape}")
    if not hole.any():
        raise ValueError("the hole is empty: nothing to score")
    # blue first: the projection directions are drawn per channel, and the first published numbers were in that order
    t = np.ascontiguousarray(truth[..., ::-1]).astype(np.float32) / 255
    f = np.ascontiguousarray(filled[..., ::-1]).astype(np.float32) / 255
    return Scores(
        psnr=float(-10 * np.log10(((t - f)[hole] ** 2).mean() + 1e-10)),
        ssim=structural_similarity(t, f, hole),
        swd=sliced_wasserstein(t, f, hole),
        hf=octave_ratio(t, f, hole),
        rim=rim_step(f, hole) / max(1e-6, rim_step(t, hole)),
        outside=outside_change(truth, filled, hole),
    )


def outside_change(before: np.ndarray, after: np.ndarray, hole: np.ndarray) -> int:
    """The largest change of a known pixel, in levels. A fill with anything but 0 is no result."""
    worst = 0
    for row in range(0, len(hole), 512):  # in strips: a 200-megapixel photo must not need six bytes per sample more
        rows = slice(row, row + 512)
        step = np.maximum(before[rows], after[rows]) - np.minimum(before[rows], after[rows])
        worst = max(worst, int(step[~hole[rows]].max(initial=0)))
    return worst


def structural_similarity(truth: np.ndarray, filled: np.ndarray, hole: np.ndarray) -> float:
    """Mean SSIM over hole pixels and channels; uniform 7x7 window, sample covariance, data range 1.

    Wang, Bovik, Sheikh, Simoncelli 2004, eq. 13.
    """
    rows, columns = _around(hole, PATCH)
    x, y, inside = truth[rows, columns], filled[rows, columns], hole[rows, columns]
    c1, c2, unbiased = 0.01**2, 0.03**2, PATCH**2 / (PATCH**2 - 1)
    total = 0.0
    for channel in range(x.shape[2]):
        a, b = x[..., channel], y[..., channel]
        mean_a, mean_b = _mean(a), _mean(b)
        var_a = unbiased * (_mean(a * a) - mean_a * mean_a)
        var_b = unbiased * (_mean(b * b) - mean_b * mean_b)
        covariance = unbiased * (_mean(a * b) - mean_a * mean_b)
        luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
        total += float((luminance * (2 * covariance + c2) / (var_a + var_b + c2))[inside].mean())
    return total / x.shape[2]


def sliced_wasserstein(truth: np.ndarray, filled: np.ndarray, hole: np.ndarray) -> float:
    """100 x mean distance of sorted 1-D projections of all patches centred in the hole, over scales 1, 1/2 and 1/4.

    Rabin, Peyré, Delon, Bernot 2011, with fixed directions. NaN when even the full scale has too few patches.
    """
    distances = []
    for scale in range(3):
        if scale:
            truth, filled = half(truth), half(filled)
            hole = half(hole.astype(np.float32)) > 0.5
        a, b = _projections(truth, hole, scale), _projections(filled, hole, scale)
        if a is not None and b is not None:
            distances.append(np.abs(a - b).mean())
    return float(100 * np.mean(distances)) if distances else float("nan")


def octave_ratio(truth: np.ndarray, filled: np.ndarray, hole: np.ndarray) -> float:
    """Root-mean-square of what halving the size would lose, fill over truth, two pixels and more inside the hole."""
    inner = ndimage.binary_erosion(hole, np.ones((5, 5)), border_value=1)
    if not inner.any():
        inner = hole
    lost = [(image - double(half(image), image.shape[:2]))[inner] for image in (filled, truth)]
    return float(np.sqrt((lost[0] ** 2).mean() / max(1e-8, (lost[1] ** 2).mean())))


def rim_step(image: np.ndarray, hole: np.ndarray) -> float:
    """Mean absolute difference of neighbours that lie on different sides of the hole's edge."""
    across, down = hole[:, :-1] != hole[:, 1:], hole[:-1] != hole[1:]
    steps = [np.abs(np.diff(image, axis=1))[across], np.abs(np.diff(image, axis=0))[down]]
    return float(np.concatenate(steps).mean())


def half(image: np.ndarray) -> np.ndarray:
    """(H, W[, C]) float32 at half the size (rounded down), every pixel the mean of the area it covers."""
    return shrink(image, (image.shape[0] // 2, image.shape[1] // 2))


def shrink(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W[, C]) float32 at `size` (height, width), not larger, by area averaging."""
    return _separable(image, _area_weights(image.shape[0], size[0]), _area_weights(image.shape[1], size[1]))


def double(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W[, C]) float32 at `size` (height, width), not smaller, linearly between pixel centres."""
    return _separable(image, _linear_weights(image.shape[0], size[0]), _linear_weights(image.shape[1], size[1]))


def _mean(plane: np.ndarray) -> np.ndarray:
    return ndimage.uniform_filter(plane, PATCH)


def _around(hole: np.ndarray, margin: int) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    return (
        slice(max(0, rows[0] - margin), rows[-1] + margin + 1),
        slice(max(0, columns[0] - margin), columns[-1] + margin + 1),
    )


def _projections(image: np.ndarray, hole: np.ndarray, scale: int) -> np.ndarray | None:
    """(patches, DIRECTIONS) sorted per direction, or None when the hole is too small at this scale."""
    if min(hole.shape) < PATCH:
        return None
    reach = PATCH // 2
    centres = hole[reach:-reach, reach:-reach]
    count = int(centres.sum())
    if count < FEWEST_PATCHES:
        return None
    windows = np.lib.stride_tricks.sliding_window_view(image, (PATCH, PATCH), axis=(0, 1))
    ys, xs = np.nonzero(centres)
    if count > SAMPLES:
        chosen = np.random.default_rng(0).choice(count, SAMPLES, replace=False)
        ys, xs = ys[chosen], xs[chosen]
    patches = windows[ys, xs].reshape(len(ys), -1)
    directions = np.random.default_rng(scale).standard_normal((patches.shape[1], DIRECTIONS)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    return np.sort(patches @ directions, axis=0)


def _separable(image: np.ndarray, down: sparse.csr_matrix, across: sparse.csr_matrix) -> np.ndarray:
    planes = image.reshape(*image.shape[:2], -1)
    done = [np.asarray(down @ np.ascontiguousarray((across @ plane.T).T)) for plane in np.moveaxis(planes, 2, 0)]
    return np.ascontiguousarray(np.stack(done, axis=2)).reshape(down.shape[0], across.shape[0], *image.shape[2:])


def _area_weights(before: int, after: int) -> sparse.csr_matrix:
    """(after, before): row i holds how much of target pixel i each source pixel covers."""
    scale = before / after
    rows, columns, weights = [], [], []
    for i in range(after):
        start, end = i * scale, min((i + 1) * scale, before)
        for j in range(int(start), min(before, int(np.ceil(end)))):
            covered = min(end, j + 1) - max(start, j)
            if covered > 1e-3:  # rounding of start and end, not area
                rows.append(i)
                columns.append(j)
                weights.append(covered / (end - start))
    return sparse.csr_matrix((np.float32(weights), (rows, columns)), shape=(after, before))


def _linear_weights(before: int, after: int) -> sparse.csr_matrix:
    """(after, before): row i holds the two source pixels between whose centres target pixel i lies."""
    position = np.clip((np.arange(after) + 0.5) * before / after - 0.5, 0, before - 1)
    left = np.minimum(position.astype(int), max(0, before - 2))
    share = (position - left).astype(np.float32)
    rows = np.repeat(np.arange(after), 2)
    columns = np.minimum(np.stack([left, left + 1], axis=1), before - 1).ravel()
    return sparse.csr_matrix((np.stack([1 - share, share], axis=1).ravel(), (rows, columns)), shape=(after, before))
