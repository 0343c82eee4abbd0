"""Engines by name. An engine's module is imported when it is loaded, not before."""

from __future__ import annotations

import functools
import threading
from dataclasses import dataclass
from importlib import import_module

from eraser.engines.base import Engine, EngineInfo
from eraser.errors import UnknownEngine

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Entry:
    info: EngineInfo
    factory: str  # "module:callable", called with the EngineInfo


ENTRIES = {
    entry.info.name: entry
    for entry in [
        Entry(
            EngineInfo(
                name="patch",
                summary="continues the photo with its own texture, from coarse to fine; nothing to download",
                licence="Apache-2.0",
            ),
            "eraser.engines.patch:PatchEngine",
        ),
    ]
}

_lock = threading.Lock()


def engines() -> list[EngineInfo]:
    """What there is to choose from, in the order in which `auto` would look."""
    return [entry.info for entry in ENTRIES.values()]


def load(name: str = AUTO) -> Engine:
    """The engine of that name, loaded once per process. Raises UnknownEngine and whatever its loading raises."""
    if name == AUTO:
        name = next(iter(ENTRIES))
    if name not in ENTRIES:
        known = ", ".join([AUTO, *ENTRIES])
        raise UnknownEngine(f'there is no engine "{name}"', hint=f"choose one of {known}")
    with _lock:
        return _load(name)


@functools.cache
def _load(name: str) -> Engine:
    entry = ENTRIES[name]
    module, factory = entry.factory.split(":")
    engine: Engine = getattr(import_module(module), factory)(entry.info)
    return engine
