"""What fits its surroundings is judged better than what does not."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.judge import BESIDE, judge, misfit, seam

HOLE = np.zeros((90, 110), bool)
HOLE[30:60, 40:75] = True


def striped(phase: float = 0.0) -> np.ndarray:
    x = np.arange(110, dtype=np.float32)
    wave = 0.5 * np.sin(x / 2 + phase)
    grain = 0.05 * np.random.default_rng(1).standard_normal((90, 110, 3), np.float32)
    return wave[None, :, None] + grain


def refilled(filling: np.ndarray | float) -> float:
    return misfit(np.where(HOLE[:, :, None], filling, striped()).astype(np.float32), HOLE)


def test_the_truth_fits_better_than_anything_else():
    fillings = {
        "truth": striped(),
        "another phase": striped(1.0),
        "flat": 0.0,
        "turned": np.pad(striped()[:, :90].swapaxes(0, 1), ((0, 0), (0, 20), (0, 0)), mode="wrap"),
        "darker": striped() - 0.3,
        "blurred": 0.3 * striped(),
    }
    found = {name: refilled(filling) for name, filling in fillings.items()}
    fitting = {found.pop("truth"), found.pop("another phase")}
    assert max(fitting) < 0.7 * min(found.values())


def test_a_larger_error_fits_worse():
    found = [refilled(striped() + error) for error in (0.0, 0.1, 0.2, 0.4)]
    assert found == sorted(found)


def test_it_grows_in_proportion_to_a_difference_in_brightness():
    pixels = np.where(HOLE[:, :, None], np.float32(0.5), np.float32(0.0))
    alone = misfit(pixels, HOLE)
    assert misfit(2 * pixels, HOLE) == pytest.approx(2 * alone, rel=1e-5)


def test_too_little_to_compare_is_said_and_not_called_a_fit():
    for hole in (np.zeros((40, 40), bool), np.ones((40, 40), bool)):
        assert misfit(np.zeros((40, 40, 3), np.float32), hole) is None
        assert seam(np.zeros((40, 40, 3), np.float32), hole) is None
    dot = np.zeros((40, 40), bool)
    dot[20, 20] = True
    assert judge(np.zeros((40, 40, 3), np.float32), dot).words == "too small to judge"
    assert judge(np.zeros((40, 40, 3), np.float32), dot).facts == {"said": "too small to judge"}


def slow_seam(pixels: np.ndarray, hole: np.ndarray) -> float:
    """Pair by pair."""
    height, width = hole.shape
    found: dict[str, list[float]] = {"across": [], "in": [], "out": []}
    for y in range(height):
        for x in range(width):
            for v, u in ((y + 1, x), (y, x + 1)):
                if v >= height or u >= width:
                    continue
                step = float(np.abs(pixels[y, x] - pixels[v, u]).mean())
                near = []
                for row, column in ((y, x), (v, u)):
                    part = hole[max(0, row - BESIDE) : row + BESIDE + 1, max(0, column - BESIDE) : column + BESIDE + 1]
                    near.append(part.any() and not part.all())
                if hole[y, x] != hole[v, u]:
                    found["across"].append(step)
                elif all(near):
                    found["in" if hole[y, x] else "out"].append(step)
    return float(np.mean(found["across"]) / max(np.mean(found["in"]), np.mean(found["out"])))


def test_a_seam_is_that_of_a_pair_by_pair_count():
    rng = np.random.default_rng(3)
    pixels = rng.normal(0, 0.2, (30, 34, 3)).astype(np.float32)
    hole = np.zeros((30, 34), bool)
    hole[8:20, 6:19] = True
    hole[15:26, 15:30] = True
    assert seam(pixels, hole) == pytest.approx(slow_seam(pixels, hole), rel=1e-5)
    assert seam(np.where(hole[:, :, None], pixels + 0.4, pixels), hole) == pytest.approx(
        slow_seam(np.where(hole[:, :, None], pixels + 0.4, pixels), hole), rel=1e-5
    )


def test_a_step_at_the_rim_is_a_seam_and_a_rougher_filling_is_none():
    plain = striped()
    assert not judge(plain, HOLE).has_seam
    assert judge(np.where(HOLE[:, :, None], plain + 0.5, plain), HOLE).has_seam
    rough = np.random.default_rng(0).normal(0, 0.5, plain.shape).astype(np.float32)
    assert not judge(np.where(HOLE[:, :, None], rough, plain), HOLE).has_seam


def test_what_shows_the_erased_again_ranks_behind_what_only_fits_badly():
    erased = np.where(HOLE[:, :, None], 0.9, striped()).astype(np.float32)
    again = judge(erased, HOLE, erased)
    rows, columns = np.indices(HOLE.shape)
    checkered = np.where((rows // 2 + columns // 2) % 2, 0.9, -0.9)[:, :, None]
    other = judge(np.where(HOLE[:, :, None], checkered, striped()).astype(np.float32), HOLE, erased)
    clean = judge(striped(), HOLE, erased)
    assert again.redrawn
    assert not other.redrawn
    assert sorted([again, other, clean], key=lambda verdict: verdict.rank) == [clean, other, again]
    assert "there again" in again.facts["said"]
    assert clean.words == "nothing against it"
