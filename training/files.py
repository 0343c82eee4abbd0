"""Weights in pieces: safetensors files small enough to be carried one by one, each with the notes of the whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

PIECE = 15 << 20  # bytes
NAME = "pocket-{number}-of-{count}.safetensors"
SMALL = 4096  # values up to which a tensor is kept in float32


def write_pieces(weights: dict[str, Tensor], notes: dict[str, Any], folder: Path, limit: int = PIECE) -> list[Path]:
    """Half-precision weights in files of at most `limit` bytes of data. Replaces the pieces that are there."""
    for old in folder.glob(NAME.format(number="*", count="*")):
        old.unlink()
    pieces: list[dict[str, Tensor]] = [{}]
    size = 0
    for name, value in weights.items():
        kept = value.detach().to("cpu", torch.float32 if value.numel() <= SMALL else torch.float16).contiguous()
        if size and size + kept.nbytes > limit:
            pieces.append({})
            size = 0
        pieces[-1][name] = kept
        size += kept.nbytes
    paths = []
    for number, piece in enumerate(pieces, 1):
        path = folder / NAME.format(number=number, count=len(pieces))
        save_file(piece, path, metadata={"pocket": json.dumps(notes)})
        paths.append(path)
    return paths


def read_pieces(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """(float32 weights, notes). Raises SystemExit where pieces are missing or of different runs."""
    paths = sorted(folder.glob(NAME.format(number="*", count="*")))
    if not paths:
        raise SystemExit(f"{folder} holds no {NAME.format(number='N', count='M')}")
    count = int(paths[0].stem.rpartition("-")[2])
    if len(paths) != count:
        raise SystemExit(f"{folder} holds {len(paths)} of {count} pieces: copy the others there too")
    weights: dict[str, Tensor] = {}
    notes: set[str] = set()
    for path in paths:
        with safe_open(path, "pt") as piece:
            notes.add(piece.metadata()["pocket"])
            weights |= {name: piece.get_tensor(name).float() for name in piece.keys()}  # noqa: SIM118  no mapping
    if len(notes) != 1:
        raise SystemExit(f"the pieces in {folder} are of different runs")
    return weights, json.loads(notes.pop())
