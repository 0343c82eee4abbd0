"""Checkpoints fetched from the hub: told before anything travels, and compared file by file before they count."""

from __future__ import annotations

import contextlib
import errno
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eraser import hub, weights
from eraser.errors import DamagedWeights, FetchFailed, MissingExtra
from eraser.hub import INDEX


@dataclass(frozen=True, slots=True)
class Shipment:
    """What is to be fetched, as the hub says."""

    repository: hub.Repository
    commit: str  # whose files these are
    names: tuple[str, ...]
    size: int  # bytes, all of it
    missing: int  # bytes that are not here yet
    sums: Mapping[str, str]  # of every file: SHA-256, or git's for small ones (64 and 40 digits)


def offered(repository: hub.Repository, *, endpoint: str = "") -> Shipment:
    """Ask the hub what there is to fetch; nothing travels but lists and model_index.json, which names the parts.

    Raises MissingExtra, FetchFailed, and DamagedWeights for an index that says nothing.
    """
    if weights.offline():
        raise FetchFailed(
            f"{repository.name} is not fetched because {' or '.join(weights.OFFLINE)} is set",
            hint="unset it, or bring a folder from another machine: eraser models add",
        )
    listed = _from_hub(repository, endpoint, allow_patterns=list(hub.WANTED), dry_run=True)
    if INDEX not in {file.filename for file in listed}:
        raise FetchFailed(f"{repository.name} holds no {INDEX}, so it is no diffusers checkpoint")
    commit = listed[0].commit_hash
    with tempfile.TemporaryDirectory(prefix="magic-eraser-") as place:  # in the cache it would look like a beginning
        parts = hub.components(
            Path(_from_hub(repository, endpoint, commit=commit, allow_patterns=[INDEX], local_dir=place))
        )
    names = _one_of_each([file.filename for file in listed if hub.belongs(file.filename, parts)], repository.variant)
    wanted = [file for file in listed if file.filename in names]
    size = sum(file.file_size for file in wanted)
    missing = sum(file.file_size for file in wanted if not file.is_cached)
    sums = {name: found for name, found in _sums(repository, commit, endpoint).items() if name in names}
    return Shipment(repository, commit, names, size, missing, sums | dict(repository.sums))


def fetch(shipment: Shipment, *, endpoint: str = "", quiet: bool = False) -> Path:
    """Fetch what was offered into the hub's cache, going on where it was broken off.

    Every file is read and its sum compared with the one that was offered; what differs is thrown away. The index comes
    last: without it nothing counts as a checkpoint. Raises FetchFailed, and DamagedWeights when what came is not what
    was offered, or not whole.
    """
    place = hub.cache()
    with contextlib.suppress(OSError):
        place.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(place if place.exists() else Path.home()).free
    if free < shipment.missing:
        raise FetchFailed(
            f"{place} has room for {free / 1e9:.1f} GB, {shipment.missing / 1e9:.1f} GB are needed",
            hint="make room, or name another folder in HF_HOME",
        )
    repository = shipment.repository
    first = [name for name in shipment.names if name != INDEX]
    for names in (first, [INDEX]):
        folder = Path(_from_hub(repository, endpoint, allow_patterns=names, quiet=quiet))
        if folder.name != shipment.commit:
            raise FetchFailed(f"{repository.name} was changed while it was fetched", hint="fetch it again")
        for name in names:
            _compare(folder, name, shipment.sums.get(name, ""))
    hub.check(folder)
    return folder


def _compare(folder: Path, name: str, expected: str) -> None:
    """Raises DamagedWeights, and removes the file and the index, unless the file has the sum that is expected."""
    path = folder / name
    if not path.is_file():
        raise FetchFailed(f"{name} did not come although it is listed", hint="fetch it again: what has come is kept")
    stored = path.resolve()
    found = hub.sum_of(stored, len(expected))
    if found is not None and found == expected:
        return
    for one in (stored, path, folder / INDEX):
        with contextlib.suppress(OSError):
            one.unlink()
    if found is None:
        raise DamagedWeights(f"nothing says what {name} should be, so it was thrown away", hint="try another mirror")
    raise DamagedWeights(
        f"{name} came with the sum {found[:12]}... instead of {expected[:12]}..., and was thrown away",
        hint="fetch it again, from another mirror if it was one: the other files are kept",
    )


def _sums(repository: hub.Repository, commit: str, endpoint: str) -> dict[str, str]:
    """What the hub's list of a commit's files gives for each: SHA-256 of large ones, git's own sum of small ones."""

    def listed(library: Any) -> dict[str, str]:
        api = library.HfApi(endpoint=endpoint.rstrip("/") or None)
        files = api.list_repo_tree(repository.name, recursive=True, revision=commit)
        return {
            file.path: str(file.lfs.sha256 if file.lfs else file.blob_id) for file in files if hasattr(file, "blob_id")
        }

    return _asked(repository, listed)


def _one_of_each(names: list[str], spelling: str) -> tuple[str, ...]:
    """Of weights that are offered twice, those spelt so where there are such, and else the plain ones."""
    kept = []
    for part in {name.rpartition("/")[0] for name in names}:
        inside = [name for name in names if name.rpartition("/")[0] == part]
        held = [name for name in inside if name.endswith((".safetensors", ".safetensors.index.json"))]
        spelt = [name for name in held if spelling and (found := hub.VARIANT.search(name)) and found[1] == spelling]
        kept += [name for name in inside if name not in held]
        kept += spelt or [name for name in held if not hub.VARIANT.search(name)] or held
    return tuple(sorted(kept))


def _from_hub(
    repository: hub.Repository, endpoint: str, *, commit: str = "", quiet: bool = True, **settings: Any
) -> Any:
    settings.setdefault("cache_dir", hub.cache())
    return _asked(
        repository,
        lambda library: library.snapshot_download(
            repository.name,
            revision=commit or repository.revision or "main",
            endpoint=endpoint.rstrip("/") or None,
            **settings,
        ),
        quiet=quiet,
    )


def _asked(repository: hub.Repository, ask: Callable[[Any], Any], *, quiet: bool = True) -> Any:
    """What the hub's client answers. Raises MissingExtra and FetchFailed."""
    try:
        import huggingface_hub
        from huggingface_hub.utils import disable_progress_bars, enable_progress_bars
    except ImportError as error:
        raise MissingExtra(
            f"{error.name} is not installed", hint="pip install -e '.[diffusion]' in the clone"
        ) from error
    try:
        if quiet:
            disable_progress_bars()
        return ask(huggingface_hub)
    except Exception as error:  # the client's own, and those of whatever it uses
        raise _told(repository, error) from error
    finally:
        if quiet:
            enable_progress_bars()


def _told(repository: hub.Repository, error: BaseException) -> FetchFailed:
    """The one sentence for what the hub's client raises, whose reason may lie deep."""
    from huggingface_hub.errors import GatedRepoError, RevisionNotFoundError

    chain = list(_chain(error))
    if any(isinstance(one, GatedRepoError) for one in chain):
        return FetchFailed(
            f"{repository.name} is given only to accounts that accept its terms ({repository.licence})",
            hint=f"accept them at huggingface.co/{repository.name}, then: hf auth login",
        )
    if any(isinstance(one, RevisionNotFoundError) for one in chain):
        return FetchFailed(f"{repository.name} has no commit {repository.revision}", hint="look at the address")
    if any(getattr(one, "errno", None) in (errno.ENOSPC, errno.EDQUOT) for one in chain):
        return FetchFailed(
            f"no room is left in {hub.cache()} for {repository.name} (about {repository.gigabytes:g} GB)",
            hint="make room, or name another folder in HF_HOME; what has come is kept",
        )
    status = next((code for one in chain if (code := getattr(getattr(one, "response", None), "status_code", 0))), 0)
    if status in (401, 403, 404):
        return FetchFailed(
            f"the hub answers {status} for {repository.name}", hint="look at the name, or log in: hf auth login"
        )
    words = " ".join(str(chain[-1]).split())[:160] or type(chain[-1]).__name__
    return FetchFailed(
        f"{repository.name} could not be fetched ({words})",
        hint="look at the network, or try again: what has come is kept",
    )


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
