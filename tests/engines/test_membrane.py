"""The membrane that levels seams against a direct solution, and levelling on paintings whose right answer is known.

tests/engines/test_seams.py looks at whole pieces that are too bright.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, sparse
from scipy.sparse.linalg import spsolve

from eraser.engines.patch_levels import Level, Workers
from eraser.engines.seams import level_seams, membrane, meshes
from tests.engines.finest import WORKERS, level_of

PULL = 1 / 40**2


def direct(source: np.ndarray, hole: np.ndarray, pull: np.ndarray) -> np.ndarray:
    """(neighbours in the array + pull) u - (sum of u around) = -source in the hole, u = 0 on known pixels."""
    number = np.full(hole.shape, -1)
    number[hole] = np.arange(hole.sum())
    rows, columns, values = [], [], []
    for y, x in np.argwhere(hole):
        centre = float(pull[y, x])
        for v, u in ((y, x + 1), (y, x - 1), (y + 1, x), (y - 1, x)):
            if 0 <= v < hole.shape[0] and 0 <= u < hole.shape[1]:
                centre += 1
                if hole[v, u]:
                    rows.append(number[y, x])
                    columns.append(number[v, u])
                    values.append(-1.0)
        rows.append(number[y, x])
        columns.append(number[y, x])
        values.append(centre)
    matrix = sparse.csc_matrix((values, (rows, columns)))
    surface = np.zeros(source.shape)
    for channel in range(source.shape[2]):
        surface[hole, channel] = spsolve(matrix, -source[hole, channel].astype(float))
    return surface


def even(hole: np.ndarray) -> np.ndarray:
    return np.full(hole.shape, PULL, np.float32)


def oval(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return ((y - height / 2 + 0.5) / height) ** 2 + ((x - width / 2 + 0.5) / width) ** 2 < 0.25


def box(height: int, width: int) -> np.ndarray:
    return np.ones((height, width), bool)


HOLES = {
    "one pixel": np.pad(box(1, 1), 1),
    "thin": np.pad(box(2, 70), 1),
    "box": np.pad(box(45, 60), 1),
    "oval": np.pad(oval(70, 51), 1),
    "ragged": np.pad(np.random.default_rng(0).random((50, 60)) < 0.97, 1),
    "two": np.pad(np.hstack([oval(40, 30), np.zeros((40, 9), bool), box(40, 20)]), 1),
    "at the left border": np.pad(box(50, 40), ((1, 1), (0, 1))),
    "in a corner": np.pad(oval(60, 60)[30:, 30:], ((0, 1), (0, 1))),
    "across the image": np.pad(box(21, 80), ((1, 1), (0, 0))),
    "all but a column": np.pad(box(33, 47), ((0, 0), (0, 1))),
}


def sources(hole: np.ndarray) -> np.ndarray:
    """(H, W, 4): a step down the middle, noise in pairs, noise, and a step all along the rim."""
    rng = np.random.default_rng(1)
    height, width = hole.shape
    source = np.zeros((height, width, 4), np.float32)
    source[:, width // 2, 0], source[:, width // 2 - 1, 0] = 0.1, -0.1
    source[:, :, 1] = np.diff(rng.normal(size=(height, width + 1)), axis=1)
    source[:, :, 2] = rng.normal(size=(height, width))
    around = np.pad(hole, 1, mode="edge")
    source[:, :, 3] = 0.1 * sum(
        ~part for part in (around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:])
    )
    return source * hole[:, :, None]


@pytest.mark.parametrize("hole", HOLES.values(), ids=HOLES)
def test_the_membrane_is_within_six_percent_of_the_direct_solution(hole):
    source = sources(hole)
    surface = membrane(source, meshes(hole, even(hole)), WORKERS)
    expected = direct(source, hole, even(hole))
    assert not surface[~hole].any()
    # the step along the whole rim is the hardest, steps and noise inside are found nearly exactly
    for channel, tolerance in enumerate((0.02, 0.02, 0.02, 0.06)):
        wrong = np.abs(surface[:, :, channel] - expected[:, :, channel]).max()
        assert wrong <= tolerance * np.abs(expected[:, :, channel]).max() + 1e-7


def test_the_membrane_is_held_more_firmly_in_one_half_than_in_the_other():
    hole = HOLES["oval"]
    pull = np.full(hole.shape, 1 / 60**2, np.float32)
    pull[:, 25:] = 1 / 10**2
    surface, expected = membrane(sources(hole), meshes(hole, pull), WORKERS), direct(sources(hole), hole, pull)
    assert np.abs(surface - expected).max() <= 0.06 * np.abs(expected).max()


def test_a_membrane_without_sources_is_flat():
    hole = HOLES["ragged"]
    assert not membrane(np.zeros((*hole.shape, 3), np.float32), meshes(hole, even(hole)), WORKERS).any()


def test_the_membrane_does_not_depend_on_the_number_of_threads():
    hole = np.pad(oval(300, 200), 1)
    source = sources(hole)
    scales = meshes(hole, even(hole))
    assert membrane(source, scales, Workers(3)).tobytes() == membrane(source, scales, WORKERS).tobytes()


def from_anywhere(level: Level, rng: np.random.Generator, side: int, rows: int, columns: int) -> np.ndarray:
    """(N,) sources: blocks of this side from anywhere within the first rows and columns."""
    y, x = np.divmod(level.pixels, level.width)
    block = (y // side) * 20 + x // side
    from_rows = rng.integers(2, rows - side + 1, 400)[block] + y % side
    from_columns = rng.integers(2, columns - side + 1, 400)[block] + x % side
    label: np.ndarray = (from_rows * level.width + from_columns).astype(np.int32)
    assert level.valid[label].all()
    return label


def copied(level: Level, label: np.ndarray) -> np.ndarray:
    return level.image[label].copy()


def levelled(level: Level, label: np.ndarray, values: np.ndarray) -> np.ndarray:
    """(H, W, C) what level_seams adds."""
    change = np.zeros((*level.hole.shape, level.colours), np.float32)
    after = values.copy()
    for _ in level_seams(level, label, after, WORKERS, tolerance=0.2):
        pass
    change[level.hole] = (after - values)[:, : level.colours]
    return change


def two_pieces(step: float) -> tuple[Level, np.ndarray, np.ndarray]:
    """A grey picture, `step` darker and lighter in two corners, and a hole whose halves were copied from these."""
    picture = np.zeros((120, 240, 3), np.float32)
    picture[:, :80], picture[:, 160:] = -step / 2, step / 2
    hole = np.zeros((120, 240), bool)
    hole[40:80, 100:140] = True
    level = level_of(picture, hole)
    left = level.pixels % level.width < 120
    label = (level.pixels + np.where(left, -70, 70)).astype(np.int32)
    return level, label, copied(level, label)


def test_a_small_step_between_two_copied_pieces_vanishes():
    level, label, values = two_pieces(0.05)
    painted = np.zeros((120, 240), np.float32)
    painted[level.hole] = values[:, 0]
    assert np.abs(np.diff(painted, axis=1)).max() == pytest.approx(0.05)
    painted += levelled(level, label, values)[:, :, 0]
    assert np.abs(painted[:, 100:140]).max() < 0.005  # the picture around is 0
    assert np.abs(np.diff(painted[40:80, 98:142], axis=1)).max() < 0.003


def test_pieces_that_fit_are_not_touched():
    """A picture of period 20 whose hole was copied from 60 pixels away."""
    y, x = np.mgrid[:120, :200]
    pattern = np.random.default_rng(3).uniform(-1, 1, (20, 20, 3)).astype(np.float32)
    picture = pattern[y % 20, x % 20]
    hole = np.zeros((120, 200), bool)
    hole[30:80, 80:120] = True
    level = level_of(picture, hole)
    label = (level.pixels - 60).astype(np.int32)
    assert np.abs(levelled(level, label, copied(level, label))).max() < 1e-5


@pytest.mark.parametrize("seed", range(3))
def test_grain_that_does_not_fit_leaves_no_tint(seed):
    """Blocks from anywhere in a grainy sky: steps along every edge, but on the whole none of them has a side."""
    rng = np.random.default_rng(seed)
    grain = 0.03
    picture = rng.normal(0, grain, (140, 180, 3)).astype(np.float32)
    hole = np.pad(oval(80, 100), ((30, 30), (40, 40)))
    level = level_of(picture, hole)
    label = from_anywhere(level, rng, 12, rows=25, columns=171)
    change = levelled(level, label, copied(level, label))
    broad = ndimage.uniform_filter(change, (15, 15, 0))

    assert np.abs(change[hole].mean(axis=0)).max() < 0.25 * grain
    assert np.abs(broad).max() < grain


def test_rough_texture_stays_as_rough_and_gets_no_broad_tint():
    """Blocks from anywhere in noise: large steps along every edge, all of them chance."""
    rng = np.random.default_rng(4)
    rough = rng.uniform(-1, 1, (140, 180, 3)).astype(np.float32)
    hole = np.zeros((140, 180), bool)
    hole[40:100, 60:120] = True
    level = level_of(rough, hole, texture=12)
    label = from_anywhere(level, rng, 12, rows=25, columns=175)
    values = copied(level, label)
    change = levelled(level, label, values)
    painted = np.zeros((140, 180))
    painted[hole] = values[:, 0]
    after = painted + change[:, :, 0]

    def roughness(picture: np.ndarray) -> float:
        return float(np.abs(np.diff(picture, axis=1))[40:100, 60:119].mean())

    assert roughness(after) == pytest.approx(roughness(painted), rel=0.05)
    assert np.std(after[hole]) == pytest.approx(np.std(painted[hole]), rel=0.1)
    assert np.abs(ndimage.uniform_filter(change, (15, 15, 0))).max() < 0.38 * rough.std()
