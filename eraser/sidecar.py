"""A result's report as a JSON file beside it, with what it takes to make the picture again: read, written, compared."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eraser.errors import InputError
from eraser.report import SCHEMA, Report, plain
from eraser.weights import digest

if TYPE_CHECKING:
    import numpy as np

    from eraser.files import Photo

MOST_BYTES = 1 << 24  # of a sidecar: a large one has a few kilobytes for each window


@dataclass(frozen=True, slots=True)
class Source:
    """A file that went in: where it is seen from the sidecar's folder, and the SHA-256 of its bytes."""

    path: str
    sha256: str

    def found(self, folder: Path, instead: Path | None, what: str, option: str) -> Path:
        """The file, or the one given instead, which must hold the same bytes. Raises InputError."""
        path = instead or folder / self.path
        there = sum_of(path, hint=f"say where the {what} is now: {option} FILE")
        if there != self.sha256:
            raise InputError(
                f"{path} is not the {what} that the result was made from: its SHA-256 is {there[:12]}..., and that "
                f"one's {self.sha256[:12]}...",
                hint=f"name the file as it was: {option} FILE",
            )
        return path


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What a sidecar says. marks: how the hole was given, and hole_sha256 what came of it · shape: how far a photo was
    extended · output: path, sums and how it was written."""

    report: Mapping[str, Any]
    photo: Source
    mask: Source | None
    marks: Mapping[str, Any]
    shape: Mapping[str, Any]
    hole_sha256: str
    output: Mapping[str, Any]


def place_of(output: Path) -> Path:
    """The sidecar of a result: photo.jpg, photo.jpg.json."""
    return output.with_name(output.name + ".json")


def check_place(output: Path, *, force: bool) -> None:
    """Raises OutputExists or OutputError where `write` would: call it before long work."""
    from eraser.files import placing

    place = place_of(output)
    placing.check_folder(place)
    placing.check_place(place, force)


def write(
    output: Path,
    report: Report,
    result: Photo,
    *,
    photo: Path,
    mask: Path | None = None,
    marks: Mapping[str, Any] | None = None,
    shape: Mapping[str, Any] | None = None,
    hole: np.ndarray | None = None,
    written: Mapping[str, Any] | None = None,
    force: bool = False,
) -> Path:
    """Write the sidecar of a result that was written to `output`; returns where. Reads the files for their sums.

    hole     (H, W) bool as it was painted · marks, shape: how it was asked for, as JSON holds it, where a mask file or
             the report's own options do not say it
    written  how the output was written: quality, provenance
    Raises OutputExists unless `force`, OutputError, InputError for a file that is gone.
    """
    from eraser.files import placing

    place = place_of(output)
    folder = place.resolve().parent
    content = report.to_json() | {
        "photo": _source(photo, folder),
        "mask": _source(mask, folder) if mask is not None else None,
        "marks": {"grow": str(report.options.get("grow", "auto"))} | plain(marks or {}),
        "shape": plain(shape or (report.options if report.mode == "outpaint" else {})),
        "hole_sha256": sum_of_pixels(hole) if hole is not None else "",
        "output": {
            "path": output.name,
            "sha256": sum_of(output),
            "pixels_sha256": sum_of_pixels(result.pixels),
            **plain(written or {}),
        },
    }
    text = json.dumps(content, indent=1, allow_nan=False) + "\n"
    with placing.replacing(place, force) as part:
        part.write_text(text, encoding="utf-8")
    return place


def read(path: Path) -> Sidecar:
    """Raises InputError for a file that is none, or of a later version."""
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}", hint="name the JSON file beside a result") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})", hint="name a sidecar") from error
    hint = "name the JSON file that --report wrote beside a result"
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES} bytes")
        try:
            content = json.loads(data)
        except UnicodeDecodeError:
            raise ValueError("it is no text") from None
        if not isinstance(content, dict) or type(content.get("schema")) is not int:
            raise ValueError("it has no schema")
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is no sidecar ({error})", hint=hint) from error
    if content["schema"] > SCHEMA:
        raise InputError(
            f"{path} is of schema {content['schema']}, this version reads up to {SCHEMA}", hint="update magic-eraser"
        )
    try:
        return _parsed(content)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is a damaged sidecar ({type(error).__name__}: {error})", hint=hint) from error


def differences(before: Mapping[str, Any], now: Mapping[str, Any], where: str = "") -> list[str]:
    """What differs between two parts of reports, as clauses like "numpy was 2.1.0 and is 2.3.1"."""
    found = []
    for key in [*before, *(key for key in now if key not in before)]:
        old, new = before.get(key), now.get(key)
        name = f"{where}{key}"
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += differences(old, new, f"{name}.")
        elif old != new:
            found.append(f"{name} was {_short(old)} and is {_short(new)}")
    return found


def sum_of_pixels(pixels: np.ndarray) -> str:
    """SHA-256 of type, shape and values: the same for the same picture, however a file holds it."""
    import numpy as np

    found = hashlib.sha256(f"{pixels.dtype.newbyteorder('<').str} {pixels.shape} ".encode())
    for row in pixels:  # a copy of the whole would take as much memory again
        found.update(np.ascontiguousarray(row.astype(pixels.dtype.newbyteorder("<"), copy=False)).data)
    return found.hexdigest()


def sum_of(path: Path, *, hint: str = "check the path") -> str:
    """SHA-256 of a file's bytes. Raises InputError."""
    try:
        return digest(path)
    except FileNotFoundError:
        raise InputError(f"there is no file {path}", hint=hint) from None
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error})", hint=hint) from error


def _source(path: Path, folder: Path) -> dict[str, str]:
    """Seen from the sidecar's folder where that is possible: both may move together."""
    whole = path.resolve()
    try:
        seen = Path(os.path.relpath(whole, folder)).as_posix()
    except ValueError:  # another drive
        seen = whole.as_posix()
    return {"path": seen, "sha256": sum_of(path)}


def _parsed(content: dict[str, Any]) -> Sidecar:
    for name, kind in (("mode", str), ("engine", str), ("seed", int), ("tries", int), ("versions", dict)):
        if not isinstance(content[name], kind) or isinstance(content[name], bool):
            raise TypeError(f"{name} is {_short(content[name])}")
    for name in ("facts", "options", "marks", "shape", "output"):
        if not isinstance(content[name], dict):
            raise TypeError(f"{name} is {_short(content[name])}")
    size = content["shape"].get("size", [1, 1])
    if not isinstance(size, list) or [type(side) for side in size] != [int, int]:
        raise TypeError(f"size is {_short(size)}")
    prompt = content["prompt"]
    if not (prompt is None or isinstance(prompt, str)):
        raise TypeError(f"prompt is {_short(prompt)}")
    mask = content["mask"]
    return Sidecar(
        report=content,
        photo=_parsed_source(content["photo"]),
        mask=_parsed_source(mask) if mask is not None else None,
        marks=content["marks"],
        shape=content["shape"],
        hole_sha256=str(content["hole_sha256"]),
        output=content["output"],
    )


def _parsed_source(content: dict[str, Any]) -> Source:
    path, found = content["path"], content["sha256"]
    if not isinstance(path, str) or not isinstance(found, str) or "\0" in path:
        raise TypeError(f"a file is {_short(content)}")
    return Source(path, found)


def _short(value: Any) -> str:
    if value is None:
        return "not there"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 40 else f"{text[:37]}..."
