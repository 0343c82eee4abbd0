"""What every engine is: a description, and a generator that fills the hole of a view."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from eraser.canvas import View
from eraser.geometry import Box


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What a person choosing an engine wants to know."""

    name: str
    summary: str
    licence: str
    weights: str = ""  # "" when there is nothing to download
    needs: str = "any CPU"
    extra: str = ""  # the optional dependency to install, "" when the base install is enough
    takes_prompt: bool = False

    @property
    def is_trained(self) -> bool:
        """Whether a model that learnt from pictures draws, so that files say so."""
        return bool(self.weights)


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a call has come. `preview()` draws the present state as (H, W, C) float32 in [-1, 1] when asked."""

    fraction: float  # of the whole call, in [0, 1], never falling
    note: str
    preview: Callable[[], np.ndarray] | None = None
    box: Box | None = None  # the part of the canvas that the preview shows; engines leave it out
    facts: Mapping[str, object] = field(default_factory=dict)  # for the result's report, as JSON holds it


class Engine(Protocol):
    """A loaded engine. Thread-safe: several calls may run `fill` at once.

    One that computes elsewhere than on the CPU says where, in an attribute `runs_on` ("GPU"); one that has more to say
    of itself has an attribute `facts`, a mapping as JSON holds it: model, revision, sha256, options. It is asked for
    where somebody wants to know, after any filling, so what takes long (a sum of large files) is found out once. The
    facts of a Progress are those of one filling: seed, tries, kept, options, warnings (a list of sentences, which add
    up), and where another engine painted instead of this one, painted_by (its name) and fallback (why, as a sentence).
    """

    info: EngineInfo

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True; yields Progress, returns (H, W, C) float32 in [-1, 1].

        Whoever iterates may stop: closing the generator frees everything and costs at most one step.
        Pixels outside the hole of the returned array are not looked at.
        """
        ...
