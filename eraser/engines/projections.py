"""Projective maps between places in a picture: applied, fitted to matches, and aligned to what is seen.

A map is a (3, 3) matrix that takes (x, y, 1) to its image times a factor; places are (N, 2), x before y, in pixels.
"""

from __future__ import annotations

import numpy as np

from eraser.geometry import Box

NOWHERE = -1e9
MOST_STRETCH = 2.0  # a map may enlarge or shrink so many times, in any direction
EVEN = 15  # pixels over which brightness is evened out before pictures are compared
STEPS = 8  # of an alignment
LEAST_SEEN = 200  # pixels that an alignment needs
KEPT_IN_SIGHT = 0.5  # of the most that were seen: errors are to shrink, not what is compared
ROBUST = 2.0  # median errors at which an error counts a half
DAMPING = 1e-4  # of the normal equations' diagonal


def through(matrix: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Where the map takes these places: (N, 2) -> (N, 2); those on its horizon lie NOWHERE."""
    moved = places @ matrix[:, :2].T + matrix[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        taken = moved[:, :2] / moved[:, 2:]
    return np.where(np.isfinite(taken), taken, NOWHERE)


def scaled(matrix: np.ndarray, factor: float) -> np.ndarray:
    """The same map in a picture that is `factor` times as large; pixel centres are at whole numbers."""
    there = np.array([[factor, 0, (factor - 1) / 2], [0, factor, (factor - 1) / 2], [0, 0, 1]])
    return there @ matrix @ np.linalg.inv(there)


def fit(first: np.ndarray, second: np.ndarray, *, projective: bool) -> np.ndarray:
    """The map, affine or projective, that takes `first` nearest to `second`, (N, 2) each.

    Least squares in coordinates of unit spread (Hartley 1997, "In defense of the eight-point algorithm").
    """
    (p, here), (q, there) = _normalised(first), _normalised(second)
    one, zero = np.ones(len(p)), np.zeros(len(p))
    matrix = np.eye(3)
    if projective:
        rows = [
            np.stack([p[:, 0], p[:, 1], one, zero, zero, zero, -q[:, 0] * p[:, 0], -q[:, 0] * p[:, 1]], axis=1),
            np.stack([zero, zero, zero, p[:, 0], p[:, 1], one, -q[:, 1] * p[:, 0], -q[:, 1] * p[:, 1]], axis=1),
        ]
        found = np.linalg.lstsq(np.concatenate(rows), q.T.ravel(), rcond=None)[0]
        matrix = np.append(found, 1).reshape(3, 3)
    else:
        matrix[:2] = np.linalg.lstsq(np.stack([p[:, 0], p[:, 1], one], axis=1), q, rcond=None)[0].T
    return np.linalg.inv(there) @ matrix @ here


def is_gentle(matrix: np.ndarray, box: Box) -> bool:
    """Whether the map neither mirrors nor tears nor stretches this part of the picture beyond MOST_STRETCH."""
    if not np.isfinite(matrix).all():
        return False
    x, y = np.array([box.x, box.x + box.width - 1]), np.array([box.y, box.y + box.height - 1])
    corners = np.stack([x[[0, 1, 0, 1]], y[[0, 0, 1, 1]]], axis=1).astype(float)
    factors = corners @ matrix[2, :2] + matrix[2, 2]
    if factors.min() * factors.max() <= 0:
        return False
    for corner in corners:
        around = through(matrix, corner + np.array([[0.5, 0], [-0.5, 0], [0, 0.5], [0, -0.5]]))
        grown = np.stack([around[0] - around[1], around[2] - around[3]])
        least, most = np.linalg.svd(grown, compute_uv=False)[::-1]
        if np.linalg.det(grown) <= 0 or most > MOST_STRETCH or least < 1 / MOST_STRETCH:
            return False
    return True


def taken_from(matrix: np.ndarray, box: Box) -> np.ndarray:
    """Where the map takes each pixel of the box: (2, h, w) float64, y before x, as scipy's map_coordinates wants it."""
    y, x = np.mgrid[box.y : box.y + box.height, box.x : box.x + box.width]
    places = through(matrix, np.stack([x.ravel(), y.ravel()], axis=1).astype(float))
    rows_and_columns: np.ndarray = places.T[::-1].reshape(2, box.height, box.width)
    return rows_and_columns


def aligned(grey: np.ndarray, matrix: np.ndarray, ring: np.ndarray, box: Box) -> np.ndarray:
    """The map, moved so that what it shows in the ring is most like what is there.

    grey (H, W), NaN where it is not known · ring (h, w) bool in the box: known pixels to be compared. Gauss-Newton on
    the eight entries (Lucas & Kanade 1981; Baker & Matthews 2004), on pictures of even brightness.
    """
    from scipy import ndimage

    span = max(box.width, box.height) / 2
    middle = box.x + box.width / 2, box.y + box.height / 2
    unit = np.array([[1 / span, 0, -middle[0] / span], [0, 1 / span, -middle[1] / span], [0, 0, 1]])
    y, x = np.mgrid[box.y : box.y + box.height, box.x : box.x + box.width]
    u, v = (x - middle[0]) / span, (y - middle[1]) / span
    here = grey[box.slices]
    entries = matrix @ np.linalg.inv(unit)
    entries = entries / entries[2, 2]
    best, least, enough = matrix, np.inf, float(LEAST_SEEN)
    for _ in range(STEPS):
        factor = entries[2, 0] * u + entries[2, 1] * v + 1
        if not factor.min() > 0:  # the horizon has come into the box
            break
        across = (entries[0, 0] * u + entries[0, 1] * v + entries[0, 2]) / factor
        down = (entries[1, 0] * u + entries[1, 1] * v + entries[1, 2]) / factor
        shown = ndimage.map_coordinates(grey, [down, across], order=1, cval=np.nan)
        seen = np.isfinite(shown)
        both = ring & ndimage.binary_erosion(seen)
        if np.count_nonzero(both) < enough:
            break
        enough = max(enough, KEPT_IN_SIGHT * np.count_nonzero(both))
        error = (evened(shown, both) - evened(here, both))[both]
        wrong = float(np.mean(error**2))
        if wrong < least:
            best, least = entries @ unit, wrong
        # the gradient where the pixel was taken from: the shown picture's own, back through the map's derivatives
        by_y, by_x = np.gradient(np.where(seen, shown, 0))
        xu, xv = ((entries[0, k] - across * entries[2, k]) / factor / span for k in (0, 1))
        yu, yv = ((entries[1, k] - down * entries[2, k]) / factor / span for k in (0, 1))
        area = (xu * yv - xv * yu) * factor
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            gx, gy = (yv * by_x - yu * by_y) / area, (xu * by_y - xv * by_x) / area
        if not np.isfinite(gx[both]).all() or not np.isfinite(gy[both]).all():  # a step has folded the picture
            break
        moved = -(gx * across + gy * down)
        terms = [gx * u, gx * v, gx, gy * u, gy * v, gy, moved * u, moved * v]
        slopes = np.stack([term[both] for term in terms], axis=1)
        weighted = slopes / (1 + (error / (ROBUST * np.median(np.abs(error)) + 1e-6)) ** 2)[:, None]
        normal = weighted.T @ slopes
        size = np.sqrt(np.diag(normal)) + 1e-9
        step = np.linalg.solve(
            normal / np.outer(size, size) + DAMPING * np.eye(len(size)), -(weighted.T @ error) / size
        )
        entries = entries + np.append(step / size, 0).reshape(3, 3)
    return best


def evened(image: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """The image (h, w) less its mean over EVEN x EVEN seen pixels; only seen pixels mean anything."""
    from scipy import ndimage

    image = np.where(seen, image, 0)
    share = ndimage.uniform_filter(seen.astype(np.float64), EVEN, mode="constant")
    difference: np.ndarray = image - ndimage.uniform_filter(image, EVEN, mode="constant") / np.maximum(share, 1e-3)
    return difference


def _normalised(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places of mean 0 and unit spread, and the map that makes them so."""
    middle, spread = places.mean(axis=0), max(1e-6, float(places.std()))
    matrix = np.array([[1 / spread, 0, -middle[0] / spread], [0, 1 / spread, -middle[1] / spread], [0, 0, 1]])
    return (places - middle) / spread, matrix
