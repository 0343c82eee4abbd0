"""Latent diffusion checkpoints that are known by name, and what can be turned for one."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from eraser.errors import OutOfRange

MOST_SIDE = 2048


@dataclass(frozen=True, slots=True)
class Options:
    """Behind a question mark, as in latent:sdxl?steps=30&guidance=6; what is left out is the checkpoint's."""

    side: int = 0  # pixels of the window that the model draws; 0 for the size it was trained at
    steps: int = 30
    guidance: float = 7.5
    negative: str = ""  # what a prompted fill should not show
    strength: float = 0.99  # of the noise when something is removed: below 1 the emptied scene shines through
    tries: int = 3  # drawings of a removal, at most, until one fits its surroundings
    redirect: float = (
        0.51  # share of a U-Net's self-attention layers that look away from what is removed, the last ones
    )
    prefill: str = "patch"  # the engine that empties the scene: patch, lama, migan or onnx:FILE

    def __post_init__(self) -> None:
        for name, low, high in (
            ("side", 0, MOST_SIDE),
            ("steps", 1, 1000),
            ("guidance", 0, 100),
            ("strength", 0.01, 1),
            ("tries", 1, 16),
            ("redirect", 0, 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise OutOfRange(f"{name} is {getattr(self, name)}", hint=f"give a number from {low} to {high}")

    def turned(self, text: str) -> Options:
        """These options with those of a query string. Raises OutOfRange."""
        kinds: dict[str, Any] = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        changes: dict[str, Any] = {}
        for name, value in parse_qsl(text, keep_blank_values=True):
            if name not in kinds:
                raise OutOfRange(f'"{name}" cannot be turned', hint=f"choose from {', '.join(kinds)}")
            try:
                changes[name] = kinds[name](value)
            except ValueError:
                raise OutOfRange(f'{name} is "{value}", not a number') from None
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Record:
    repository: str
    licence: str
    options: Options
    needs: str


RECORDS = {
    "sd15": Record(
        "stable-diffusion-v1-5/stable-diffusion-inpainting", "CreativeML OpenRAIL-M", Options(side=512), "a GPU advised"
    ),
    "sdxl": Record(
        "diffusers/stable-diffusion-xl-1.0-inpainting-0.1", "CreativeML OpenRAIL++-M", Options(side=1024), "a GPU"
    ),
    "flux-fill": Record(
        "black-forest-labs/FLUX.1-Fill-dev",
        "FLUX.1 [dev] Non-Commercial License",
        Options(side=1024, steps=50, guidance=30.0),
        "a large GPU",
    ),
}


def parsed(text: str) -> tuple[str, Options, bool]:
    """What stands behind latent: as (repository or folder, options, whether it is a folder). Raises OutOfRange."""
    name, _, query = text.partition("?")
    if name in RECORDS:
        return RECORDS[name].repository, RECORDS[name].options.turned(query), False
    return str(Path(name).expanduser()), Options().turned(query), True
