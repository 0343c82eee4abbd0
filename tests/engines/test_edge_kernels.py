"""The kernels that follow edges have slow, obvious twins here, and must agree with them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import ndimage

from eraser.engines import edge_kernels as kernels


def small_picture(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture of 24 x 30 with two channels, and what is known of it."""
    image = ndimage.gaussian_filter(rng.standard_normal((24, 30, 2)), (2, 2, 0)).astype(np.float32)
    known = np.ones((24, 30), bool)
    known[9:15, 10:18] = False
    return image, known


def slow_walk(image, known, at, way, half, reach, colours):
    """Samples (steps, 2 half + 1, C) on the first stretch of known ground, by scipy's own interpolation."""
    rows = []
    for t in range(1, reach + 1):
        places = [(at[0] + t * way[0] - k * way[1], at[1] + t * way[1] + k * way[0]) for k in range(-half, half + 1)]
        corners = [(math.floor(y) + dy, math.floor(x) + dx) for y, x in places for dy in (0, 1) for dx in (0, 1)]
        inside = all(0 <= y < known.shape[0] and 0 <= x < known.shape[1] for y, x in corners)
        if inside and all(known[corner] for corner in corners):
            y, x = np.array(places).T
            channels = [ndimage.map_coordinates(image[:, :, c], [y, x], order=1) for c in range(image.shape[2])]
            rows.append(np.stack(channels, axis=1))
        elif rows:
            break
    if not rows:
        return 0, 0.0, np.zeros((2 * half + 1, image.shape[2]))
    samples = np.array(rows, np.float64)
    profile = samples.mean(axis=0)
    return len(rows), ((samples - profile) ** 2)[:, :, :colours].mean(), profile


def slow_trace(image, known, at, way, half, most, colours, profile, allowed):
    length = lost = 0
    y, x = at
    angle = math.atan2(way[0], way[1])
    while length + lost < most:
        seen = []
        for turn in range(-2, 3):
            turned = angle + 2 * turn * kernels.STEP_ANGLE
            ahead = (math.sin(turned), math.cos(turned))
            steps, changed, found = slow_walk(image, known, (y, x), ahead, half, kernels.PIECE, colours)
            if steps == kernels.PIECE:
                seen.append((changed + ((found - profile) ** 2)[:, :colours].mean(), turned))
        if not seen:
            return 2 * length  # out of sight
        least, turned = min(seen)
        if least <= allowed:
            length, lost, angle = length + lost + kernels.PIECE, 0, turned
        else:
            lost += kernels.PIECE
            if lost > kernels.BLIND:
                break
        y, x = y + kernels.PIECE * math.sin(angle), x + kernels.PIECE * math.cos(angle)
    return length


@pytest.mark.parametrize("case", range(30))
def test_walking_sees_what_interpolation_says(case):
    rng = np.random.default_rng(case)
    image, known = small_picture(rng)
    at, angle = rng.uniform((3, 3), (21, 27)), rng.uniform(0, 2 * math.pi)
    way, half, reach = (math.sin(angle), math.cos(angle)), int(rng.integers(1, 4)), 10
    profile = np.empty((2 * half + 1, 2), np.float32)
    samples = np.empty((reach, 2 * half + 1, 2), np.float32)
    steps, changed = kernels.walk(image, known, *at, *way, half, reach, 1, profile, samples)
    expected_steps, expected_changed, expected_profile = slow_walk(image, known, at, way, half, reach, 1)
    assert steps == expected_steps
    assert changed == pytest.approx(expected_changed, abs=1e-5)
    assert steps == 0 or np.allclose(profile, expected_profile, atol=1e-5)


def test_walks_of_the_cases_end_in_every_way():
    ends = set()
    for case in range(30):
        rng = np.random.default_rng(case)
        image, known = small_picture(rng)
        at, angle = rng.uniform((3, 3), (21, 27)), rng.uniform(0, 2 * math.pi)
        half = int(rng.integers(1, 4))
        steps, _, _ = slow_walk(image, known, at, (math.sin(angle), math.cos(angle)), half, 10, 1)
        ends.add("none" if steps == 0 else "some" if steps < 10 else "all")
    assert ends == {"none", "some", "all"}


@pytest.mark.parametrize("case", range(20))
def test_tracing_goes_as_far_as_its_slow_twin(case):
    rng = np.random.default_rng(case)
    y, x = np.mgrid[:60, :60].astype(np.float32)
    bend = 0.004 * rng.uniform(-1, 1)
    edge = np.tanh((y - 30 - bend * (x - 5) ** 2) / 1.5)
    edge[:, int(rng.integers(25, 50)) :] *= rng.choice([0, 1])  # some end
    cut = int(rng.integers(12, 20))
    edge[:, cut : cut + int(rng.integers(0, 16))] = 0  # some are interrupted
    image = np.stack([edge, rng.standard_normal(edge.shape)], axis=2).astype(np.float32)
    known = np.ones(edge.shape, bool)
    known[:, 55:] = bool(rng.integers(2))
    half = int(rng.integers(1, 4))
    _, _, profile = slow_walk(image, known, (30, 2), (0, 1), half, 8, 1)
    profile = profile.astype(np.float32)
    allowed = 0.85 * float(profile[:, 0].var())
    places, ways = np.array([[30, 5], [30, 8]], np.float32), np.array([[0, 1], [0, 1]], np.float32)
    both, lengths = np.stack([profile, profile]), np.zeros(2, np.float32)
    room = np.empty_like(profile), np.empty((kernels.PIECE, *profile.shape), np.float32)
    kernels.trace(image, known, places, ways, half, 40, 1, both, np.float32([allowed, allowed]), *room, lengths)
    for place, length in zip(places, lengths, strict=True):
        assert length == slow_trace(image, known, place, (0.0, 1.0), half, 40, 1, profile, allowed)


def test_following_takes_the_way_that_changes_least():
    rng = np.random.default_rng(0)
    image, known = small_picture(rng)
    places = rng.uniform((4, 4), (20, 26), (12, 2)).astype(np.float32)
    angles = rng.uniform(0, 2 * math.pi, 12)
    tangents = np.stack([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)
    ways, profiles = np.zeros((12, 2), np.float32), np.zeros((12, 5, 2), np.float32)
    changes = np.zeros(12, np.float32)
    room = np.empty((5, 2), np.float32), np.empty((8, 5, 2), np.float32)
    kernels.follow(image, known, places, tangents, 2, 8, 5, 2, ways, profiles, changes, *room)
    for i, at in enumerate(places):
        tried = {}
        for side in (0, math.pi):
            for turn in range(-kernels.FAN, kernels.FAN + 1):
                angle = angles[i] - side - turn * kernels.STEP_ANGLE
                for sign in (-1, 1):
                    turned = angles[i] + side + sign * turn * kernels.STEP_ANGLE
                    way = (math.sin(turned), math.cos(turned))
                    steps, changed, _ = slow_walk(image, known, at, way, 2, 8, 2)
                    if steps >= 5:
                        tried[angle] = min(changed, tried.get(angle, np.inf))
        if not tried:
            assert changes[i] == -1
            continue
        assert changes[i] == pytest.approx(min(tried.values()), abs=1e-5)
        steps, changed, profile = slow_walk(image, known, at, ways[i], 2, 8, 2)
        assert steps >= 5
        assert changed == pytest.approx(changes[i], abs=1e-5)
        assert np.allclose(profile, profiles[i], atol=1e-4)
    assert (changes == -1).any()
    assert (changes >= 0).any()
