"""Safetensors files by their headers: which tensors they hold, of which shapes, and whether the file is whole."""

from __future__ import annotations

import json
import math
import struct
from dataclasses import dataclass
from pathlib import Path

from eraser.errors import DamagedWeights, MissingWeights

LONGEST_HEADER = 100_000_000  # bytes, the format's own limit
FLOATS = ("F64", "F32", "F16", "BF16")


@dataclass(frozen=True, slots=True)
class Tensor:
    shape: tuple[int, ...]
    kind: str  # the format's name of its numbers: F32, BF16 ...
    size: int  # bytes

    def in_memory(self, itemsize: int) -> int:
        """Bytes when floats are made `itemsize` bytes wide."""
        return math.prod(self.shape) * itemsize if self.kind in FLOATS else self.size


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, unread. Raises MissingWeights, or DamagedWeights for one that is cut short."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(8)
            length = struct.unpack("<Q", start)[0] if len(start) == 8 else LONGEST_HEADER + 1
            text = file.read(length) if length <= LONGEST_HEADER else b""
    except OSError as error:
        raise MissingWeights(f"{path} cannot be read ({error.strerror or error})") from error
    again = "fetch it again, or remove it"
    try:
        header = json.loads(text)
        found = {
            name: Tensor(tuple(map(int, entry["shape"])), str(entry["dtype"]), end - start)
            for name, entry in header.items()
            if name != "__metadata__"
            for start, end in [map(int, entry["data_offsets"])]
        }
        whole = 8 + length + max((int(header[name]["data_offsets"][1]) for name in found), default=0)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedWeights(
            f"{path} ({size} bytes) is no safetensors file, or its start is damaged", hint=again
        ) from error
    if size < whole:
        raise DamagedWeights(f"{path} has {size} of {whole} bytes", hint=again)
    return found
