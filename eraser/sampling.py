"""The one loop: walk the noise down inside a hole while the known pixels stay what they are.

Written with the arrays' own operators, so numpy arrays and torch tensors both run through it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

Array = Any  # numpy.ndarray or torch.Tensor: whatever takes +, -, *


class Denoiser(Protocol):
    """Says what the clean image probably is.

    `sees_known = False` marks a denoiser that looks at `noisy` alone; the loop then walks each level several times.
    """

    sees_known: bool

    def __call__(self, noisy: Array, sigma: float, known: Array, hole: Array) -> Array:
        """E[clean | noisy = clean + sigma * unit noise, known pixels], shaped like `noisy`."""
        ...


@dataclass(frozen=True, slots=True)
class Step:
    index: int  # of the noise level, from 0
    sigma: float
    noisy: Array
    clean: Array  # the estimate, with the known pixels in place


def split_noise(sigma: float, lower: float, eta: float) -> tuple[float, float]:
    """(down, up) with down² + up² = lower²: what is kept of the present noise, and what is drawn afresh.

    eta 0 keeps all (the probability-flow step), 1 is ancestral sampling (Song et al. 2021, arXiv:2011.13456),
    and math.inf keeps nothing: the estimate is renoised from scratch.
    """
    up = min(lower, eta * math.sqrt(max(0.0, lower**2 * (sigma**2 - lower**2))) / sigma)
    return math.sqrt(lower**2 - up**2), up


def sample(
    denoiser: Denoiser,
    known: Array,
    hole: Array,
    sigmas: Iterable[float],
    *,
    noise: Callable[[Any], Array],
    start: Array | None = None,
    noisy: Array | None = None,
    eta: float = 1.0,
    resample: int | None = None,
    order: int = 1,
) -> Iterator[Step]:
    """Fill the hole by walking the noise down. Yields a Step per denoiser call; stop iterating to cancel.

    known   (..., H, W) values in the model's range; what stands under the hole does not matter
    hole    broadcasts to known, 1 where something must be painted, 0 elsewhere
    sigmas  falling, the last one 0; the last Step's `clean` is the result
    noise   called with a shape, gives unit normal noise: the only source of randomness
    start   the estimate that the first level's noise is added to (default: known, the hole blanked); known and hole
            need only broadcast to its shape
    noisy   start with the first level's noise already added, for who has looked at it before; no noise is drawn for it
    resample  how often each level is walked; default 1, or 10 for a denoiser that does not see the known pixels
    order   2 also looks at the level before: DPM-Solver++(2M) of Lu et al. 2022 (arXiv:2211.01095), for eta 0

    Karras et al. 2022 (arXiv:2206.00364), eq. 3 and alg. 2, with the ancestral noise of Song et al. 2021; walking a
    level again after noising up from the one below is RePaint's resampling (Lugmayr et al. 2022, arXiv:2201.09865).
    """
    times = resample if resample is not None else (1 if denoiser.sees_known else 10)
    levels = [float(sigma) for sigma in sigmas]
    if noisy is None:
        start = known * (1 - hole) if start is None else start
        noisy = start + levels[0] * noise(start.shape)
    x, noisy, start = noisy, None, None  # these are as large as the hole and are not kept
    before: Array | None = None
    for index, (sigma, lower) in enumerate(pairwise(levels)):
        for again in range(times):
            clean = denoiser(x, sigma, known, hole)
            clean = clean * hole + known * (1 - hole)
            yield Step(index, sigma, x, clean)
            down, up = split_noise(sigma, lower, eta)
            goal = clean
            if order == 2 and before is not None and down > 0:
                ratio = math.log(sigma / lower) / math.log(levels[index - 1] / sigma)
                goal = clean + (clean - before) * (ratio / 2)
            x = goal + (x - goal) * (down / sigma) if down > 0 else clean
            before = clean if order == 2 else None
            if up > 0:
                x = x + up * noise(x.shape)
            if lower == 0:
                break
            if again + 1 < times:
                x = x + math.sqrt(sigma**2 - lower**2) * noise(x.shape)
