"""What is loaded for the latent engine: one value, the same for everything that can share a loaded pipeline."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from eraser.errors import InputError, OutOfRange

Kind = Literal["repository", "folder", "file"]
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")  # formats that run code when they are read
QUANTISED = {"off": "", "8bit": "8bit", "4bit": "4bit"}
SWITCH = {"on": True, "off": False}


@dataclass(frozen=True, slots=True)
class Weighted:
    """A file that changes a model, and how much of it: look.safetensors:0.8."""

    file: str
    weight: float = 1.0

    @classmethod
    def read(cls, name: str, text: str) -> Weighted:
        # the last colon, and only before a number: a path may hold one too (C:\...)
        file, colon, number = text.rpartition(":")
        weight = 1.0
        if colon:
            try:
                weight = float(number)
            except ValueError:
                file = text
        else:
            file = text
        if not file or not math.isfinite(weight) or not -4 <= weight <= 4:
            raise OutOfRange(f'{name} is "{text}"', hint=f"write {name}=FILE:WEIGHT, the weight from -4 to 4")
        return cls(unpickled(Path(file).expanduser()), weight)


@dataclass(frozen=True, slots=True)
class Loading:
    """A checkpoint, and what is put onto it while it is loaded."""

    place: str  # a repository's id, a folder, or a safetensors file
    kind: Kind
    revision: str = ""  # of a repository; "" for whichever is here
    loras: tuple[Weighted, ...] = ()
    adapter: Weighted | None = None  # an IP-Adapter; its file "" for the family's own
    sampler: str = ""  # of attachments.SAMPLERS; "" for the checkpoint's
    quantised: str = ""  # of QUANTISED; "" for whole numbers where they fit
    safety: bool = True  # the checkpoint's own checker, where it carries one
    configs: str = ""  # a folder that describes a single file

    def turned(self, pairs: list[tuple[str, str]]) -> Loading:
        """This with options of a query string, those of `NAMES`. Raises OutOfRange and InputError."""
        loading = self
        for name, value in pairs:
            match name:
                case "lora":
                    loading = replace(loading, loras=(*loading.loras, Weighted.read(name, value)))
                case "adapter":
                    loading = replace(loading, adapter=Weighted.read(name, value))
                case "sampler":
                    loading = replace(loading, sampler=value.lower())
                case "quantised":
                    loading = replace(loading, quantised=chosen(name, value, QUANTISED))
                case "safety":
                    loading = replace(loading, safety=chosen(name, value, SWITCH))
                case "configs":
                    loading = replace(loading, configs=str(Path(value).expanduser()))
        return loading


NAMES = ("lora", "adapter", "sampler", "quantised", "safety", "configs")


def chosen(name: str, value: str, choices: Mapping[str, Any]) -> Any:
    if value not in choices:
        raise OutOfRange(f'{name} is "{value}"', hint=f"choose {', '.join(choices)}")
    return choices[value]


def unpickled(path: Path) -> str:
    """The path of a safetensors file, as text. Raises InputError for a format that may run code."""
    if path.suffix.lower() in PICKLES:
        raise InputError(
            f"{path.name} may hold a pickle, which runs code when it is read",
            hint="take the release in safetensors, or convert it on a machine that may be lost",
        )
    return str(path)
