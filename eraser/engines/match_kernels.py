"""What compares everything with everything when repetitions are looked for, compiled by numba.

tests/engines/test_match_kernels.py has a slow twin of each. They call no matrix library: its threads wait for more work
by turning, and for a hundredth of a second take a processor from those that paint.
"""

from __future__ import annotations

import numpy as np

from eraser.engines.patch_kernels import compiled


@compiled(fastmath={"reassoc", "contract"})
def most_alike(descriptors, places, asked, apart, best, cosines):
    """For each descriptor asked for, the others that are most like it, the most alike first.

    descriptors (N, D) float32 of unit length · places (N, 2) int32 · asked (K,) int64: their numbers · apart: squared
    distance of places from which another one counts. Fills best (K, M) int64, -1 where there are fewer, and
    cosines (K, M) float32, there 0; cosines that are not positive do not count.
    """
    most = best.shape[1]
    best[:] = -1
    cosines[:] = 0
    for row in range(len(asked)):
        one = asked[row]
        for other in range(len(descriptors)):
            dx, dy = places[one, 0] - places[other, 0], places[one, 1] - places[other, 1]
            if dx * dx + dy * dy < apart:
                continue
            cosine = np.float32(0)
            for k in range(descriptors.shape[1]):
                cosine += descriptors[one, k] * descriptors[other, k]
            rank = most
            while rank > 0 and cosine > cosines[row, rank - 1]:
                rank -= 1
            for later in range(most - 1, rank, -1):
                cosines[row, later] = cosines[row, later - 1]
                best[row, later] = best[row, later - 1]
            if rank < most:
                cosines[row, rank] = cosine
                best[row, rank] = other


@compiled()
def support(first, second, nearest, reach, stretch, supports):
    """Which matches are moved alike, but for a share `stretch` of their distance and a pixel.

    first, second (M, 2) float32: their places · nearest, reach: squared distances of first places between which one
    match can support another. Fills supports (M, M) bool, which is symmetric.
    """
    for one in range(len(first)):
        supports[one, one] = False
        for other in range(one):
            x, y = first[one, 0] - first[other, 0], first[one, 1] - first[other, 1]
            distance = x * x + y * y
            x, y = second[one, 0] - second[other, 0] - x, second[one, 1] - second[other, 1] - y
            allowed = stretch * np.sqrt(distance) + 1
            agree = nearest < distance < reach and x * x + y * y < allowed * allowed
            supports[one, other] = supports[other, one] = agree
