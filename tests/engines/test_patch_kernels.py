"""Each kernel of the patch engine has a slow, obvious twin here, and must agree with it on every small case.

The twins think in rows and columns and know nothing of flat indices; `Case` translates.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import pytest

from eraser.engines import patch_kernels as kernels
from eraser.geometry import Box
from eraser.pyramid import double
from eraser.window import tighten

RADIUS = kernels.RADIUS
CASES = range(40)
MOST = np.int32(2**31 - 1)
Place = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """A small level with a hole of any shape, often at the border."""

    rng: np.random.Generator
    height: int
    width: int
    hole: np.ndarray  # (H, W) bool
    valid: np.ndarray  # (H, W) bool: sources
    wanted: np.ndarray  # (H, W) bool: targets
    features: np.ndarray  # (R, W, CHANNELS) uint8: the picture's, and below them those of the lent pictures
    lent: np.ndarray  # (R - H, W) bool: sources in the lent pictures, each as high as the picture

    @property
    def targets(self) -> np.ndarray:
        return np.flatnonzero(self.wanted).astype(np.int32)

    @property
    def pixels(self) -> np.ndarray:
        return np.flatnonzero(self.hole).astype(np.int32)

    @property
    def sources(self) -> np.ndarray:
        return np.flatnonzero(self.valid).astype(np.int32)

    @property
    def all_valid(self) -> np.ndarray:
        return np.concatenate([self.valid, self.lent]).ravel()

    @property
    def lending(self) -> np.ndarray:
        return np.array([self.hole.size, self.hole.size, len(self.lent) // self.height], np.int64)

    def lent_to(self, target: int) -> list[int]:
        """The sources that are offered to this target alone."""
        places = range(target + self.hole.size, self.all_valid.size, self.hole.size)
        return [place for place in places if self.all_valid[place]]

    def place(self, index: int) -> Place:
        return divmod(int(index), self.width)

    def random_field(self) -> np.ndarray:
        field = np.full(self.height * self.width, -1, np.int32)
        field[self.targets] = self.rng.choice(self.sources, len(self.targets))
        return field

    def true_costs(self, field: np.ndarray) -> np.ndarray:
        costs = np.zeros(field.size, np.int32)
        for target in self.targets:
            costs[target] = slow_distance(self.features, self.place(target), self.place(field[target]))
        return costs

    def smooth(self, channels: int) -> np.ndarray:
        """(H * W, channels) float32 without hard steps."""
        values = self.rng.normal(0, 0.1, (self.height * self.width, channels)).cumsum(axis=0)
        return np.tanh(values).astype(np.float32)


def make_case(seed: int, *, side: int = 18, lent: int = 0) -> Case:
    """Reproducible; holes touch each border and corner in some of the seeds."""
    rng = np.random.default_rng(seed)
    while True:
        height, width = rng.integers(2 * RADIUS + 2, side, 2)
        hole = np.zeros((height, width), bool)
        top, left = rng.integers(-2, height), rng.integers(-2, width)
        hole[max(0, top) : max(0, top + rng.integers(1, 7)), max(0, left) : max(0, left + rng.integers(1, 7))] = True
        hole[rng.integers(0, height), rng.integers(0, width)] |= rng.random() < 0.4
        valid, wanted = np.zeros_like(hole), np.zeros_like(hole)
        for y in range(RADIUS, height - RADIUS):
            for x in range(RADIUS, width - RADIUS):
                touches = hole[y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1].any()
                valid[y, x], wanted[y, x] = not touches, touches
        if valid.sum() >= 2 and wanted.any():
            # few different values, so that ties happen
            features = rng.integers(0, 4, ((1 + lent) * height, width, kernels.CHANNELS)).astype(np.uint8) * 80
            lent_valid = np.tile(wanted, (lent, 1)) & (rng.random((lent * height, width)) < 0.6)
            return Case(rng, int(height), int(width), hole, valid, wanted, features, lent_valid)


def patch(image: np.ndarray, centre: Place) -> np.ndarray:
    y, x = centre
    return image[y - RADIUS : y + RADIUS + 1, x - RADIUS : x + RADIUS + 1]


def slow_distance(features: np.ndarray, one: Place, other: Place) -> int:
    return int(((patch(features, one).astype(int) - patch(features, other)) ** 2).sum())


# -- distances and search --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_patch_distance_is_the_sum_of_squared_differences_up_to_its_limit(seed):
    case = make_case(seed)
    centres = case.rng.permutation(np.concatenate([case.targets, case.sources]))[:12]
    flat = case.features.ravel()
    for one in centres:
        for other in centres:
            true = slow_distance(case.features, case.place(one), case.place(other))
            for limit in (0, true - 1, true, true + 1, int(MOST)):
                found = kernels.patch_distance(
                    flat,
                    np.int64(case.width * kernels.CHANNELS),
                    np.int64(one) * kernels.CHANNELS,
                    np.int64(other) * kernels.CHANNELS,
                    np.int32(max(limit, 0)),
                )
                if true <= max(limit, 0):
                    assert found == true
                else:
                    assert max(limit, 0) < found <= true


def test_patch_distance_of_black_and_white_does_not_overflow():
    features = np.zeros((5, 10, kernels.CHANNELS), np.uint8)
    features[:, 5:] = 255
    found = kernels.patch_distance(
        features.ravel(),
        np.int64(10 * kernels.CHANNELS),
        np.int64((2 * 10 + 2) * kernels.CHANNELS),
        np.int64((2 * 10 + 7) * kernels.CHANNELS),
        MOST,
    )
    assert found == 25 * kernels.CHANNELS * 255**2


def test_random_numbers_are_xorshift32():
    state = 1
    for _ in range(50):
        expected = state
        expected ^= (expected << 13) & 0xFFFFFFFF
        expected ^= expected >> 17
        expected ^= (expected << 5) & 0xFFFFFFFF
        state = int(kernels.next_random(np.uint32(state)))
        assert state == expected
        assert state != 0


@dataclass(frozen=True)
class Sweep:
    """The search's settings for a case."""

    usage: np.ndarray
    run_shift: int
    away: int
    radius: int
    everywhere: int
    backward: bool
    rescore: bool
    seed: int

    @classmethod
    def of(cls, case: Case, **settings) -> Sweep:
        shift = int(case.rng.integers(0, 4))
        runs = (case.all_valid.size >> shift) + 1
        chosen = {
            "usage": case.rng.integers(0, 60_000, runs).astype(np.int32) * int(case.rng.integers(0, 2)),
            "run_shift": shift,
            "away": int(case.rng.integers(0, 2)) * round(case.rng.uniform(0, 60_000) * 2**20 / case.hole.size),
            "radius": int(case.rng.choice([0, 1, 5, 20])),
            "everywhere": int(case.rng.integers(0, 3)),
            "backward": bool(case.rng.integers(0, 2)),
            "rescore": bool(case.rng.integers(0, 2)),
            "seed": int(case.rng.integers(1, 2**31)) | 1,
        }
        return cls(**(chosen | settings))

    def penalty(self, case: Case, target: int, source: int) -> int:
        penalty = int(self.usage[source >> self.run_shift])
        if source < case.hole.size:
            penalty += int(self.away * abs(source - target) / 2**20)
            penalty += kernels.ELSEWHERE * bool(case.lent_to(target))
        return penalty


def run_search(case: Case, sweep: Sweep, old: np.ndarray, new: np.ndarray, cost: np.ndarray, low: int, high: int):
    kernels.search(
        features=case.features.ravel(),
        width=case.width,
        targets=case.targets,
        low=low,
        high=high,
        old=old,
        new=new,
        cost=cost,
        valid=case.all_valid,
        usage=sweep.usage,
        run_shift=sweep.run_shift,
        away=sweep.away,
        lending=case.lending,
        radius=sweep.radius,
        everywhere=sweep.everywhere,
        backward=sweep.backward,
        rescore=sweep.rescore,
        seed=sweep.seed,
    )


def swept(case: Case, sweep: Sweep, old: np.ndarray, cost: np.ndarray, strips: int = 1, reverse: bool = False):
    """(field, costs) after one sweep in strips, run in order or the other way round."""
    new, cost = np.full_like(old, -1), cost.copy()
    bounds = [len(case.targets) * i // strips for i in range(strips + 1)]
    parts = list(pairwise(bounds))
    for low, high in reversed(parts) if reverse else parts:
        if low < high:
            run_search(case, sweep, old, new, cost, low, high)
    return new, cost


def slow_search(case: Case, sweep: Sweep, old: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One strip, in the words of the PatchMatch paper."""
    size, width = old.size, case.width
    valid = case.all_valid
    new, cost = np.full_like(old, -1), np.zeros_like(old)
    state = sweep.seed
    targets = [int(target) for target in case.targets]
    low, high = targets[0], targets[-1]
    step = -1 if sweep.backward else 1
    for target in targets[::step]:

        def score(source: int, target=target) -> int:
            distance = slow_distance(case.features, case.place(target), case.place(source))
            return distance + sweep.penalty(case, target, source)

        best = int(old[target])
        for source in case.lent_to(target):
            if score(source) < score(best):
                best = source
        for shift in (step, step * width):
            beside = target - shift
            if not 0 <= beside < size:
                continue
            guide = int(new[beside] if low <= beside <= high else old[beside])
            source = guide + shift
            if guide >= 0 and 0 <= source < len(valid) and valid[source] and score(source) < score(best):
                best = source
        rings = []
        reach = sweep.radius
        while reach >= 1:
            rings.append(reach)
            reach //= 2
        for reach in rings + [None] * sweep.everywhere:
            state ^= (state << 13) & 0xFFFFFFFF
            state ^= state >> 17
            state ^= (state << 5) & 0xFFFFFFFF
            if reach is None:
                source = state * size >> 32
            else:
                down = ((state & 0xFFFF) * (2 * reach + 1) >> 16) - reach
                across = ((state >> 16) * (2 * reach + 1) >> 16) - reach
                source = best + down * width + across
            if 0 <= source < size and valid[source] and score(source) < score(best):
                best = source
        new[target] = best
        cost[target] = score(best) - sweep.penalty(case, target, best)
    return new, cost


@pytest.mark.parametrize("lent", [0, 2])
@pytest.mark.parametrize("seed", CASES)
def test_search_does_what_its_twin_does(seed, lent):
    case = make_case(seed, lent=lent)
    sweep = Sweep.of(case)
    old = case.random_field()
    cost = case.true_costs(old)
    expected, expected_cost = slow_search(case, sweep, old)
    field, found_cost = swept(case, sweep, old, cost)
    if lent:  # now some targets have lent sources, which are offered to their neighbours
        old, cost = field, found_cost
        expected, expected_cost = slow_search(case, sweep, old)
        field, found_cost = swept(case, sweep, old, cost)
    assert np.array_equal(field, expected)
    assert np.array_equal(found_cost[case.targets], expected_cost[case.targets])


@pytest.mark.parametrize("seed", CASES)
@pytest.mark.parametrize("strips", [1, 3])
def test_search_never_makes_a_match_worse_and_tells_its_true_distance(seed, strips):
    case = make_case(seed)
    old = case.random_field()
    stale = case.rng.integers(0, 1000, old.size).astype(np.int32)  # from a picture painted since
    sweep = Sweep.of(case, rescore=True)
    before = old.copy()
    field, cost = swept(case, sweep, old, stale, strips)
    assert np.array_equal(old, before)
    assert case.valid.ravel()[field[case.targets]].all()
    others = np.ones(old.size, bool)
    others[case.targets] = False
    assert (field[others] == -1).all()
    assert np.array_equal(cost[others], stale[others])
    assert np.array_equal(cost[case.targets], case.true_costs(field)[case.targets])

    def scores(of: np.ndarray) -> np.ndarray:
        penalties = [sweep.penalty(case, int(target), int(of[target])) for target in case.targets]
        return case.true_costs(of)[case.targets] + penalties

    assert (scores(field) <= scores(old)).all()


@pytest.mark.parametrize("seed", CASES)
def test_strips_give_the_same_result_in_whatever_order_threads_run_them(seed):
    case = make_case(seed, side=24)
    old = case.random_field()
    sweep = Sweep.of(case)
    cost = case.true_costs(old)
    forth = swept(case, sweep, old, cost, strips=4)
    back = swept(case, sweep, old, cost, strips=4, reverse=True)
    assert np.array_equal(forth[0], back[0])
    assert np.array_equal(forth[1], back[1])


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_many_sweeps_find_the_nearest_patches_there_are(seed):
    case = make_case(seed, side=16)
    no_usage = np.zeros(case.height * case.width + 1, np.int32)
    field = case.random_field()
    cost = case.true_costs(field)
    for turn in range(60):
        sweep = Sweep.of(
            case, usage=no_usage, run_shift=0, away=0, radius=16, everywhere=6, backward=bool(turn % 2), rescore=False
        )
        field, cost = swept(case, sweep, field, cost)
    nearest = [
        min(slow_distance(case.features, case.place(target), case.place(source)) for source in case.sources)
        for target in case.targets
    ]
    assert (cost[case.targets] >= nearest).all()
    assert np.mean(cost[case.targets] == nearest) > 0.95


@pytest.mark.parametrize("seed", range(10))
def test_foreignness_is_the_distance_to_the_nearest_example(seed):
    case = make_case(seed)
    examples = case.rng.choice(case.sources, min(5, len(case.sources)), replace=False)
    found = np.full(case.height * case.width, -5, np.int32)
    half = found.size // 2
    for low, high in ((0, half), (half, found.size)):
        kernels.foreignness(case.features.ravel(), case.width, case.valid.ravel(), examples, low, high, found)
    for index in range(found.size):
        expected = 0
        if case.valid.ravel()[index]:
            expected = min(slow_distance(case.features, case.place(index), case.place(one)) for one in examples)
        assert found[index] == expected


# -- votes -----------------------------------------------------------------------------------------------------------


def random_depth(case: Case) -> np.ndarray:
    depth = np.zeros((case.height, case.width), np.int16)
    kernels.rim_distance(case.hole, depth)
    return depth


def patches_over(case: Case, field: np.ndarray, pixel: int):
    """(centre, where its source has this pixel) of each patch that lies over it."""
    y, x = case.place(pixel)
    for cy in range(max(0, y - RADIUS), min(case.height, y + RADIUS + 1)):
        for cx in range(max(0, x - RADIUS), min(case.width, x + RADIUS + 1)):
            source = field[cy * case.width + cx]
            if source >= 0:
                sy, sx = case.place(source)
                yield (cy, cx), (sy + y - cy, sx + x - cx)


@pytest.mark.parametrize("seed", CASES)
@pytest.mark.parametrize("sharpness", [0.0, 1e-5, 1e-3])
def test_vote_is_the_weighted_mean_of_the_patches_over_a_pixel(seed, sharpness):
    case = make_case(seed)
    field = case.random_field()
    cost = case.true_costs(field)
    depth = random_depth(case)
    image = case.rng.uniform(-1, 1, (case.height * case.width, int(case.rng.integers(1, 5)))).astype(np.float32)
    colours = image.shape[1] - seed % 2  # with or without a texture channel
    weights = case.rng.uniform(0.1, 1, kernels.DEPTH_TABLE).astype(np.float32)
    # known pixels beside the hole are voted on as well
    ring = [pixel for pixel in range(field.size) if next(patches_over(case, field, pixel), None)]
    pixels = np.array(ring, np.int32)
    out = np.full((len(pixels), image.shape[1]), np.nan, np.float32)
    half = len(pixels) // 2
    for low, high in ((0, half), (half, len(pixels))):
        kernels.vote(
            image=image,
            colours=colours,
            width=case.width,
            pixels=pixels,
            low=low,
            high=high,
            field=field,
            cost=cost,
            depth=depth.ravel(),
            weights=weights,
            sharpness=np.float32(sharpness),
            out=out,
        )
    picture = image.reshape(case.height, case.width, -1)
    assert set(case.pixels) <= set(pixels)  # no pixel of the hole goes without a vote
    for k, pixel in enumerate(pixels):
        over = list(patches_over(case, field, pixel))
        costs = np.array([int(cost[cy * case.width + cx]) for (cy, cx), _ in over])
        inward = np.array([int(depth[centre]) - int(depth.ravel()[pixel]) for centre, _ in over])
        smooth = 1.0
        if image.shape[1] > colours and field[pixel] >= 0:
            smooth = min(1.0, (image[field[pixel], colours] + 1) / kernels.ROUGH)
        further = np.floor((costs - costs.min()).astype(np.float32) * np.float32(sharpness * smooth) * 32)
        fall = np.where(further < 12 * 32, np.exp(-(further + 0.5) / 32), 0) if sharpness * smooth > 0 else 1.0
        share = weights[inward + kernels.DEPTH_TABLE // 2] * fall
        expected = np.average([picture[place] for _, place in over], axis=0, weights=share)
        assert out[k] == pytest.approx(expected, abs=2e-4)


def test_a_vote_without_a_patch_is_nan():
    case = make_case(0)
    size = case.height * case.width
    out = np.zeros((1, 3), np.float32)
    kernels.vote(
        image=np.ones((size, 3), np.float32),
        colours=3,
        width=case.width,
        pixels=case.pixels[:1],
        low=0,
        high=1,
        field=np.full(size, -1, np.int32),
        cost=np.zeros(size, np.int32),
        depth=np.zeros(size, np.int16),
        weights=np.ones(kernels.DEPTH_TABLE, np.float32),
        sharpness=np.float32(0),
        out=out,
    )
    assert np.isnan(out).all()


@pytest.mark.parametrize("seed", CASES)
def test_the_sharpest_source_is_that_of_the_cheapest_patch(seed):
    case = make_case(seed)
    field = case.random_field()
    cost = case.true_costs(field)
    depth = random_depth(case)
    slope = 256.0 * int(case.rng.integers(0, 5))  # exact in float32, so that ties stay ties
    label = np.full(len(case.pixels), -7, np.int32)
    kernels.sharpest_source(
        case.width, case.pixels, 0, len(label), field, cost, depth.ravel(), np.float32(slope), label
    )
    for k, pixel in enumerate(case.pixels):
        prices = {}
        for (cy, cx), place in patches_over(case, field, pixel):
            price = int(cost[cy * case.width + cx]) + slope * (int(depth[cy, cx]) - int(depth.ravel()[pixel]))
            prices.setdefault(price, place)
        assert case.place(label[k]) == prices[min(prices)]


# -- fields and depth ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", CASES)
def test_a_finer_field_has_the_coarser_ones_offsets_doubled(seed):
    fine = make_case(seed, side=24)
    rng = fine.rng
    height, width = (fine.height + 1) // 2, (fine.width + 1) // 2
    coarse = np.where(rng.random((height, width)) < 0.7, rng.integers(0, height * width, (height, width)), -1)
    fallback = rng.choice(fine.sources, len(fine.targets))
    out = np.full(fine.height * fine.width, -1, np.int32)
    kernels.upsample_field(
        coarse.astype(np.int32).ravel(),
        width,
        coarse.size,
        fine.targets,
        fine.width,
        fine.height * fine.width,
        fine.valid.ravel(),
        fallback,
        out,
    )
    doubled = 0
    for k, target in enumerate(fine.targets):
        y, x = fine.place(target)
        expected = fine.place(fallback[k])
        parents = [(y // 2, x // 2)] + [(y // 2 + dy, x // 2 + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        for py, px in parents:
            if not (0 <= py < height and 0 <= px < width) or coarse[py, px] < 0:
                continue
            sy, sx = divmod(int(coarse[py, px]), width)
            row, column = y + 2 * (sy - py), x + 2 * (sx - px)
            if 0 <= row < fine.height and 0 <= column < fine.width and fine.valid[row, column]:
                expected = row, column
                doubled += 1
                break
        assert fine.place(out[target]) == expected
    assert fine.valid.ravel()[out[fine.targets]].all()
    assert (out[~fine.wanted.ravel()] == -1).all()


@pytest.mark.parametrize("seed", CASES)
def test_rim_distance_is_the_shortest_way_out_of_straight_and_slanted_steps(seed):
    case = make_case(seed)
    depth = random_depth(case)
    unit = kernels.DEPTH_UNIT
    known = np.argwhere(~case.hole)
    for y in range(case.height):
        for x in range(case.width):
            away = np.abs(known - (y, x))
            ways = unit * (away.max(axis=1) - away.min(axis=1)) + (unit * 7 // 5) * away.min(axis=1)
            assert depth[y, x] == ways.min()
            # within six percent of the straight line, and an eighth for rounding
            true = np.hypot(*away.T).min()
            assert abs(depth[y, x] / unit - true) <= 0.06 * true + 1 / 8


def test_rim_distance_of_a_hole_without_rim_is_far_and_does_not_overflow():
    depth = np.zeros((4, 5), np.int16)
    kernels.rim_distance(np.ones((4, 5), bool), depth)
    assert (depth > 1000 * kernels.DEPTH_UNIT).all()


def test_depths_within_a_patch_stay_inside_the_table_of_weights():
    depth = np.zeros((60, 70), np.int16)
    kernels.rim_distance(np.pad(np.ones((40, 50), bool), 10), depth)
    far = [
        abs(
            depth[RADIUS:-RADIUS, RADIUS:-RADIUS]
            - depth[RADIUS + dy : 60 - RADIUS + dy, RADIUS + dx : 70 - RADIUS + dx]
        )
        for dy in range(-RADIUS, RADIUS + 1)
        for dx in range(-RADIUS, RADIUS + 1)
    ]
    assert np.max(far) < kernels.DEPTH_TABLE // 2


# -- features --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [1, 3, 4])
@pytest.mark.parametrize("with_texture", [True, False])
def test_paint_writes_rounded_bytes_and_grey_three_times(colours, with_texture):
    rng = np.random.default_rng(colours)
    columns = min(colours + with_texture, kernels.CHANNELS)
    levels = rng.integers(-40, 300, (30, columns))
    values = ((levels + rng.uniform(-0.4, 0.4, levels.shape)) / 127.5 - 1).astype(np.float32)
    pixels = rng.permutation(50)[:30].astype(np.int32)
    features = np.full(50 * kernels.CHANNELS, 7, np.uint8)
    kernels.paint(features, pixels, values, colours, 5, 25)
    expected = np.full((50, kernels.CHANNELS), 7)
    for k in range(5, 25):
        told = np.clip(levels[k], 0, 255).tolist()
        colour, rest = told[:colours], told[colours:]
        row = (colour * 3 if colours == 1 else colour) + (rest or [0])
        expected[pixels[k]] = row[: kernels.CHANNELS]
    assert np.array_equal(features.reshape(50, -1), expected)


@pytest.mark.parametrize("seed", range(15))
def test_gradient_energy_counts_pairs_of_known_neighbours(seed):
    case = make_case(seed)
    grey = case.rng.uniform(-1, 1, case.hole.shape).astype(np.float32)
    energy, count = np.full_like(grey, np.nan), np.full_like(grey, np.nan)
    middle = case.height // 2
    for low, high in ((0, middle), (middle, case.height)):
        kernels.gradient_energy(grey, case.hole, low, high, energy, count)
    for y in range(case.height):
        for x in range(case.width):
            beside = [(y, x + 1), (y + 1, x)]
            steps = [
                abs(float(grey[v, u]) - float(grey[y, x]))
                for v, u in beside
                if v < case.height and u < case.width and not case.hole[v, u] and not case.hole[y, x]
            ]
            assert count[y, x] == len(steps)
            assert energy[y, x] == pytest.approx(sum(steps), abs=1e-5)


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("reach", [0, 1, 3])
def test_box_ratio_divides_the_sums_around_a_pixel(seed, reach):
    case = make_case(seed)
    energy = case.rng.uniform(0, 1, case.hole.shape).astype(np.float32)
    count = (~case.hole * case.rng.integers(0, 3, case.hole.shape)).astype(np.float32)
    ratio = np.full_like(energy, np.nan)
    middle = case.height // 2
    for low, high in ((0, middle), (middle, case.height)):
        kernels.box_ratio(energy, count, reach, low, high, ratio)
    for y in range(case.height):
        for x in range(case.width):
            around = (
                slice(max(0, y - reach), y + reach + 1),
                slice(max(0, x - reach), x + reach + 1),
            )
            weight = count[around].sum()
            expected = energy[around].sum() / weight if weight else -1
            assert ratio[y, x] == pytest.approx(expected, rel=1e-4)


# -- seams -----------------------------------------------------------------------------------------------------------


def slow_seam_steps(
    case: Case,
    image: np.ndarray,
    values: np.ndarray,
    colours: int,
    label: np.ndarray,
    plainness: np.ndarray,
    largest: np.ndarray,
    tolerance: float,
    nothing: np.ndarray,
    first_lent: int,
) -> dict[Place, np.ndarray]:
    """Wanted minus present differences to the four neighbours, summed for each of the hole's places: (C,) each."""
    picture = image.reshape(case.height, case.width, -1)[:, :, :colours].astype(float)
    painted = picture.copy()
    painted[case.hole] = values[:, :colours]
    came_from = {case.place(pixel): case.place(source) for pixel, source in zip(case.pixels, label, strict=True)}
    plain = {case.place(pixel): value for pixel, value in zip(case.pixels, plainness, strict=True)}

    def known(place: Place) -> bool:
        inside = 0 <= place[0] < case.height and 0 <= place[1] < case.width
        return inside and not case.hole[place] and not nothing[place]

    def usual(source: Place) -> float:
        return float(largest[source[0] // kernels.STEP_BLOCK, source[1] // kernels.STEP_BLOCK])

    sums = {here: np.zeros(colours) for here in came_from}
    for here, source in came_from.items():
        for dy, dx in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            there = here[0] + dy, here[1] + dx
            if not (0 <= there[0] < case.height and 0 <= there[1] < case.width) or nothing[there]:
                continue
            beyond = source[0] + dy, source[1] + dx
            shown = [picture[beyond] - picture[source]] if known(beyond) else []
            if there in came_from:
                if came_from[there] == beyond:
                    continue  # one piece
                theirs = came_from[there]
                back = theirs[0] - dy, theirs[1] - dx
                if known(back):
                    shown.append(picture[theirs] - picture[back])
            else:
                theirs = there
            if not shown:
                continue
            most = max((step**2).sum() for step in shown)
            wanted = np.mean([step for step in shown if (step**2).sum() == most], axis=0)
            missing = wanted - (painted[there] - painted[here])
            step = min(np.abs(missing).max(), max(usual(source), usual(theirs)))
            step *= min(plain[here], plain.get(there, 1))
            if all(y * case.width + x >= first_lent for y, x in (source, theirs)):
                step = 0.0  # both are lent
            sums[here] += missing / (1 + (step / tolerance) ** 4)
    return sums


@pytest.mark.parametrize("seed", CASES)
@pytest.mark.parametrize(("colours", "channels"), [(3, 4), (1, 2), (4, 4)])
def test_seam_steps_are_what_the_sources_show_and_the_painting_lacks(seed, colours, channels):
    case = make_case(seed)
    image = case.smooth(channels)
    if seed % 2:
        image = np.round(image * 8) / 8  # so that many differences are equally great
    image[case.pixels] = 0
    nothing = ~case.hole & (case.rng.random(case.hole.shape) < (0.2 if seed % 3 == 0 else 0))
    index = np.where(nothing, kernels.NOTHING, kernels.KNOWN).astype(np.int32).ravel()
    index[case.pixels] = np.arange(len(case.pixels))
    known = np.flatnonzero(~(case.hole | nothing))
    # runs of neighbours with one offset, as copied pieces are, from anywhere in the image, its border too
    label = case.rng.choice(known, len(case.pixels)).astype(np.int32)
    for k in range(1, len(label)):
        follows = label[k - 1] + case.pixels[k] - case.pixels[k - 1]
        if case.rng.random() < 0.7 and follows in set(known.tolist()):
            label[k] = follows
    values = image[label] + case.rng.normal(0, 0.02, (len(label), channels)).astype(np.float32)
    box = tighten(case.hole, Box(0, 0, case.width, case.height))
    steps = np.full((len(label), colours), np.nan, np.float32)
    blocks = [-(-side // kernels.STEP_BLOCK) for side in (case.height, case.width)]
    largest = case.rng.choice([0.02, 0.1, 0.5], blocks).astype(np.float32)
    plainness = case.rng.choice([0.01, 0.5, 1], len(label)).astype(np.float32)
    first_lent = case.hole.size // int(case.rng.integers(1, 3))
    middle = box.y + box.height // 2
    for low, high in ((box.y, middle), (middle, box.y + box.height)):
        kernels.seam_steps(
            image=image,
            values=values,
            colours=colours,
            width=case.width,
            first_lent=first_lent,
            hole_index=index,
            label=label,
            plainness=plainness,
            largest=largest,
            columns=(box.x, box.x + box.width),
            low=low,
            high=high,
            tolerance=np.float32(0.2),
            steps=steps,
        )
    expected = slow_seam_steps(case, image, values, colours, label, plainness, largest, 0.2, nothing, first_lent)
    assert np.allclose(steps, [expected[case.place(pixel)] for pixel in case.pixels], atol=1e-4)


@pytest.mark.parametrize("seed", CASES)
def test_the_largest_steps_of_a_block_are_between_its_known_pixels_and_the_known_ones_beside_them(seed):
    case = make_case(seed)
    image = case.smooth(4)
    block, picture = kernels.STEP_BLOCK, image.reshape(case.height, case.width, 4)
    expected = np.zeros([-(-side // block) for side in (case.height, case.width)])
    for y, x in np.argwhere(~case.hole):
        for there in ((y, x + 1), (y + 1, x)):
            if there[0] < case.height and there[1] < case.width and not case.hole[there]:
                step = np.abs(picture[there][:3] - picture[y, x][:3]).max()
                expected[y // block, x // block] = max(expected[y // block, x // block], step)
    found = np.full(expected.shape, np.nan, np.float32)
    for low, high in ((0, 1), (1, len(found))):
        kernels.largest_steps(image, 3, case.hole, low, high, found)
    assert np.allclose(found, expected, atol=1e-6)


@dataclass(frozen=True)
class Springs:
    """Cells tied to 0 and to each other, some of them in no hole."""

    anchor: np.ndarray
    right: np.ndarray
    down: np.ndarray

    @classmethod
    def of(cls, case: Case) -> Springs:
        inside = case.hole
        strength = case.rng.uniform(0.1, 2, (3, *inside.shape)).astype(np.float32)
        right, down = np.zeros_like(inside), np.zeros_like(inside)
        right[:, :-1] = inside[:, :-1] & inside[:, 1:]
        down[:-1] = inside[:-1] & inside[1:]
        return cls(strength[0] * inside, strength[1] * right, strength[2] * down)

    def around(self, y: int, x: int):
        """(strength, place) of a cell's ties to others."""
        height, width = self.anchor.shape
        ties = [
            (self.right[y, x], (y, x + 1)),
            (self.down[y, x], (y + 1, x)),
            (self.right[y, x - 1] if x else 0, (y, x - 1)),
            (self.down[y - 1, x] if y else 0, (y - 1, x)),
        ]
        return [(tie, (v, u)) for tie, (v, u) in ties if 0 <= v < height and 0 <= u < width]

    def imbalance(self, surface: np.ndarray, source: np.ndarray, y: int, x: int) -> np.ndarray:
        ties = sum(tie * (surface[y, x] - surface[place]) for tie, place in self.around(y, x))
        return self.anchor[y, x] * surface[y, x] + ties + source[y, x]


@pytest.mark.parametrize("seed", range(15))
@pytest.mark.parametrize("parity", [0, 1])
def test_relax_balances_every_other_cell_of_the_hole(seed, parity):
    case = make_case(seed)
    springs = Springs.of(case)
    shape = (case.height, case.width, int(case.rng.integers(1, 5)))
    surface = np.where(case.hole[:, :, None], case.rng.normal(size=shape), 0).astype(np.float32)
    source = case.rng.normal(size=shape).astype(np.float32)
    before = surface.copy()
    middle = case.height // 2
    for low, high in ((middle, case.height), (0, middle)):
        kernels.balance(surface, source, springs.anchor, springs.right, springs.down, low, high, parity, surface)
    y, x = np.mgrid[: case.height, : case.width]
    turn = case.hole & ((y + x) % 2 == parity)
    assert np.array_equal(surface[~turn], before[~turn])
    for place in np.argwhere(turn):
        # its neighbours are of the other parity, so what balances it then still does
        assert springs.imbalance(surface, source, *place) == pytest.approx(0, abs=1e-5)


@pytest.mark.parametrize("seed", range(15))
def test_imbalance_is_the_left_side_of_the_equation(seed):
    case = make_case(seed)
    springs = Springs.of(case)
    surface, source = case.rng.normal(size=(2, case.height, case.width, 2)).astype(np.float32)
    surface[~case.hole] = 0
    rest = np.full_like(surface, np.nan)
    middle = case.height // 2
    for low, high in ((0, middle), (middle, case.height)):
        kernels.balance(surface, source, springs.anchor, springs.right, springs.down, low, high, -1, rest)
    assert not rest[~case.hole].any()
    for place in np.argwhere(case.hole):
        assert rest[tuple(place)] == pytest.approx(springs.imbalance(surface, source, *place), abs=1e-5)


SIZES = [(1, 1), (1, 4), (2, 3), (5, 5), (6, 9), (8, 8)]


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_spread_adds_the_bilinear_enlargement_inside_the_hole(size):
    rng = np.random.default_rng(size)
    coarse = rng.normal(size=((size[0] + 1) // 2, (size[1] + 1) // 2, 2)).astype(np.float32)
    fine = rng.normal(size=(*size, 2)).astype(np.float32)
    anchor = (rng.random(size) < 0.7).astype(np.float32)
    expected = fine + double(coarse, *size) * anchor[:, :, None]
    middle = size[0] // 2
    for low, high in ((0, middle), (middle, size[0])):
        kernels.spread(coarse, anchor, low, high, fine)
    assert np.allclose(fine, expected, atol=1e-6)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_gather_is_the_transpose_of_the_enlargement(size):
    rng = np.random.default_rng(size)
    fine = rng.normal(size=(*size, 1)).astype(np.float32)
    rows, columns = (size[0] + 1) // 2, (size[1] + 1) // 2
    coarse = np.full((rows, columns, 1), np.nan, np.float32)
    middle = rows // 2
    for low, high in ((0, middle), (middle, rows)):
        kernels.gather(fine, low, high, coarse)
    for y in range(rows):
        for x in range(columns):
            one = np.zeros((rows, columns, 1), np.float32)
            one[y, x] = 1
            assert coarse[y, x, 0] == pytest.approx(float((double(one, *size) * fine).sum()), abs=1e-5)


@pytest.mark.parametrize(("wish", "level"), [(None, 2), ("1", 1)])
def test_kernels_are_compiled_at_the_second_level_unless_somebody_wishes_another(wish, level):
    told = {name: value for name, value in os.environ.items() if name != "NUMBA_OPT"}
    told |= {"NUMBA_OPT": wish} if wish else {}
    program = "import eraser.engines.patch_kernels; from numba import config; print(int(config.OPT))"
    shown = subprocess.run([sys.executable, "-c", program], env=told, capture_output=True, text=True, check=True)
    assert int(shown.stdout) == level
