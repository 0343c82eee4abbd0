"""Engines by name. An engine's module is imported when it is loaded, not before."""

from __future__ import annotations

import gc
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from weakref import WeakValueDictionary

from eraser.engines.base import Engine, EngineInfo
from eraser.engines.onnx_records import LAMA, MIGAN
from eraser.errors import MissingWeights, UnknownEngine
from eraser.weights import Weights

AUTO = "auto"


@dataclass(frozen=True, slots=True)
class Entry:
    info: EngineInfo
    factory: str  # "module:callable", called with the EngineInfo, and with what stands behind the colon of a name
    takes: str = ""  # what must stand behind the colon, as in onnx:FILE; "" for nothing
    files: tuple[Weights, ...] = ()  # what it reads, where that is a file by itself
    is_kept: bool = True  # here; False where its module keeps what is large, which several engines share


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
        Entry(
            EngineInfo(
                name="lama",
                summary="LaMa draws the structure in one go at 512 pixels, the photo gives the texture",
                licence="Apache-2.0",
                weights="lama_fp32.onnx, 208 MB",
            ),
            "eraser.engines.onnx:released",
            files=(LAMA.weights,),
        ),
        Entry(
            EngineInfo(
                name="migan",
                summary="MI-GAN, small and quick, draws the structure at 512 pixels, the photo gives the texture",
                licence="MIT",
                weights="migan_pipeline_v2.onnx, 28 MB",
            ),
            "eraser.engines.onnx:released",
            files=(MIGAN.weights,),
        ),
        Entry(
            EngineInfo(
                name="onnx",
                summary="a one-shot eraser in an ONNX file of yours draws the structure, the photo gives the texture",
                licence="the file's",
                weights="your file: onnx:FILE",
            ),
            "eraser.engines.onnx:from_file",
            takes="FILE",
        ),
        Entry(
            EngineInfo(
                name="latent",
                summary="a latent diffusion checkpoint draws the structure, with or without a prompt",
                licence="the checkpoint's",
                weights="sd15, sdxl, flux-fill ..., a folder or a file: latent:CHECKPOINT",
                needs="a GPU, or patience",
                extra="diffusion",
                takes_prompt=True,
            ),
            "eraser.engines.latent:load",
            takes="CHECKPOINT",
            is_kept=False,
        ),
    ]
}

MOST_KEPT = 8
_kept: OrderedDict[tuple[str, str], Engine] = OrderedDict()  # the one that was asked for last at the end
_held: WeakValueDictionary[tuple[str, str], Engine] = WeakValueDictionary()  # by others, not kept here
_lock = threading.RLock()  # an engine may load another to begin with


def engines() -> list[EngineInfo]:
    """What there is to choose from, in the order in which `auto` would look."""
    return [entry.info for entry in ENTRIES.values()]


def load(name: str = AUTO) -> Engine:
    """The engine of that name, loaded anew only if its files have changed, or if enough others were asked for since
    that it was let go. Raises UnknownEngine and whatever its loading raises."""
    key = head, argument = check(next(iter(ENTRIES)) if name == AUTO else name)
    with _lock:
        engine = _kept.pop(key, None) or _held.get(key)
        if engine is None or _is_outdated(engine):
            engine = _made(head, argument)
        if ENTRIES[head].is_kept:
            _kept[key] = engine
            while len(_kept) > MOST_KEPT:
                _kept.popitem(last=False)
        else:
            _held[key] = engine
        return engine


def let_go(engine: Engine) -> Callable[[], object]:
    """Keep this engine no longer. Returns what frees its memory, to be called when the caller holds it no more; what
    others hold, or a filling runs in, stays for as long."""
    with _lock:
        for key in [key for key, kept in _kept.items() if kept is engine]:
            del _kept[key]
        own: Callable[[], Callable[[], object]] | None = getattr(engine, "let_go", None)
        return gc.collect if own is None else own()


def _is_outdated(engine: Engine) -> bool:
    files = getattr(engine, "files", None)
    return files is not None and bool(files.changed)


def check(name: str) -> tuple[str, str]:
    """The two parts of a name that can be loaded. Raises UnknownEngine, and MissingWeights for a part left out."""
    head, _, argument = name.partition(":")
    if head not in ENTRIES or (argument and not ENTRIES[head].takes):
        known = ", ".join([AUTO, *(spelt(entry) for entry in ENTRIES.values())])
        raise UnknownEngine(f'there is no engine "{name}"', hint=f"choose one of {known}")
    if ENTRIES[head].takes and not argument:
        raise MissingWeights(f'the engine "{head}" is told what to run', hint=f"write {spelt(ENTRIES[head])}")
    return head, argument


def from_others(name: str, own: str) -> str:
    """The engine for a name that somebody else chose than whoever runs this program; own: what that one chose.

    What stands behind a colon names files of this machine and turns switches, the safety checker's among them. So
    others write what stands before it, and do not see the rest. Raises UnknownEngine.
    """
    if name not in (known := open_to_others(own)):
        raise UnknownEngine(f'there is no engine "{name:.60}" on offer here', hint=f"choose one of {', '.join(known)}")
    return own if name == own.partition(":")[0] else name


def open_to_others(own: str) -> list[str]:
    """The names that `from_others` knows."""
    whole = [entry.info.name for entry in ENTRIES.values() if not entry.takes]
    return list(dict.fromkeys([AUTO, *whole, own.partition(":")[0]]))


def spelt(entry: Entry) -> str:
    """The name as one writes it, like onnx:FILE."""
    return f"{entry.info.name}:{entry.takes}" if entry.takes else entry.info.name


def _made(head: str, argument: str) -> Engine:
    entry = ENTRIES[head]
    module, factory = entry.factory.split(":")
    make = getattr(import_module(module), factory)
    engine: Engine = make(replace(entry.info, name=f"{head}:{argument}"), argument) if argument else make(entry.info)
    return engine
