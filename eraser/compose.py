"""Put a filling back: inside the hole only, at the image's own depth. Nothing else ever writes to a result."""

from __future__ import annotations

import numpy as np

from eraser.canvas import Scale
from eraser.errors import EngineError
from eraser.geometry import Box, Size


def compose(
    colour: np.ndarray,
    hole: np.ndarray,
    filling: np.ndarray,
    box: Box,
    *,
    scale: Scale,
    feather: float = 0,
    out: np.ndarray | None = None,
) -> np.ndarray:
    """A copy of `colour` (H, W, C) with the hole's pixels inside `box` painted; all others keep their bits.

    filling (box height, box width, C) in [-1, 1], clipped; what it holds outside the hole is not looked at.
    scale is what `Canvas.view` gave with this box. feather fades the filling in over that many pixels, counted
    inward from the hole's rim, where the old pixels can still be used: so for holes drawn well around their object.
    out, an array like `colour` (or `colour` itself), is written instead of a copy and returned.
    Raises EngineError where the filling has another shape or values that are not finite.
    """
    result = colour.copy() if out is None else out
    if filling.shape != (box.height, box.width, colour.shape[2]):
        raise EngineError(
            f"the engine painted an array of shape {filling.shape} for a window of "
            f"{(box.height, box.width, colour.shape[2])}",
            hint="this is a fault in the engine",
        )
    inside = hole[box.slices]
    values = np.asarray(filling[inside], np.float32)  # (N, C)
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        raise EngineError(
            f"the engine painted {np.count_nonzero(~finite)} of {len(values)} pixels with values that are not finite",
            hint="try another seed or another engine",
        )
    window = colour[box.slices]
    if feather > 0 and len(values):
        weight = _distance_inside(hole, box, feather)[inside][:, None] / np.float32(feather + 1)
        with np.errstate(invalid="ignore"):
            old = scale.encode(window[inside][None])[0]
            faded = old + (values - old) * np.minimum(weight, 1)
        values = np.where(np.isfinite(faded), faded, values)
    result[box.slices][inside] = scale.decode(values)
    return result


def _distance_inside(hole: np.ndarray, box: Box, reach: float) -> np.ndarray:
    """(box height, box width) float32: how far each hole pixel is from the nearest known one; the first ring is 1."""
    from scipy import ndimage

    size = Size(hole.shape[1], hole.shape[0])
    around = box.pad(int(np.ceil(reach)) + 1).clamp(size.box)
    crop = hole[around.slices]
    if crop.all():
        return np.full((box.height, box.width), np.inf, np.float32)
    return ndimage.distance_transform_edt(crop)[box.relative_to(around).slices].astype(np.float32)
