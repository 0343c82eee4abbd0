"""The smooth continuation that the pocket model begins from, beside the package's own."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from eraser.pyramid import push_pull  # noqa: E402
from training.smooth import continued  # noqa: E402


def hole_in(height: int, width: int, top: int, left: int, side: int) -> np.ndarray:
    hole = np.zeros((height, width), bool)
    hole[top : top + side, left : left + side] = True
    return hole


def continued_in(picture: np.ndarray, hole: np.ndarray, halvings: int = 4) -> np.ndarray:
    """(H, W, C), what stands under the hole blanked first."""
    weight = torch.from_numpy(~hole)[None, None].float()
    values = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
    return continued(values * weight, weight, halvings)[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("hole", [hole_in(64, 48, 20, 10, 17), hole_in(64, 48, 0, 0, 20)], ids=["inside", "corner"])
def test_known_pixels_stay_and_the_rest_is_what_push_pull_says(hole):
    y, x = np.mgrid[:64, :48].astype(np.float32)
    picture = np.stack([np.sin(x / 9), np.cos(y / 11), (x + y) / 112], axis=2)
    found = continued_in(picture, hole)
    assert np.abs(found - picture)[~hole].max() < 1e-5
    assert np.abs(found - push_pull(picture, (~hole).astype(np.float32)))[hole].max() < 0.02


def test_a_flat_picture_stays_flat_however_large_the_hole():
    picture = np.full((64, 96, 3), 0.3, np.float32)
    hole = np.ones((64, 96), bool)
    hole[:, :5] = False
    assert np.abs(continued_in(picture, hole) - 0.3).max() < 1e-3


def test_it_lies_between_the_least_and_the_greatest_known_value():
    rng = np.random.default_rng(0)
    picture = rng.uniform(-1, 1, (64, 64, 3)).astype(np.float32)
    found = continued_in(picture, hole_in(64, 64, 8, 4, 50))
    assert found.min() >= -1 - 1e-4
    assert found.max() <= 1 + 1e-4
