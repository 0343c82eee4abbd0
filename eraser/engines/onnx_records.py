"""One-shot erasers that are known by name: where they were released, and how their graphs want to be spoken to."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from eraser.errors import DamagedWeights
from eraser.weights import Weights

RANGES = {"0..1": (0.5, 0.5), "-1..1": (0.0, 1.0), "0..255": (127.5, 127.5)}  # (middle, half) of the values


@dataclass(frozen=True, slots=True)
class Convention:
    """How a graph takes a picture (B, 3, H, W) and a hole (B, 1, H, W), and gives a picture. Names, types and sizes
    that are fixed are read from the graph. A file's own convention stands beside it as JSON: eraser.onnx, eraser.json.
    """

    image: str = "0..1"  # values that go in: 0..1, -1..1 or 0..255; bytes are always 0..255
    drawn: str = "0..1"  # values that come out
    hole: str = "high"  # high: the mask is 1 (255 in bytes) where something must be painted; low: it is 0 there
    side: int = 512  # pixels of the longer side, at most, where the graph takes any size
    multiple: int = 8  # of which sides must be, where the graph takes any size
    chroma: bool = True  # whether hue that has drifted is brought back to the rim's

    def __post_init__(self) -> None:
        for name in ("image", "drawn"):
            if getattr(self, name) not in RANGES:
                raise ValueError(f'{name} is "{getattr(self, name)}", not one of {", ".join(RANGES)}')
        if self.hole not in ("high", "low"):
            raise ValueError(f'hole is "{self.hole}", not high or low')
        for name in ("side", "multiple"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"{name} is {value!r}, not a whole number from 1 up")

    @classmethod
    def beside(cls, path: Path) -> Convention:
        """The convention of the JSON file beside a graph, or the usual one. Raises DamagedWeights."""
        file = path.with_suffix(".json")
        if not file.is_file():
            return cls()
        known = {field.name for field in fields(cls)}
        try:
            said: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
            if not isinstance(said, dict) or not said.keys() <= known:
                raise ValueError(f"it may say {', '.join(sorted(known))}")
            return cls(**said)
        except (OSError, ValueError) as error:
            raise DamagedWeights(f"{file} is no convention: {error}", hint="docs/models.md shows one") from error


@dataclass(frozen=True, slots=True)
class Record:
    weights: Weights
    convention: Convention


PLACES = "they were trained on Places2, whose pictures are for non-commercial research and education"
# Sizes and sums are those that several projects pin for these files; a file that differs is refused.
LAMA = Record(
    Weights(
        "lama_fp32.onnx",
        208_044_816,
        "1faef5301d78db7dda502fe59966957ec4b79dd64e16f03ed96913c7a4eb68d6",
        "Apache-2.0",
        "https://huggingface.co/Carve/LaMa-ONNX/resolve/c3c0c9e468934d62e79c329e35d82dd09ff8c444/lama_fp32.onnx",
        "its notice goes with every copy; it was written for the code, and its makers name it for the weights too; "
        f"{PLACES}",
    ),
    Convention(drawn="0..255"),
)
MIGAN = Record(
    Weights(
        "migan_pipeline_v2.onnx",
        28_079_181,
        "6f1f3530a1a2324b19752018ce756088b07973cda8d7d890034ace5c8a48c40b",
        "MIT",
        "https://huggingface.co/andraniksargsyan/migan/resolve/1538c135034b8cfe7a8472f34d09c8a5a45b17a7/"
        "migan_pipeline_v2.onnx",
        f"its notice goes with every copy; its makers give the weights under it, too; {PLACES}, and taught by "
        "Co-Mod-GAN, whose code is under a non-commercial licence",
    ),
    Convention(image="0..255", drawn="0..255", hole="low", multiple=1),
)
RECORDS = {"lama": LAMA, "migan": MIGAN}
