"""The pocket engine: a small diffusion model draws the structure, the patch engine carries it to full size.

The model (training/README.md) is a hole-aware denoiser in pixels, run by onnxruntime inside the package's own sampling
loop. It looks at the hole and what lies near it, shrunk to at most `side` pixels.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Generator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eraser.canvas import View
from eraser.engines.base import EngineInfo, Progress
from eraser.engines.frame import (
    drawn_size,
    shown,
    shrink,
    surroundings,
    told,
    trouble_with,
    without_a_drawing,
)
from eraser.engines.graphs import Graph
from eraser.engines.loaded_files import LoadedFiles
from eraser.engines.patch import PatchEngine
from eraser.engines.patch_levels import Workers
from eraser.engines.structure import Drawing, carry
from eraser.errors import DamagedWeights
from eraser.geometry import Box
from eraser.machine import usable_processors
from eraser.sampling import sample
from eraser.schedule import karras
from eraser.weights import Weights, find

VERSION = 1  # of the graph's inputs and outputs, as training/export.py writes it
INPUTS = ("noisy", "sigma", "known", "hole")
LEAST_SIDE = 16  # pixels: thinner drawings say nothing


@dataclass(frozen=True, slots=True)
class Options:
    side: int = 192  # pixels of the drawing's longer side, at most
    context: float = 0.75  # of the hole's longer side, that the model sees on every side of it
    least_context: int = 24  # pixels
    steps: int = 16
    high: float = 80.0  # noise levels, in the [-1, 1] range
    low: float = 0.02
    order: int = 2
    eta: float = 0.0


class PocketDenoiser:
    """E[clean | noisy, known pixels] for (B, 3, H, W) float32, H and W multiples of `stride`.

    device: auto (a GPU where there is one), cpu, or gpu; `runs_on` tells what it became.
    Raises MissingExtra, MissingWeights, DamagedWeights, and EngineError where a GPU was asked for and is not had.
    """

    sees_known = True

    def __init__(self, path: Path, *, device: str = "auto", threads: int | None = None) -> None:
        self._graph = Graph(path, device=device, threads=threads or usable_processors())
        try:
            self.notes: dict[str, Any] = json.loads(self._graph.session.get_modelmeta().custom_metadata_map["pocket"])
            version, self.stride = self.notes["version"], int(self.notes["stride"])
        except (KeyError, ValueError) as error:
            raise DamagedWeights(f"{path} is no pocket model: it carries no notes") from error
        if version != VERSION:
            raise DamagedWeights(f"{path} is of version {version}, this engine reads version {VERSION}")

    @property
    def runs_on(self) -> str:
        return self._graph.runs_on

    def __call__(self, noisy: np.ndarray, sigma: float, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
        values = (noisy, np.full(len(noisy), sigma, np.float32), known, hole)
        clean: np.ndarray = self._graph(dict(zip(INPUTS, values, strict=True)))
        return clean


class PocketEngine:
    """See the module. weights: those of a release, which are looked for and checked, or a file as it is."""

    def __init__(
        self,
        info: EngineInfo,
        weights: Weights | Path,
        *,
        options: Options | None = None,
        device: str = "auto",
        threads: int | None = None,
    ) -> None:
        self.info = info
        self._options = options or Options()
        self._path = find(weights) if isinstance(weights, Weights) else weights
        self.files = LoadedFiles.now({self._path.name: self._path})
        self.sums = self.files.only  # of its weights, for reports
        self._denoiser = PocketDenoiser(self._path, device=device, threads=threads)
        self._workers = Workers(threads or usable_processors())
        self._patches = PatchEngine(info, threads=threads)

    @property
    def runs_on(self) -> str:
        return self._denoiser.runs_on

    @property
    def facts(self) -> dict[str, Any]:
        """For reports."""
        return {"model": self._path.name, "options": asdict(self._options)}

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True: the Engine contract. There is no prompt to take."""
        box = surroundings(view.hole, self._options)
        if trouble := self._trouble(view, box):
            return (yield from without_a_drawing(self._patches, view, seed, trouble))
        drawing = yield from self._draw(view, box, seed)
        steps = carry(view, drawing, seed=seed, workers=self._workers)
        return (yield from told(steps, "", 0.5, 0.5))

    def _trouble(self, view: View, box: Box) -> str:
        """Why the model cannot draw this, or "" if it can."""
        if trouble := trouble_with(view, box):
            return trouble
        height, width = drawn_size(box, self._options)
        if min(height, width) < LEAST_SIDE:
            return f"a window of {box.width}x{box.height} is too thin for the model"
        return ""

    def _draw(self, view: View, box: Box, seed: int) -> Generator[Progress, None, Drawing]:
        options = self._options
        height, width = drawn_size(box, options)
        known, hole = shrink(view.pixels[box.slices], view.hole[box.slices], height, width)
        if not hole.any():  # thinner than half a pixel of the drawing: its smooth surroundings are the structure
            yield Progress(0.5, "structure: the hole is too thin to be seen at the model's size")
            return Drawing(known, box)
        stride = self._denoiser.stride
        bottom, right = -height % stride, -width % stride
        # what lies beyond the window is not known either
        padded = np.pad(known, ((0, bottom), (0, right), (0, 0)))
        wanted = np.pad(hole, ((0, bottom), (0, right)), constant_values=True)
        colours = np.broadcast_to(padded, (*padded.shape[:2], 3)).transpose(2, 0, 1)[None]
        rng = np.random.default_rng((seed, 5))
        sigmas = karras(options.high, options.low, options.steps)
        drawing = Drawing(known, box)
        for step in sample(
            self._denoiser,
            np.ascontiguousarray(colours, np.float32),
            wanted[None, None].astype(np.float32),
            sigmas,
            noise=lambda shape: rng.standard_normal(shape, np.float32),
            eta=options.eta,
            order=options.order,
        ):
            drawn = step.clean[0].transpose(1, 2, 0)[:height, :width]
            grey = view.pixels.shape[2] == 1
            drawing = Drawing(drawn.mean(axis=2, keepdims=True) if grey else drawn, box)
            yield Progress(
                0.5 * (step.index + 1) / options.steps,
                f"structure at {width}x{height}, on the {self.runs_on}",
                functools.partial(shown, view, drawing),
            )
        return replace(drawing, pixels=np.clip(drawing.pixels, -1, 1))
