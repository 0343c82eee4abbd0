"""What made a result: gathered while it is painted, told as JSON."""

from __future__ import annotations

import functools
import platform
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from eraser.geometry import Box, Size
from eraser.judge import Verdict
from eraser.machine import processor_name
from eraser.provenance import PATCHES, TRAINED

SCHEMA = 1
ALWAYS, WHERE_LOADED = ("numpy", "scipy", "numba", "pillow"), ("onnxruntime", "torch", "diffusers", "transformers")

OnReport = Callable[["Report"], object]


@dataclass(slots=True)
class Attempt:
    """One filling of a window."""

    seed: int
    facts: dict[str, Any] = field(default_factory=dict)  # what the engine said on the way
    verdict: Verdict | None = None  # where several were compared

    def hear(self, facts: Mapping[str, object]) -> None:
        """Take what a Progress says; `warnings` add up, anything else replaces what was said before."""
        said = [*self.facts.get("warnings", ())]
        news = facts.get("warnings", ())
        self.facts |= facts
        if said or news:
            self.facts["warnings"] = said + [str(one) for one in list_of(news) if str(one) not in said]

    def to_json(self) -> dict[str, Any]:
        judged = {} if self.verdict is None else self.verdict.facts
        return {"seed": self.seed} | judged | ({"facts": self.facts} if self.facts else {})


@dataclass(slots=True)
class Part:
    """One window. box: in the pixels that were painted on · attempts: in their order · kept: which of them."""

    box: Box
    hole_pixels: int
    attempts: list[Attempt] = field(default_factory=list)
    kept: int = 0
    seconds: float = 0.0

    @property
    def facts(self) -> dict[str, Any]:
        return self.attempts[self.kept].facts if self.attempts else {}

    def to_json(self) -> dict[str, Any]:
        box = self.box
        return {
            "box": [box.x, box.y, box.width, box.height],
            "hole_pixels": self.hole_pixels,
            "seconds": round(self.seconds, 3),
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "kept": self.attempts[self.kept].seed if self.attempts else None,
        }


@dataclass(frozen=True, slots=True)
class Report:
    """What made a result. `to_json()` is what a sidecar holds (docs/provenance.md).

    mode         erase, outpaint, or paint for windows of a canvas
    about        what the engine said of itself when the result was made
    sums         makes the sums of what it was loaded from, which reads whole files; None where there are none
    options      what was asked for beyond engine, seed, tries and prompt
    size         of the result · painted: its windows, in the order in which they were painted
    source_type  the IPTC term for what was done, which files carry
    versions     of this package, of Python and of what computes
    """

    mode: str
    engine: str
    licence: str
    device: str
    about: Mapping[str, Any]
    seed: int
    tries: int
    prompt: str | None
    options: dict[str, Any]
    size: Size
    painted: tuple[Part, ...]
    source_type: str
    started: datetime
    seconds: float
    versions: Mapping[str, str]
    sums: Callable[[], Any] | None = None

    @property
    def facts(self) -> Mapping[str, Any]:
        """What the engine says of itself: model, revision, options, and sums of its files, which are read for it; and
        how it drew this result, where it says so."""
        sums = {"sha256": self.sums()} if self.sums else {}
        return {**self.about, **how_drawn(self.painted), **sums}

    @property
    def hole_pixels(self) -> int:
        return sum(part.hole_pixels for part in self.painted)

    @property
    def kept(self) -> list[int]:
        """The seeds of the fillings that were kept, each once."""
        seeds = [part.attempts[part.kept].seed for part in self.painted if part.attempts]
        return list(dict.fromkeys(seeds))

    @property
    def warnings(self) -> list[str]:
        """What an engine had to say of fillings that were kept, each once."""
        said = [one for part in self.painted for one in list_of(part.facts.get("warnings", ()))]
        return list(dict.fromkeys(map(str, said)))

    @property
    def fallbacks(self) -> list[str]:
        """Why something else than the engine painted, each reason once."""
        return list(dict.fromkeys(str(part.facts["fallback"]) for part in self.painted if "fallback" in part.facts))

    def summary(self) -> dict[str, Any]:
        """`to_json` without what grows with the picture, its windows, and without reading files for their sums."""
        whole = replace(self, sums=None).to_json()
        del whole["windows"]
        return whole

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "mode": self.mode,
            "engine": self.engine,
            "licence": self.licence,
            "device": self.device,
            "facts": plain(self.facts),
            "seed": self.seed,
            "tries": self.tries,
            "kept": self.kept,
            "prompt": self.prompt,
            "options": plain(self.options),
            "width": self.size.width,
            "height": self.size.height,
            "hole_pixels": self.hole_pixels,
            "windows": [plain(part.to_json()) for part in self.painted],
            "source_type": self.source_type,
            "warnings": self.warnings,
            "fallbacks": self.fallbacks,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 3),
            "versions": dict(self.versions),
        }


class Recorder:
    """What one call does, as it goes on. Costs next to nothing while nobody asks for a report."""

    def __init__(self) -> None:
        self.parts: list[Part] = []
        self.started = datetime.now(UTC)
        self._start = time.perf_counter()

    def part(self, box: Box, hole_pixels: int) -> Part:
        self.parts.append(Part(box, hole_pixels))
        return self.parts[-1]

    @property
    def seconds(self) -> float:
        return time.perf_counter() - self._start

    def device(self, otherwise: str) -> str:
        """Where the engine said that it drew."""
        return str(how_drawn(self.parts).get("device", otherwise))

    def source_type(self, *, is_trained: bool) -> str:
        """The term for what was painted: a trained engine may have left all of it to the patch engine."""
        patches = all(part.facts.get("painted_by") == "patch" for part in self.parts)
        return TRAINED if is_trained and not patches else PATCHES


def how_drawn(parts: Iterable[Part]) -> dict[str, Any]:
    """What an engine said, as `drawn`, of how it drew the fillings that were kept; and how often the memory ran out in
    all of them."""
    attempts = [attempt.facts for part in parts for attempt in part.attempts if "drawn" in attempt.facts]
    kept = [part.facts["drawn"] for part in parts if "drawn" in part.facts]
    found: dict[str, Any] = {}
    for name in dict.fromkeys(name for drawn in kept for name in drawn):
        values = list(dict.fromkeys(drawn[name] for drawn in kept if name in drawn))
        found[name] = values[0] if len(values) == 1 else ", then ".join(map(str, values))
    if "memory_ran_out" in found:
        found["memory_ran_out"] = sum(facts["drawn"]["memory_ran_out"] for facts in attempts)
    return found


def versions() -> dict[str, str]:
    """Of everything that decides which pixels come out: this package, Python, libraries, the processor."""
    import eraser

    found = {"magic-eraser": eraser.__version__, "python": platform.python_version()}
    for name in (*ALWAYS, *(name for name in WHERE_LOADED if name in sys.modules)):
        try:
            found[name] = _version(name)
        except ImportError:  # onnxruntime has several names
            found[name] = str(getattr(sys.modules.get(name), "__version__", "unknown"))
    return found | {"system": platform.system(), "processor": processor_name()}


@functools.cache
def _version(name: str) -> str:
    from importlib import metadata

    return metadata.version(name)


def plain(value: Any) -> Any:
    """The value with nothing in it but what JSON holds; what has no such form as its text."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if value - value == 0 else str(value)  # infinity is no JSON
    return plain(value.tolist()) if isinstance(value, (np.generic, np.ndarray)) else str(value)


def list_of(value: object) -> list[object]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
