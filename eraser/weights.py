"""Weights: found on disk, fetched when someone asks for it, and checked before anything reads them."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eraser.errors import DamagedWeights, FetchFailed, MissingWeights

FOLDER = "ERASER_WEIGHTS"  # environment variable: a folder that is looked into first, and fetched into
OFFLINE = ("ERASER_OFFLINE", "HF_HUB_OFFLINE")  # either of them set: nothing is fetched
CHUNK = 1 << 20  # bytes
ATTEMPTS = 3  # a connection that breaks is taken up again so often, as long as it brings something
SILENCE = 60.0  # seconds without a byte are a broken connection


@dataclass(frozen=True, slots=True)
class Weights:
    """One file, exactly as it was released."""

    name: str
    size: int  # bytes
    sha256: str
    licence: str
    url: str = ""  # where it was released; "" where it cannot be fetched
    limits: str = ""  # of the licence, in half a sentence


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


def home() -> Path:
    """Where weights are fetched to: the folder that ERASER_WEIGHTS names, or the user's data folder."""
    places = folders()
    return places[0] if os.environ.get(FOLDER) else places[-1]


def present(weights: Weights) -> Path | None:
    """Where the file is, unread; None where it is not."""
    return next((place / weights.name for place in folders() if (place / weights.name).is_file()), None)


def find(weights: Weights, *, get: str = "") -> Path:
    """The file, its every byte checked. Raises MissingWeights, or DamagedWeights for another version or a torn file.

    get: what to do about a missing file, for its error's hint
    """
    path = present(weights)
    if path is None:
        raise MissingWeights(
            f"{weights.name} ({weights.size / 1e6:.0f} MB) is in none of {', '.join(map(str, folders()))}",
            hint=get or f"install the package again, or put the file into a folder and name that in {FOLDER}",
        )
    return verified(path, weights)


def verified(path: Path, weights: Weights) -> Path:
    """The path, if what is there is `weights`. Raises MissingWeights or DamagedWeights."""
    try:
        size = path.stat().st_size
        if size == weights.size:
            found = digest(path)
    except OSError as error:
        raise MissingWeights(f"{path} cannot be read ({error.strerror or error})") from error
    again = "put the released file there again, or remove it"
    if size < weights.size:
        raise DamagedWeights(f"{path} has {size} of {weights.size} bytes", hint=again)
    if size != weights.size or found != weights.sha256:
        raise DamagedWeights(f"{path} is not the {weights.name} of this version", hint=again)
    return path


def digest(path: Path) -> str:
    """The SHA-256 of a file, as hexadecimal digits. Raises OSError."""
    with path.open("rb") as data:
        return hashlib.file_digest(data, "sha256").hexdigest()


def offline() -> bool:
    """Whether the user forbids the network, by ERASER_OFFLINE or HF_HUB_OFFLINE."""
    return any(os.environ.get(name, "").strip().lower() in ("1", "true", "yes", "on") for name in OFFLINE)


def fetch(weights: Weights, *, url: str = "", folder: Path | None = None) -> Generator[int, None, Path]:
    """Fetch the file: yields the bytes that are there, returns its path. Stop iterating to stop; the next call resumes.

    url     a mirror, instead of where it was released; the bytes must be the same
    folder  where to, instead of `home()`
    The file is written beside its place, checked to the last byte, and moved there. Raises FetchFailed (offline, no
    answer, no room) and DamagedWeights (the bytes are others, which are thrown away).
    """
    source, folder = url or weights.url, folder or home()
    path = folder / weights.name
    if path.is_file():
        with contextlib.suppress(DamagedWeights):
            return verified(path, weights)
    if not source:
        raise FetchFailed(f"nobody said where to fetch {weights.name} from", hint="name a mirror")
    if offline():
        raise FetchFailed(
            f"{weights.name} is not fetched because {' or '.join(OFFLINE)} is set",
            hint="unset it, or bring the file from another machine: eraser models add",
        )
    # the sum is in the name, so that parts of two versions never meet
    part = folder / f".{weights.name}.{weights.sha256[:16]}.part"
    with _disk(part, weights):
        folder.mkdir(parents=True, exist_ok=True)
        have = part.stat().st_size if part.exists() else 0
        _check_room(folder, weights.size - have)
    for attempt in range(ATTEMPTS):
        before = have
        have = yield from _receive(source, part, weights)
        if have >= weights.size:
            break
        if attempt + 1 == ATTEMPTS or have <= before:
            raise FetchFailed(
                f"the connection broke after {have} of {weights.size} bytes of {weights.name}",
                hint="fetch it again: what has come so far is kept",
            )
    return _settle(part, path, weights)


def add(weights: Weights, file: Path, *, folder: Path | None = None) -> Path:
    """Take a copy of a file that came another way, if it is the released one. Raises as `verified` and `fetch` do."""
    verified(file, weights)
    folder = folder or home()
    path, part = folder / weights.name, folder / f".{weights.name}.{os.getpid()}.part"
    if path.exists() and path.samefile(file):
        return path
    with _disk(part, weights):
        folder.mkdir(parents=True, exist_ok=True)
        _check_room(folder, weights.size)
        with file.open("rb") as old, part.open("wb") as new:
            while block := old.read(CHUNK):
                new.write(block)
    return _settle(part, path, weights)


def _receive(source: str, part: Path, weights: Weights) -> Generator[int, None, int]:
    """Bring the part as far as one connection does: yields and returns how long it has become."""
    import http.client
    import urllib.error
    import urllib.request

    have = part.stat().st_size if part.exists() else 0
    if have >= weights.size:
        return have
    headers = {"User-Agent": "magic-eraser", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    try:
        request = urllib.request.Request(source, headers=headers)
        answer: Any = urllib.request.urlopen(request, timeout=SILENCE)
    except urllib.error.HTTPError as error:
        if error.code == 416:  # the server's file ends before our part does
            part.unlink()
        raise FetchFailed(
            f"{source} answers {error.code} {error.reason}", hint="look at the address, or try later"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise FetchFailed(f"{source} cannot be reached ({reason})", hint="look at the network, or try later") from error
    with contextlib.closing(answer):
        if answer.status != 206:
            have = 0  # it sends everything from the start
        _check_length(answer.headers, have, weights, source)
        with _disk(part, weights), part.open("ab" if have else "wb") as file:
            yield have
            while True:
                try:
                    block = answer.read(CHUNK)
                except (OSError, http.client.HTTPException):
                    block = b""  # broken off: what has come is good
                if not block:
                    return have
                file.write(block)
                have += len(block)
                if have > weights.size:
                    break
                yield have
    part.unlink()
    raise DamagedWeights(f"{source} sends more than the {weights.size} bytes of {weights.name}")


def _check_length(headers: Any, have: int, weights: Weights, source: str) -> None:
    length = headers.get("Content-Length")
    if length is not None and length.isdigit() and have + int(length) != weights.size:
        raise DamagedWeights(
            f"{source} has {have + int(length)} bytes, {weights.name} has {weights.size}",
            hint="it is another file: look at the address",
        )


def _check_room(folder: Path, needed: int) -> None:
    import shutil

    free = shutil.disk_usage(folder).free
    if free < needed:
        raise FetchFailed(
            f"{folder} has room for {free / 1e6:.0f} MB, {needed / 1e6:.0f} MB are needed",
            hint=f"make room, or name another folder in {FOLDER}",
        )


def _settle(part: Path, path: Path, weights: Weights) -> Path:
    try:
        verified(part, weights)
    except DamagedWeights as error:
        part.unlink(missing_ok=True)
        raise DamagedWeights(
            f"what came is not the {weights.name} of this version, and was thrown away", hint="look at the address"
        ) from error
    with _disk(part, weights):
        part.replace(path)
    return path


@contextlib.contextmanager
def _disk(part: Path, weights: Weights) -> Generator[None]:
    """Trouble with files is told as FetchFailed; a part that filled the disk is removed."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            part.unlink(missing_ok=True)
        raise FetchFailed(
            f"{weights.name} cannot be written to {part.parent} ({error.strerror or error})",
            hint=f"make room, or name another folder in {FOLDER}",
        ) from error
