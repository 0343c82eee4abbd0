"""Weights on disk: found, and checked before anything reads them."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from eraser.errors import DamagedWeights, MissingWeights

FOLDER = "ERASER_WEIGHTS"  # environment variable: a folder that is looked into first


@dataclass(frozen=True, slots=True)
class Weights:
    """One file, exactly as it was released."""

    name: str
    size: int  # bytes
    sha256: str
    licence: str


def folders() -> list[Path]:
    """Where weights are looked for: the folder that ERASER_WEIGHTS names, the package, the user's data folder."""
    from platformdirs import user_data_path

    named = os.environ.get(FOLDER)
    places = [Path(named)] if named else []
    return [
        *places,
        Path(__file__).parent / "data",
        user_data_path("magic-eraser", appauthor=False) / "weights",
    ]


def find(weights: Weights) -> Path:
    """The file, its every byte checked. Raises MissingWeights, or DamagedWeights for another version or a torn file."""
    places = folders()
    path = next((place / weights.name for place in places if (place / weights.name).is_file()), None)
    if path is None:
        raise MissingWeights(
            f"{weights.name} ({weights.size / 1e6:.0f} MB) is in none of {', '.join(map(str, places))}",
            hint=f"install the package again, or put the file into a folder and name that in {FOLDER}",
        )
    return verified(path, weights)


def verified(path: Path, weights: Weights) -> Path:
    """The path, if what is there is `weights`. Raises MissingWeights or DamagedWeights."""
    try:
        size = path.stat().st_size
        if size == weights.size:
            with path.open("rb") as data:
                digest = hashlib.file_digest(data, "sha256").hexdigest()
    except OSError as error:
        raise MissingWeights(f"{path} cannot be read ({error.strerror or error})") from error
    again = "put the released file there again, or remove it"
    if size < weights.size:
        raise DamagedWeights(f"{path} has {size} of {weights.size} bytes", hint=again)
    if size != weights.size or digest != weights.sha256:
        raise DamagedWeights(f"{path} is not the {weights.name} of this version", hint=again)
    return path
