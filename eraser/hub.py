"""Diffusers repositories in the hub's cache or a folder of weights: found, checked, brought along and removed."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eraser import weights
from eraser.errors import DamagedWeights, FetchFailed, MissingWeights, OutputError
from eraser.tensor_files import tensors

INDEX = "model_index.json"
DESCRIPTIONS = ("*.json", "*.txt", "*.model", "*.jinja")
# what describes and holds a pipeline: no pickles, no other frameworks' files, no second copy as one file at the top
WANTED = (INDEX, "LICENSE*", "README.md", *(f"*/{name}" for name in DESCRIPTIONS), "*/*.safetensors")
VARIANT = re.compile(r"\.(fp16|bf16|fp8|non_ema|ema)[.-]")


@dataclass(frozen=True, slots=True)
class Repository:
    """A checkpoint in diffusers' folder format, as it was released."""

    name: str  # owner/name
    revision: str  # a commit; "" where none is pinned
    licence: str
    limits: str  # of the licence, in half a sentence
    gigabytes: float  # to fetch, about
    variant: str = ""  # files that are fetched instead of twice as large ones, where there are such
    gated: bool = False  # its makers ask for an account, and for their terms to be accepted
    sums: tuple[tuple[str, str], ...] = ()  # (file, SHA-256) where they are known before the hub is asked


def cache() -> Path:
    """Where the hub's own tools keep repositories."""
    if named := os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE"):
        return Path(named).expanduser()
    if home := os.environ.get("HF_HOME"):
        return Path(home).expanduser() / "hub"
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "huggingface" / "hub"


def shelf(name: str) -> Path:
    """The cache's folder of one repository, there or not."""
    return cache() / ("models--" + name.replace("/", "--"))


def snapshot(name: str, revision: str = "") -> Path | None:
    """A repository's files as the cache has them, of that commit or, without it, of what was fetched last.

    The folder's name is the commit.
    """
    snapshots = shelf(name) / "snapshots"
    wanted = [revision] if revision else []
    with contextlib.suppress(OSError):
        wanted.append((shelf(name) / "refs" / "main").read_text(encoding="utf-8").strip())
    with contextlib.suppress(OSError):
        others = [path for path in snapshots.iterdir() if path.is_dir()]
        wanted += [path.name for path in sorted(others, key=lambda path: path.stat().st_mtime, reverse=True)]
    return next((snapshots / commit for commit in wanted if commit and (snapshots / commit).is_dir()), None)


def find(key: str, repository: Repository) -> Path | None:
    """Where a checkpoint is: a folder of weights that was brought along, or the cache; None where it is not."""
    for folder in weights.folders():
        if (folder / key / INDEX).is_file():
            return folder / key
    found = snapshot(repository.name, repository.revision)
    return found if found and (found / INDEX).is_file() else None


def index(folder: Path) -> dict[str, Any]:
    """What model_index.json says. Raises MissingWeights and DamagedWeights."""
    file = folder / INDEX
    if not file.is_file():
        if not folder.is_dir():
            raise MissingWeights(
                f"there is no checkpoint called {folder}, and no folder",
                hint="eraser models list tells the names; a folder's path is looked for from where you are",
            )
        raise MissingWeights(
            f"{folder} holds no diffusers checkpoint", hint=f"name the folder in which its {INDEX} lies"
        )
    try:
        said = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedWeights(f"{file} cannot be read ({error})", hint="fetch it again") from error
    if not isinstance(said, dict) or not isinstance(said.get("_class_name"), str):
        raise DamagedWeights(f"{file} names no pipeline", hint="fetch it again")
    return said


def components(folder: Path) -> list[str]:
    """The parts that the pipeline is made of."""
    return parts_of(index(folder))


def parts_of(said: dict[str, Any]) -> list[str]:
    return [
        name
        for name, value in said.items()
        if isinstance(value, list) and len(value) == 2 and all(isinstance(word, str) for word in value)
    ]


def belongs(name: str, parts: list[str]) -> bool:
    """Whether a file is at a repository's top, or in a part: not what lies beside for other programs."""
    part = name.rpartition("/")[0]
    return not part or part in parts


def variant(folder: Path) -> str:
    """The one spelling of a folder's weights where it has no plain ones, as unet/...fp16.safetensors; else ""."""
    files = list(folder.glob("*/*.safetensors"))
    plain = {path.parent for path in files if not VARIANT.search(path.name)}
    spelt = {found[1] for path in files if path.parent not in plain and (found := VARIANT.search(path.name))}
    return spelt.pop() if len(spelt) == 1 else ""


def files(folder: Path, part: str) -> list[Path]:
    """The safetensors files that a part of a pipeline is loaded from."""
    found = sorted((folder / part).glob("*.safetensors"))
    plain = [path for path in found if not VARIANT.search(path.name)]
    chosen = plain or found
    if len(chosen) > 1:  # a whole one beside its shards is the same again
        chosen = [path for path in chosen if re.search(r"-\d+-of-\d+\.", path.name)] or chosen
    return chosen


def descriptions(folder: Path, part: str) -> list[Path]:
    """The small files that a part of a pipeline is described by."""
    found = (path for pattern in DESCRIPTIONS for path in (folder / part).glob(pattern))
    return sorted(path for path in found if not path.name.endswith(".index.json"))


def check(folder: Path) -> None:
    """Raises MissingWeights for files that are not there, DamagedWeights for those that are cut short."""
    again = "fetch it again: what has come is kept"
    for part in components(folder):
        place = folder / part
        if not place.is_dir() or not any(place.iterdir()):
            raise MissingWeights(f"{folder} lacks its part {part}", hint=again)
        if not (place / "config.json").is_file():
            continue  # words and schedules, which have no weights
        for listing in place.glob("*.safetensors.index.json"):
            if VARIANT.search(listing.name) and variant(folder) == "":
                continue
            named = set(json.loads(listing.read_text(encoding="utf-8")).get("weight_map", {}).values())
            for name in sorted(named):
                if not (place / name).is_file():
                    raise MissingWeights(f"{folder} lacks {part}/{name}", hint=again)
        here = files(folder, part)
        if not here:
            pickled = any(place.glob("*.bin"))
            raise MissingWeights(
                f"{folder} has no safetensors weights of its part {part}"
                + (", only pickled ones, which are not read" if pickled else ""),
                hint="take a release in safetensors" if pickled else again,
            )
        for path in here:
            tensors(path)


def needed(folder: Path, itemsize: int) -> int:
    """Bytes of memory for a folder's weights when floats are `itemsize` bytes wide."""
    return sum(
        tensor.in_memory(itemsize)
        for part in components(folder)
        for path in files(folder, part)
        for tensor in tensors(path).values()
    )


def verify(folder: Path) -> Iterator[bool]:
    """Read every file, yielding for each whether it could be compared: files of the hub's cache are, with the sums that
    they are stored under; those of other folders are only looked at for being there and whole.

    Raises MissingWeights and DamagedWeights.
    """
    check(folder)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        stored = path.resolve()
        found = sum_of(stored, len(stored.name)) if stored.parent.name == "blobs" else None
        if found not in (None, stored.name):
            raise DamagedWeights(
                f"{path} is not what was released", hint="remove it with eraser models remove, and fetch it again"
            )
        yield found is not None


def sum_of(stored: Path, digits: int) -> str | None:
    """The sum that the hub names files by: SHA-256 for large ones (64 digits), git's for small ones (40)."""
    try:
        with stored.open("rb") as data:
            if digits == 64:
                return hashlib.file_digest(data, "sha256").hexdigest()
            if digits == 40:
                content = data.read()
                return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()
    except OSError as error:
        raise MissingWeights(f"{stored} cannot be read ({error.strerror or error})") from error
    return None


def add(key: str, folder: Path) -> Path:
    """Take a copy of a checkpoint's folder that came another way, without its pickles. Raises as `check` does, and
    FetchFailed without room."""
    check(folder)
    home = weights.home()
    place, part = home / key, home / f".{key}.{os.getpid()}.part"
    if place.exists() and place.samefile(folder):
        return place
    parts = components(folder)
    listed = [path for pattern in WANTED for path in folder.glob(pattern) if path.is_file()]
    wanted = [path for path in listed if belongs(path.relative_to(folder).as_posix(), parts)]
    total = sum(path.stat().st_size for path in wanted)
    try:
        home.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(home).free
        if free < total:
            raise FetchFailed(
                f"{home} has room for {free / 1e9:.1f} GB, {total / 1e9:.1f} GB are needed",
                hint=f"make room, or name another folder in {weights.FOLDER}",
            )
        for path in wanted:
            target = part / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        if place.exists():
            shutil.rmtree(place)
        part.replace(place)
    except OSError as error:
        raise FetchFailed(f"{key} cannot be written to {home} ({error.strerror or error})") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return place


def remove(key: str, repository: Repository) -> list[Path]:
    """Remove a checkpoint from the folders of weights that can be fetched to, and from the hub's cache."""
    gone = [path for path in (weights.home() / key, shelf(repository.name)) if path.exists()]
    for path in gone:
        try:
            shutil.rmtree(path)
        except OSError as error:
            raise OutputError(f"{path} cannot be removed ({error.strerror or error})") from error
    return gone
