"""The levels of a picture with a hole, as the patch engine sees it, and the finest alone."""

from __future__ import annotations

import numpy as np

from eraser.canvas import View
from eraser.engines.patch_levels import Level, Workers, level_steps
from tests.running import outcome

WORKERS = Workers(1)


def levels_of(view: View, *, coarsest_radius: float, texture: float, **more) -> list[Level]:
    """All of them, coarsest first."""
    return outcome(
        level_steps(view, coarsest_radius=coarsest_radius, texture=texture, texture_reach=2, workers=WORKERS, **more)
    )


def level_of(picture: np.ndarray, hole: np.ndarray, texture: float = 1) -> Level:
    """picture (H, W, C) float32, whatever stands under the hole · texture: weight of the texture channel."""
    view = View(np.where(hole[:, :, None], np.float32(0), picture), hole)
    return levels_of(view, coarsest_radius=2, texture=texture)[-1]
