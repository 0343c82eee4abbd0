"""Following edges away from a hole, compiled by numba; tests/engines/test_edge_kernels.py has slow twins.

A *profile* is what lies across an edge: 2 half + 1 samples a pixel apart, from the left of somebody who walks along it.
"""

from __future__ import annotations

import math

import numpy as np

from eraser.engines.patch_kernels import compiled

FAN = 9  # directions tried to each side of a tangent, this far apart:
STEP_ANGLE = math.radians(2)
PIECE = 5  # pixels over which an edge is compared with its beginning, as one traces it
BLIND = 2 * PIECE  # pixels that it may be interrupted for


@compiled(fastmath=True)
def walk(image, known, top, left, down, right, half, reach, colours, profile, samples):
    """Go `reach` pixels from (top, left) along the unit vector (down, right); write the mean profile (2 half + 1, C).

    image (H, W, C) float32 · known (H, W) bool · samples: room for (reach, 2 half + 1, C)
    Returns how many steps stayed on known ground, from the first that did, and the mean square of what changed; where
    none did, the profile says nothing.
    """
    height, width, channels = image.shape
    steps = 0
    for t in range(1, reach + 1):
        seen = True
        for k in range(2 * half + 1):
            y = top + t * down - (k - half) * right
            x = left + t * right + (k - half) * down
            v, u = np.int64(math.floor(y)), np.int64(math.floor(x))
            if v < 0 or u < 0 or v + 1 >= height or u + 1 >= width:
                seen = False
                break
            if not (known[v, u] and known[v + 1, u] and known[v, u + 1] and known[v + 1, u + 1]):
                seen = False
                break
            low, beside = np.float32(y - v), np.float32(x - u)
            for c in range(channels):
                upper = image[v, u, c] + beside * (image[v, u + 1, c] - image[v, u, c])
                lower = image[v + 1, u, c] + beside * (image[v + 1, u + 1, c] - image[v + 1, u, c])
                samples[steps, k, c] = upper + low * (lower - upper)
        if seen:
            steps += 1
        elif steps > 0:
            break
    changed = np.float32(0)
    if steps == 0:
        return steps, changed
    for k in range(2 * half + 1):
        for c in range(channels):
            profile[k, c] = 0
            for t in range(steps):
                profile[k, c] += samples[t, k, c] / steps
            if c < colours:
                for t in range(steps):
                    changed += (samples[t, k, c] - profile[k, c]) ** 2
    return steps, changed / (steps * (2 * half + 1) * colours)


@compiled(fastmath=True)
def trace(image, known, places, ways, half, most, colours, profiles, allowed, found, samples, lengths):
    """How many pixels each edge goes on from its place (M, 2) along its way (M, 2), up to `most`, bending a little.

    It goes on while the mean square difference to its profile (M, 2 half + 1, C) is at most allowed (M,), and may be
    interrupted shortly. Writes lengths (M,), twice as long where it leaves our sight: as much again may be there.
    found, samples: room as for `walk`.
    """
    piece = np.int64(PIECE)  # a literal would have `walk` compiled once more
    for i in range(len(places)):
        y, x = np.float64(places[i, 0]), np.float64(places[i, 1])
        down, right = np.float64(ways[i, 0]), np.float64(ways[i, 1])
        length = lost = 0
        while length + lost < most:
            least = np.float32(-1)
            nearer, further = down, right
            for turn in range(-2, 3):
                cosine, sine = math.cos(2 * turn * STEP_ANGLE), math.sin(2 * turn * STEP_ANGLE)
                dy, dx = down * cosine - right * sine, down * sine + right * cosine
                steps, changed = walk(image, known, y, x, dy, dx, half, piece, colours, found, samples)
                if steps < PIECE:
                    continue
                for k in range(2 * half + 1):
                    for c in range(colours):
                        changed += (found[k, c] - profiles[i, k, c]) ** 2 / ((2 * half + 1) * colours)
                if least < 0 or changed < least:
                    least = changed
                    nearer, further = dy, dx
            if least < 0:
                length *= 2
                break
            if least <= allowed[i]:
                length += lost + PIECE
                lost = 0
                down, right = nearer, further
            else:
                lost += PIECE
                if lost > BLIND:
                    break
            y += PIECE * down
            x += PIECE * right
        lengths[i] = length


@compiled(fastmath=True)
def follow(image, known, places, tangents, half, reach, least, colours, ways, profiles, changes, found, samples):
    """For each place (M, 2) the way along its tangent, within a fan and to either side, that changes least.

    Writes ways (M, 2), profiles (M, 2 half + 1, C) and changes (M,), -1 where no way stays `least` pixels on known
    ground. found, samples: room as for `walk`.
    """
    for i in range(len(places)):
        y, x = np.float64(places[i, 0]), np.float64(places[i, 1])
        down, right = np.float64(tangents[i, 0]), np.float64(tangents[i, 1])
        changes[i] = -1
        for side in range(2):
            for turn in range(-FAN, FAN + 1):
                angle = turn * STEP_ANGLE + side * math.pi
                cosine, sine = math.cos(angle), math.sin(angle)
                dy, dx = down * cosine - right * sine, down * sine + right * cosine
                steps, changed = walk(image, known, y, x, dy, dx, half, reach, colours, found, samples)
                if steps >= least and (changes[i] < 0 or changed < changes[i]):
                    changes[i] = changed
                    ways[i, 0], ways[i, 1] = dy, dx
                    for k in range(2 * half + 1):  # by hand: as one assignment it takes numba three seconds more
                        for c in range(image.shape[2]):
                            profiles[i, k, c] = found[k, c]
