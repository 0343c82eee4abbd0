"""How stored values stand for colours: bands, alpha, palettes and transparent colours, taken apart and put back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from eraser.canvas import opaque, row_blocks


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """What the bands of a stored image (H, W) or (H, W, bands) are.

    palette (N, 4) uint8 RGBA: the first band holds indices into it · key: the stored value, one number per band, that
    stands for "transparent" · to_rgb and from_rgb: for colour models that engines do not see, over (N, 3) uint8.
    """

    colours: int  # bands of colour as stored
    has_alpha: bool = False  # one more band at the end
    palette: np.ndarray | None = None
    key: tuple[int | float, ...] | None = None
    to_rgb: Callable[[np.ndarray], np.ndarray] | None = None
    from_rgb: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def is_plain(self) -> bool:
        """The stored bands are the colours, value by value."""
        return self.palette is None and self.key is None and self.to_rgb is None

    @property
    def bands(self) -> int:
        return self.colours + self.has_alpha


def split(stored: np.ndarray, layout: Layout) -> tuple[np.ndarray, np.ndarray | None]:
    """Colour (H, W, C) and alpha (H, W) or None of a stored image; views of it where that is possible."""
    bands = stored[:, :, None] if stored.ndim == 2 else stored
    alpha = bands[:, :, -1] if layout.has_alpha else None
    colour = bands[:, :, : layout.colours]
    if layout.palette is not None:
        table = _full_table(layout.palette)
        indices = bands[:, :, 0]
        colour = np.empty((*indices.shape, 3), np.uint8)
        for rows in row_blocks(colour.shape):
            np.take(table[:, :3], indices[rows], axis=0, out=colour[rows], mode="clip")
        if alpha is None and layout.palette[:, 3].min(initial=255) < 255:
            alpha = np.empty(indices.shape, np.uint8)
            for rows in row_blocks(alpha.shape):
                np.take(table[:, 3], indices[rows], out=alpha[rows], mode="clip")
    elif layout.key is not None and alpha is None:
        alpha = np.empty(colour.shape[:2], colour.dtype)
        for rows in row_blocks(colour.shape):
            alpha[rows] = np.where(_is_key(colour[rows], layout.key), 0, opaque(colour.dtype))
    if layout.to_rgb is not None:
        converted = np.empty((*bands.shape[:2], 3), np.uint8)
        for rows in row_blocks(converted.shape):
            converted[rows] = layout.to_rgb(colour[rows].reshape(-1, 3)).reshape(converted[rows].shape)
        colour = converted
    return colour, alpha


def merge(
    stored: np.ndarray, layout: Layout, colour: np.ndarray, hole: np.ndarray, *, make_opaque: bool = False
) -> np.ndarray:
    """A copy of `stored` with the hole's pixels showing `colour`, in place of what they showed.

    Alpha stays as it was, or turns opaque inside the hole. Palettes keep their entries: the nearest one is used that
    is as transparent as the old one was. A painted colour that would by chance mean "transparent" moves by one step.
    """
    result = stored.copy()
    bands = result[:, :, None] if result.ndim == 2 else result
    old = bands[hole]  # (N, bands)
    new = old.copy()
    values = colour[hole]
    if layout.palette is not None:
        table = _full_table(layout.palette)
        alphas = table[old[:, 0], 3].astype(np.int16)
        if make_opaque or layout.has_alpha:
            alphas[:] = 255
        new[:, 0] = np.where(alphas == 0, old[:, 0], _nearest_entries(values, alphas, layout.palette))
    else:
        new[:, : layout.colours] = values if layout.from_rgb is None else layout.from_rgb(values)
        if layout.key is not None and not layout.has_alpha:
            hits = _is_key(new, layout.key)
            new[hits, -1] = _next_to(new[hits, -1])
            if not make_opaque:
                unseen = _is_key(old, layout.key)
                new[unseen] = old[unseen]
    if layout.has_alpha and make_opaque:
        new[:, -1] = opaque(stored.dtype)
    bands[hole] = new
    return result


def opaque_value(layout: Layout, dtype: np.dtype) -> np.ndarray:
    """(bands,) a stored value that can be seen: what margins hold before they are painted."""
    value = np.zeros(layout.bands, dtype)
    if layout.palette is not None and len(layout.palette):
        value[0] = int(np.argmax(layout.palette[:, 3]))
    elif layout.key is not None and tuple(value) == layout.key:
        value[layout.colours - 1] = 1
    if layout.has_alpha:
        value[-1] = opaque(dtype)
    return value


def _full_table(palette: np.ndarray) -> np.ndarray:
    """256 entries: indices beyond the palette show as opaque black, as in Pillow."""
    table = np.zeros((256, 4), np.uint8)
    table[:, 3] = 255
    table[: len(palette)] = palette
    return table


def _is_key(values: np.ndarray, key: tuple[int | float, ...]) -> np.ndarray:
    return (values == np.asarray(key)).all(axis=-1)


def _next_to(values: np.ndarray) -> np.ndarray:
    if values.dtype == np.bool_:
        return ~values
    return np.where(values > 0, values - 1, values + 1).astype(values.dtype)


def _nearest_entries(values: np.ndarray, alphas: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """(N,) the index of the palette's nearest colour among the entries whose alpha is nearest to the one wanted."""
    found = np.zeros(len(values), np.uint8)
    if len(palette) == 0:
        return found
    entry_alphas = palette[:, 3].astype(np.int16)
    for alpha in np.unique(alphas):
        away = np.abs(entry_alphas - alpha)
        away[entry_alphas == 0] += 256 if alpha else 0  # what could be seen must not vanish
        candidates = np.flatnonzero(away == away.min())
        wanted = alphas == alpha
        colours, back = np.unique(values[wanted], axis=0, return_inverse=True)
        entries = palette[candidates, :3].astype(np.float32)
        nearest = np.empty(len(colours), np.uint8)
        for start in range(0, len(colours), 1 << 14):
            some = colours[start : start + (1 << 14)].astype(np.float32)
            # squared distance but for |some|², which is the same for every entry; exact in float32 at 8 bits
            distance = (entries**2).sum(axis=1) - 2 * some @ entries.T
            nearest[start : start + len(some)] = candidates[np.argmin(distance, axis=1)]
        found[wanted] = nearest[back.reshape(-1)]
    return found
