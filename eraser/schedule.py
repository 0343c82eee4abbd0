"""Noise levels, as plain falling arrays that end in 0."""

from __future__ import annotations

import numpy as np


def geometric(high: float, low: float, count: int) -> np.ndarray:
    """`count` levels from `high` down to `low` in equal ratios, then 0: (count + 1,) float64."""
    return np.append(np.geomspace(high, low, count), 0.0)


def karras(high: float, low: float, count: int, rho: float = 7.0) -> np.ndarray:
    """`count` levels that spend more steps near `low`, then 0: (count + 1,) float64.

    Karras et al. 2022 (arXiv:2206.00364), eq. 5; rho = 7 is theirs, rho = 1 gives equal differences.
    """
    ramp = np.linspace(high ** (1 / rho), low ** (1 / rho), count)
    return np.append(ramp**rho, 0.0)
