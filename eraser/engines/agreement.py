"""Projective maps on which many matches of corners agree."""

from __future__ import annotations

import numpy as np

from eraser.engines.match_kernels import support
from eraser.engines.projections import fit, is_gentle, through
from eraser.geometry import Box

LEAST_CORNERS = 10  # that agree on a map
NEIGHBOUR = 4.0  # pixels from which two corners tell more than one
STRETCH = 0.22  # two matches support each other if they are moved alike, but for such a share of their distance
GROUP = 40  # supporters, the nearest, that a first fit is made of
TOLERANCE = 1.5  # pixels that a match may lie off its map
TRIED = 12  # maps
FAILURES = 3  # one after the other, after which there is hardly any more to be found


def agreed_maps(first: np.ndarray, second: np.ndarray, corner: np.ndarray, box: Box) -> list[np.ndarray]:
    """Maps (3, 3) on which many matches agree, those with the largest support first; all are gentle on the box.

    first, second (M, 2), corner (M,): what `corners.matches` returns. Matches near each other that are moved alike
    support each other; the one with most support is fitted together with its supporters, first affinely, then
    projectively, to ever more of those that fit.
    """
    if len(first) < LEAST_CORNERS:
        return []
    reach = max(40.0, 0.75 * max(box.width, box.height))
    supports = np.empty((len(first), len(first)), bool)
    support(first.astype(np.float32), second.astype(np.float32), NEIGHBOUR**2, reach**2, STRETCH, supports)
    alive = np.ones(len(first), bool)
    supporters = supports.sum(axis=1, dtype=np.int32)
    maps: list[np.ndarray] = []
    failures = 0
    for _ in range(TRIED):
        living = np.where(alive, supporters, 0)
        seed = int(living.argmax())
        if living[seed] < LEAST_CORNERS:
            break
        group = np.flatnonzero(supports[seed] & alive)
        distance = np.linalg.norm(first[group] - first[seed], axis=1)
        group = np.append(group[np.argsort(distance, kind="stable")][:GROUP], seed)
        matrix, fitting = _fitted(first, second, corner, group)
        spent = np.unique(group if matrix is None else np.append(fitting, seed))
        spent = spent[alive[spent]]
        alive[spent] = False
        supporters -= supports[:, spent].sum(axis=1, dtype=np.int32)
        if matrix is not None and len(np.unique(corner[fitting])) >= LEAST_CORNERS and is_gentle(matrix, box):
            maps.append(matrix)
            failures = 0
        else:
            failures += 1
        if failures == FAILURES:
            break
    return maps


def _fitted(
    first: np.ndarray, second: np.ndarray, corner: np.ndarray, group: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """A map fitted to the group and to what else fits, and which matches do; None where they do not agree."""
    every = np.arange(len(first))
    fitting, matrix = group, None
    for among, tolerance, projective in (
        (group, 3 * TOLERANCE, False),
        (group, 2 * TOLERANCE, False),
        (every, 2 * TOLERANCE, False),
        (every, TOLERANCE, True),
        (every, TOLERANCE, True),
    ):
        if len(np.unique(corner[fitting])) < LEAST_CORNERS // 2 + 1:
            return None, fitting
        matrix = fit(first[fitting], second[fitting], projective=projective)
        error = np.linalg.norm(through(matrix, first[among]) - second[among], axis=1)
        fitting = among[error < tolerance]
    return matrix, fitting
