"""A filling that shows its object again is told from one that does not, whatever was done to the object."""

from __future__ import annotations

import numpy as np
import pytest

from eraser.resemblance import FEWEST, MOST, _nearest, likeness

SIDE = 120
Y, X = np.mgrid[:SIDE, :SIDE]
OBJECT = np.hypot(X - 60, (Y - 62) * 1.3) < 20
HOLE = np.hypot(X - 60, (Y - 62) * 1.3) < 24


def ground(seed: int = 0) -> np.ndarray:
    wave = 0.3 * np.sin(X / 3 + Y / 9)[:, :, None] * (1.0, 0.8, 0.5)
    return (wave + np.random.default_rng(seed).normal(0, 0.06, (SIDE, SIDE, 3))).astype(np.float32)


def with_object(colour: tuple[float, float, float] = (0.8, -0.2, -0.6), move: int = 0) -> np.ndarray:
    body = np.array(colour) + 0.25 * np.sin((X + 2 * Y) / 4)[:, :, None]
    there = np.roll(OBJECT, move, 1)[:, :, None]
    return np.where(there, body, ground()).astype(np.float32)


def like(filling: np.ndarray) -> float | None:
    return likeness(np.where(HOLE[:, :, None], filling, ground()), HOLE, with_object())


def test_the_object_itself_is_wholly_like_it_and_the_ground_is_not():
    assert like(with_object()) == 1
    assert like(ground()) < 0.1
    assert like(ground(5)) < 0.1


@pytest.mark.parametrize(
    "filling",
    [with_object(move=5), with_object((-0.6, 0.8, -0.2)), (with_object() + np.roll(with_object(), 1, 0)) / 2],
    ids=["moved", "recoloured", "blurred"],
)
def test_an_object_that_is_changed_a_little_is_found_again(filling):
    assert like(filling) > 0.6


def test_something_else_that_does_not_belong_is_not_the_object():
    checkered = np.where((X // 2 + Y // 2) % 2, 0.9, -0.9)[:, :, None] + np.zeros((1, 1, 3))
    assert like(checkered.astype(np.float32)) < 0.3


def test_an_object_that_looks_like_its_surroundings_is_not_judged():
    assert likeness(ground(), HOLE, np.where(HOLE[:, :, None], np.roll(ground(), 19, 1), ground())) is None


def test_holes_of_too_few_patches_are_not_judged():
    small = np.zeros((SIDE, SIDE), bool)
    small[60:65, 60:65] = True
    assert small.sum() < FEWEST
    assert likeness(ground(), small, with_object()) is None
    assert likeness(ground(), np.zeros_like(small), with_object()) is None
    assert likeness(ground(), np.ones_like(small), with_object()) is None


def test_holes_anywhere_in_a_large_or_narrow_view_are_judged():
    tall = np.random.default_rng(0).normal(0, 0.3, (900, 130, 3)).astype(np.float32)
    erased = tall.copy()
    hole = np.zeros(tall.shape[:2], bool)
    hole[400:, 20:120] = True
    erased[420:, 30:110] = 0.7
    assert hole.sum() > 10 * MOST
    assert likeness(erased, hole, erased) == 1
    assert likeness(tall, hole, erased) < 0.1


def test_nearest_patches_are_those_of_a_plain_search():
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(7, 5)).astype(np.float32), rng.normal(size=(9, 5)).astype(np.float32)
    plain = [min(((a - b) ** 2).sum() for b in other) for a in one]
    assert np.allclose(_nearest(one, other), plain, atol=1e-5)
    apart = [min(((a - b) ** 2).sum() for j, b in enumerate(one) if j != i) for i, a in enumerate(one)]
    assert np.allclose(_nearest(one, one, itself=False), apart, atol=1e-5)
