"""Following edges away from a hole, compiled by numba; tests/engines/test_edge_kernels.py has slow twins.

A *profile* is what lies across an edge: 2 half + 1 samples a pixel apart, from the left of somebody who walks along it.
"""

from __future__ import annotations

import math

import numpy as np

from eraser.engines.patch_kernels import njit  # numba, after its cache folder is set

FAN = 9  # directions tried to each side of a tangent, this far apart:
STEP_ANGLE = math.radians(2)
PIECE = 5  # pixels over which an edge is compared with its beginning, as one traces it
BLIND = 2 * PIECE  # pixels that it may be interrupted for


@njit(nogil=True, cache=True, fastmath=True)
def walk(image, known, at, way, half, reach, colours, profile, samples):
    """Go `reach` pixels from `at` (y, x) along the unit vector `way` and write the mean profile (2 half + 1, C).

    image (H, W, C) float32 · known (H, W) bool · samples: room for (reach, 2 half + 1, C)
    Returns how many steps stayed on known ground, from the first that did, and the mean square of what changed.
    """
    height, width, channels = image.shape
    steps = 0
    for t in range(1, reach + 1):
        seen = True
        for k in range(2 * half + 1):
            y = at[0] + t * way[0] - (k - half) * way[1]
            x = at[1] + t * way[1] + (k - half) * way[0]
            top, left = int(np.floor(y)), int(np.floor(x))
            if top < 0 or left < 0 or top + 1 >= height or left + 1 >= width:
                seen = False
                break
            if not (known[top, left] and known[top + 1, left] and known[top, left + 1] and known[top + 1, left + 1]):
                seen = False
                break
            low, right = np.float32(y - top), np.float32(x - left)
            for c in range(channels):
                upper = image[top, left, c] + right * (image[top, left + 1, c] - image[top, left, c])
                lower = image[top + 1, left, c] + right * (image[top + 1, left + 1, c] - image[top + 1, left, c])
                samples[steps, k, c] = upper + low * (lower - upper)
        if seen:
            steps += 1
        elif steps > 0:
            break
    profile[:] = 0
    changed = np.float32(0)
    if steps == 0:
        return 0, changed
    for k in range(2 * half + 1):
        for c in range(channels):
            for t in range(steps):
                profile[k, c] += samples[t, k, c] / steps
            if c < colours:
                for t in range(steps):
                    changed += (samples[t, k, c] - profile[k, c]) ** 2
    return steps, changed / (steps * (2 * half + 1) * colours)


@njit(nogil=True, cache=True, fastmath=True)
def spread(profile, colours):
    """The variance of a profile's colours across the edge, their mean."""
    total = np.float32(0)
    for c in range(colours):
        mean = np.float32(0)
        for k in range(len(profile)):
            mean += profile[k, c] / len(profile)
        for k in range(len(profile)):
            total += (profile[k, c] - mean) ** 2
    return total / (len(profile) * colours)


@njit(nogil=True, cache=True, fastmath=True)
def trace(image, known, at, way, half, most, colours, profile, allowed, found, samples):
    """How many pixels an edge goes on from `at`, up to `most`, bending a little: (length, whether it left our sight).

    It goes on while the mean square difference to `profile` is at most `allowed`, and may be interrupted shortly.
    found, samples: room as for `walk`.
    """
    y, x = at
    down, right = way
    piece = np.int64(PIECE)  # a literal would have `walk` compiled once more
    length = lost = 0
    while length + lost < most:
        least = np.float32(-1)
        ahead = (down, right)
        for turn in range(-2, 3):
            cosine, sine = np.cos(2 * turn * STEP_ANGLE), np.sin(2 * turn * STEP_ANGLE)
            turned = (down * cosine - right * sine, down * sine + right * cosine)
            steps, changed = walk(image, known, (y, x), turned, half, piece, colours, found, samples)
            if steps < PIECE:
                continue
            for k in range(2 * half + 1):
                for c in range(colours):
                    changed += (found[k, c] - profile[k, c]) ** 2 / ((2 * half + 1) * colours)
            if least < 0 or changed < least:
                least = changed
                ahead = turned
        if least < 0:
            return length, True
        if least <= allowed:
            length += lost + PIECE
            lost = 0
            down, right = ahead
        else:
            lost += PIECE
            if lost > BLIND:
                break
        y += PIECE * down
        x += PIECE * right
    return length, False


@njit(nogil=True, cache=True, fastmath=True)
def follow(
    image, known, places, tangents, half, reach, least, most, tolerance, colours, ways, profiles, changes, support
):
    """For each place (M, 2) the way along its tangent, within a fan and to either side, that changes least.

    Writes ways (M, 2), profiles (M, 2 half + 1, C), changes (M,), -1 where no way stays `least` pixels on known ground,
    and support (M,): over how many pixels, up to `most`, the edge keeps its profile within `tolerance` of its own
    variance; where it leaves our sight, as much again may be there.
    """
    found = np.empty((2 * half + 1, image.shape[2]), np.float32)
    samples = np.empty((reach, 2 * half + 1, image.shape[2]), np.float32)
    for i in range(len(places)):
        at = (np.float64(places[i, 0]), np.float64(places[i, 1]))
        changes[i] = -1
        support[i] = 0
        for side in range(2):
            for turn in range(-FAN, FAN + 1):
                angle = turn * STEP_ANGLE + (np.pi if side else 0.0)
                cosine, sine = np.cos(angle), np.sin(angle)
                way = (
                    tangents[i, 0] * cosine - tangents[i, 1] * sine,
                    tangents[i, 0] * sine + tangents[i, 1] * cosine,
                )
                steps, changed = walk(image, known, at, way, half, reach, colours, found, samples)
                if steps >= least and (changes[i] < 0 or changed < changes[i]):
                    changes[i] = changed
                    ways[i, 0], ways[i, 1] = way
                    for k in range(2 * half + 1):  # by hand: as one assignment it takes numba three seconds more
                        for c in range(image.shape[2]):
                            profiles[i, k, c] = found[k, c]
        if changes[i] < 0:
            continue
        way = (ways[i, 0], ways[i, 1])
        beyond = (at[0] + reach * way[0], at[1] + reach * way[1])
        allowed = tolerance * spread(profiles[i], colours)
        length, unseen = trace(
            image, known, beyond, way, half, most - reach, colours, profiles[i], allowed, found, samples
        )
        support[i] = min(most, reach + (2 * length if unseen else length))
