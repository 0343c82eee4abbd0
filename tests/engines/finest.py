"""The finest level of a picture with a hole, as the patch engine sees it."""

from __future__ import annotations

import numpy as np

from eraser.canvas import View
from eraser.engines.patch_levels import Level, Workers, build_levels

WORKERS = Workers(1)


def level_of(picture: np.ndarray, hole: np.ndarray, texture: float = 1) -> Level:
    """picture (H, W, C) float32, whatever stands under the hole · texture: weight of the texture channel."""
    view = View(np.where(hole[:, :, None], np.float32(0), picture), hole)
    return build_levels(view, coarsest_radius=2, texture=texture, texture_reach=2, workers=WORKERS)[-1]
