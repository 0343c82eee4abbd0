"""Contact sheets: per case the photo with its hole outlined, then every method's result, as crops at 100 %.

Scores do not see a broken line or a second head; people do. A page stays within PAGE pixels each way, so that a viewer
shows it unscaled.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from benchmarks.peers import METHODS
from benchmarks.report import Results

PAGE = 1560
GAP = 8
CAPTION = 20
LARGEST = PAGE - 2 * GAP  # a crop is cut, never scaled: 100 % is the point
OUTLINE = (255, 40, 40)


def draw_sheets(results: Results, folders: Sequence[Path], out: Path, seed: int) -> list[Path]:
    """Write OUT/SUITE/CASE[-PAGE].png for every case with pictures; the last folder that has a picture wins.

    Methods that take no seed are shown with the one they have.
    """
    written = []
    out.mkdir(parents=True, exist_ok=True)
    for suite in results.names("suite"):
        for case in results.of(suite=suite).names("case"):
            places = [folder / "pictures" / suite / case for folder in folders]
            photo, mask = latest(places, "image.png"), latest(places, "hole.png")
            if photo is None or mask is None:
                continue
            image, hole = np.asarray(Image.open(photo).convert("RGB")), np.asarray(Image.open(mask)) > 127
            rows, columns = crop_around(hole)
            tiles = [(f"{case}: photo and hole", outlined(image, hole)[rows, columns])]
            truth = latest(places, "truth.png")
            if truth is not None:
                tiles.append(("truth", np.asarray(Image.open(truth))[rows, columns]))
            for method in results.of(suite=suite, case=case).names("method"):
                shown = shown_row(results.of(suite=suite, case=case, method=method), seed)
                picture = latest(places, f"{method}-{shown['seed']}.png") if shown else None
                if picture is not None:
                    tiles.append((caption(shown), np.asarray(Image.open(picture))[rows, columns]))
            (out / suite).mkdir(exist_ok=True)
            written += save_pages(tiles, out / suite / case)
    return written


def latest(places: Sequence[Path], name: str) -> Path | None:
    return next((place / name for place in reversed(places) if (place / name).is_file()), None)


def shown_row(results: Results, seed: int) -> dict | None:
    """The row of that seed, else the first; refused results are shown too, so that one sees what went wrong."""
    rows = [row for row in results.rows if row["status"] in ("ok", "refused")]
    return next((row for row in rows if row["seed"] == seed), rows[0] if rows else None)


def caption(row: dict) -> str:
    text = f"{METHODS[row['method']].label}  {row['seconds']:.2f} s"
    if row["status"] != "ok":
        return f"{text}  REFUSED"
    return text + (f"  swd {row['swd']:.2f}  ssim {row['ssim']:.3f}" if "swd" in row else "")


def crop_around(hole: np.ndarray) -> tuple[slice, slice]:
    """(rows, columns) of the hole with a third of its size around it, cut to what a page can show."""
    slices = []
    for axis, length in ((1, hole.shape[0]), (0, hole.shape[1])):
        filled = np.flatnonzero(hole.any(axis))
        first, end = int(filled[0]), int(filled[-1]) + 1
        margin = max(40, (end - first) // 3)
        start, stop = max(0, first - margin), min(length, end + margin)
        if stop - start > LARGEST - CAPTION:
            start = max(0, (first + end - LARGEST + CAPTION) // 2)
            stop = min(length, start + LARGEST - CAPTION)
        slices.append(slice(start, stop))
    return slices[0], slices[1]


def outlined(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """A copy with a two-pixel line just outside the hole."""
    drawn = image.copy()
    drawn[ndimage.binary_dilation(hole, iterations=2) & ~hole] = OUTLINE
    return drawn


def save_pages(tiles: Sequence[tuple[str, np.ndarray]], stem: Path) -> list[Path]:
    """Lay equally large captioned tiles out on as many pages as they need."""
    height, width = tiles[0][1].shape[:2]
    wide, high = max(width, 250) + GAP, height + CAPTION + GAP
    across = max(1, (PAGE - GAP) // wide)
    down = max(1, (PAGE - GAP) // high)
    font, written = ImageFont.load_default(13), []
    for old in [stem.with_name(f"{stem.name}.png"), *stem.parent.glob(f"{stem.name}-[0-9].png")]:
        old.unlink(missing_ok=True)  # pages of an earlier run with more methods
    for page, start in enumerate(range(0, len(tiles), across * down), 1):
        part = tiles[start : start + across * down]
        rows = -(-len(part) // across)
        sheet = Image.new("RGB", (GAP + wide * min(across, len(part)), GAP + high * rows), (30, 30, 30))
        pen = ImageDraw.Draw(sheet)
        for i, (text, pixels) in enumerate(part):
            x, y = GAP + i % across * wide, GAP + i // across * high
            pen.text((x, y), text, fill=(240, 240, 240), font=font)
            sheet.paste(Image.fromarray(pixels), (x, y + CAPTION))
        many = len(tiles) > across * down
        written.append(stem.with_name(f"{stem.name}-{page}.png" if many else f"{stem.name}.png"))
        sheet.save(written[-1])
    return written
