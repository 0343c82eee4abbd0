"""Photographs for training: packed into one small file, and read from it into the memory of the training device.

    python -m training.photos FOLDER PACK.zip

FOLDER holds pictures and a manifest.csv (file, repository, path, commit, licence). The pack is a plain zip of WebP
pictures and an index.json that keeps the manifest's lines.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import zipfile
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from eraser.machine import usable_processors

SIDE = 320  # pixels of a packed photograph's shorter side, at most
QUALITY = 76
HELD_OUT = 40  # one scene of so many is never trained on
LEVELS = 4  # each photograph is kept at full size and halved up to three times

# How often photographs of a repository are drawn, by what they teach an eraser; 1 for those not named.
SHARES = {
    # streets, squares, forests and interiors all around: what stands behind an erased object
    **dict.fromkeys(["mfecane/shadercity", "machfe/threejs_project", "openrocket/openrocket"], 3.0),
    # landscapes, coasts, gardens
    **dict.fromkeys(
        [
            "elementary/wallpapers",
            "linuxdeepin/deepin-wallpapers",
            "BuddiesOfBudgie/budgie-backgrounds",
            "tetiana-kolmychek/oceanic-awesomewm-theme",
            "MatheusTT/wallpapers",
            "pop-os/wallpapers",
            "Doodleverse/dash_doodler",
            "nicokaiser/hugo-theme-gallery",
            "bep/gallerydeluxe_starter",
            "scikit-image/skimage-tutorials",
            "immich-app/test-assets",
            "nextcloud/example-files",
        ],
        2.0,
    ),
    # one kind of thing before one kind of ground
    **dict.fromkeys(
        [
            "alexeygrigorev/clothing-dataset",
            "alexeygrigorev/clothing-dataset-small",
            "marcusklasson/GroceryStoreDataset",
        ],
        0.3,
    ),
}


@dataclass(frozen=True)
class Photos:
    """Photographs at several sizes, one after the other in one row of bytes."""

    pixels: Tensor  # (n,) uint8, rows of RGB
    offset: Tensor  # (photos, LEVELS) int64: where each begins
    height: Tensor  # (photos, LEVELS) int64
    width: Tensor
    share: Tensor  # (photos,) float64, running total of how often each is drawn; the last is 1
    sources: dict[str, int]  # "repository (licence)": number of photographs

    def __len__(self) -> int:
        return len(self.share)

    def to(self, device: torch.device) -> Photos:
        moved = [x.to(device) for x in (self.pixels, self.offset, self.height, self.width, self.share)]
        return Photos(*moved, self.sources)


def scene_of(row: dict[str, str]) -> str:
    """Faces of one panorama are one scene; any other photograph is its own."""
    place = row["path"].rpartition("/")[0] if SHARES.get(row["repository"]) == 3.0 else row["path"]
    return f"{row['repository']}/{place}"


def is_held_out(row: dict[str, str]) -> bool:
    digest = hashlib.sha256(scene_of(row).encode()).digest()
    return int.from_bytes(digest[:4], "big") % HELD_OUT == 0 and SHARES.get(row["repository"], 1.0) >= 1


def pack(folder: Path, target: Path, *, side: int = SIDE, quality: int = QUALITY) -> None:
    """Write the folder's photographs, their shorter side at most `side` pixels, into one file."""
    with (folder / "manifest.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    def encoded(row: dict[str, str]) -> bytes:
        with Image.open(folder / row["file"]) as opened:
            picture = opened.convert("RGB")
        scale = side / min(picture.size)
        if scale < 1:
            picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.LANCZOS)
        buffer = io.BytesIO()
        picture.save(buffer, "WEBP", quality=quality, method=4)
        return buffer.getvalue()

    index = [
        {key: row[key] for key in ("file", "repository", "path", "commit", "licence")}
        | {"share": SHARES.get(row["repository"], 1.0), "held_out": is_held_out(row)}
        for row in rows
    ]
    with zipfile.ZipFile(target, "w") as pieces, ThreadPoolExecutor(usable_processors()) as pool:
        # ZipInfo has a fixed date: the same photographs make the same file
        pieces.writestr(zipfile.ZipInfo("index.json"), json.dumps(index, ensure_ascii=False, indent=0))
        for row, data in zip(rows, pool.map(encoded, rows), strict=True):
            pieces.writestr(zipfile.ZipInfo(row["file"]), data)


def load(path: Path, *, held_out: bool) -> Photos:
    """The pack's training photographs, or those held out, in memory at LEVELS sizes."""
    with zipfile.ZipFile(path) as pieces:
        rows = [row for row in json.loads(pieces.read("index.json")) if row["held_out"] == held_out]
        files = [pieces.read(row["file"]) for row in rows]
    with ThreadPoolExecutor(usable_processors()) as pool:
        pictures = list(pool.map(_sizes, files))
    return build(pictures, [row["share"] for row in rows], Counter(f"{r['repository']} ({r['licence']})" for r in rows))


def build(pictures: list[list[np.ndarray]], shares: list[float], sources: dict[str, int] | None = None) -> Photos:
    """Photos of pictures (H, W, 3) uint8, each given at LEVELS sizes."""
    shapes = torch.tensor([[level.shape[:2] for level in levels] for levels in pictures])
    sizes = 3 * shapes[..., 0] * shapes[..., 1]
    ends = sizes.flatten().cumsum(0).view(sizes.shape)
    pixels = torch.from_numpy(np.concatenate([level.ravel() for levels in pictures for level in levels]))
    share = torch.tensor(shares, dtype=torch.float64).cumsum(0)
    return Photos(pixels, ends - sizes, shapes[..., 0], shapes[..., 1], share / share[-1], dict(sources or {}))


def levels_of(picture: np.ndarray) -> list[np.ndarray]:
    """The picture (H, W, 3) uint8, and halved again and again by means of 2x2 pixels."""
    levels = [picture]
    for _ in range(LEVELS - 1):
        height, width = (length // 2 * 2 for length in picture.shape[:2])
        blocks = picture[:height, :width].reshape(height // 2, 2, width // 2, 2, 3)
        picture = (blocks.sum(axis=(1, 3), dtype=np.uint16) + 2 >> 2).astype(np.uint8)
        levels.append(picture)
    return levels


def _sizes(data: bytes) -> list[np.ndarray]:
    with Image.open(io.BytesIO(data)) as opened:
        return levels_of(np.asarray(opened.convert("RGB")))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--side", type=int, default=SIDE)
    parser.add_argument("--quality", type=int, default=QUALITY)
    options = parser.parse_args(arguments)
    pack(options.folder, options.target, side=options.side, quality=options.quality)
    summary: dict[str, Any] = {"bytes": options.target.stat().st_size}
    for held_out in (False, True):
        photos = load(options.target, held_out=held_out)
        summary["held out" if held_out else "training"] = len(photos)
        summary["bytes in memory"] = summary.get("bytes in memory", 0) + len(photos.pixels)
    print(json.dumps(summary))


if __name__ == "__main__":
    main()
