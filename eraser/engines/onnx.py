"""One-shot erasers through onnxruntime: LaMa, MI-GAN, or any such graph in a file of yours.

The graph draws the hole and what lies near it at the size it knows; the patch engine carries that to full size with the
photo's own texture (structure.py). What the graph does to known pixels is never looked at.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from eraser.canvas import View
from eraser.engines.base import EngineInfo, Progress
from eraser.engines.film import with_grain
from eraser.engines.frame import shown, shrink, surroundings, told, trouble_with, widened, without_a_drawing
from eraser.engines.graphs import Graph
from eraser.engines.loaded_files import LoadedFiles
from eraser.engines.onnx_records import RANGES, RECORDS, Convention
from eraser.engines.patch import PatchEngine
from eraser.engines.patch_levels import Workers
from eraser.engines.structure import Drawing, carry
from eraser.errors import DamagedWeights, EngineError
from eraser.geometry import Box
from eraser.machine import usable_processors, wanted_device
from eraser.weights import find

TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(uint8)": np.uint8}
RIM = 3  # pixels of a drawing's hole, from its rim inwards, whose hue is compared with what lies outside
LUMA = np.array([0.299, 0.587, 0.114], np.float32)  # BT.601


@dataclass(frozen=True, slots=True)
class Context:
    side: int = 512
    context: float = 0.75  # of the hole's longer side, that the graph sees on every side of it
    least_context: int = 48  # pixels


def released(info: EngineInfo) -> OnnxEngine:
    record = RECORDS[info.name]
    path = find(record.weights, get=f"eraser models fetch {info.name}")
    return OnnxEngine(info, path, record.convention, sha256=record.weights.sha256)


def from_file(info: EngineInfo, file: str) -> OnnxEngine:
    path = Path(file).expanduser()
    return OnnxEngine(info, path, Convention.beside(path))


class OnnxEraser:
    """A graph and its convention: pictures and holes in, drawings out.

    `fixed` is (height, width) where the graph takes one size alone. Raises what `Graph` raises, and DamagedWeights for
    a graph that is no eraser.
    """

    def __init__(self, path: Path, convention: Convention, *, device: str, threads: int) -> None:
        self._convention = convention
        self._graph = Graph(path, device=device, threads=threads)
        self.name = path.stem
        inputs = self._graph.session.get_inputs()
        image, mask = _image_and_mask(inputs)
        if image is None or mask is None:
            found = ", ".join(f"{value.name} {value.type} {value.shape}" for value in inputs) or "nothing"
            raise DamagedWeights(
                f"{path} is no eraser: it takes {found}", hint="one takes a picture of 3 channels and a mask of 1"
            )
        self._image, self._mask = image, mask
        height, width = image.shape[2:]
        if isinstance(height, int) != isinstance(width, int):
            raise DamagedWeights(
                f"{path} is no eraser: one of its picture's sides is fixed, {height}x{width}, and the other is not",
                hint="one takes one size, or any",
            )
        self.fixed = (height, width) if isinstance(height, int) else None

    @property
    def runs_on(self) -> str:
        return self._graph.runs_on

    @property
    def trouble(self) -> str:
        """Why it does not run where it was to, or "" if it does."""
        return self._graph.trouble

    def __call__(self, known: np.ndarray, hole: np.ndarray) -> np.ndarray:
        """known (h, w, 3) in [-1, 1], hole (h, w) bool, of a size that the graph takes -> (h, w, 3) in [-1, 1]."""
        convention = self._convention
        image_type, mask_type = TYPES[self._image.type], TYPES[self._mask.type]
        middle, half = RANGES["0..255" if image_type == np.uint8 else convention.image]
        values = known.transpose(2, 0, 1)[None] * half + middle
        mask = (hole if convention.hole == "high" else ~hole)[None, None].astype(mask_type)
        drawn = self._graph(
            {
                self._image.name: (np.rint(values) if image_type == np.uint8 else values).astype(image_type),
                self._mask.name: mask * mask_type(255) if mask_type == np.uint8 else mask,
            }
        )
        if drawn.shape != values.shape:
            raise EngineError(
                f"{self.name} draws {drawn.shape} for a picture of {values.shape}", hint="it is no eraser of this kind"
            )
        middle, half = RANGES["0..255" if drawn.dtype == np.uint8 else convention.drawn]
        picture: np.ndarray = (drawn[0].transpose(1, 2, 0).astype(np.float32) - middle) / half
        if not np.isfinite(picture).all():
            raise EngineError(f"{self.name} draws numbers that are not finite", hint="its weights may be damaged")
        return np.clip(picture, -1, 1).astype(np.float32)


class OnnxEngine:
    """See the module. sha256: of the file, where it is known; a report's reader finds it out otherwise."""

    def __init__(
        self,
        info: EngineInfo,
        path: Path,
        convention: Convention,
        *,
        sha256: str = "",
        device: str | None = None,
        threads: int | None = None,
    ) -> None:
        self.info = info
        self._path = path
        self.files = LoadedFiles.now({path.name: path})
        self.sums: Callable[[], str] = (lambda: sha256) if sha256 else self.files.only  # of its weights, for reports
        self._convention = convention
        threads = threads or usable_processors()
        self._eraser = OnnxEraser(path, convention, device=device or wanted_device(), threads=threads)
        self._context = Context(side=max(self._eraser.fixed or (convention.side,)))
        self._workers = Workers(threads)
        self._patches = PatchEngine(info, threads=threads)

    @property
    def runs_on(self) -> str:
        return self._eraser.runs_on

    @property
    def facts(self) -> dict[str, Any]:
        """For reports."""
        return {"model": self._path.name, "options": asdict(self._convention)}

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True: the Engine contract. There is no prompt to take."""
        box = self.window(view)
        if reason := trouble_with(view, box):
            return (yield from without_a_drawing(self._patches, view, seed, reason))
        height, width = self._size(box)
        note = f"{self._eraser.name} draws at {width}x{height}, on the {self.runs_on}"
        yield Progress(0.0, note)
        drawing = self.draw(view, box)
        trouble = self._eraser.trouble
        facts = {"warnings": [trouble]} if trouble else {}
        yield Progress(0.4, trouble or note, functools.partial(shown, view, drawing), facts=facts)
        filled = yield from told(carry(view, drawing, seed=seed, workers=self._workers), "", 0.4, 0.6)
        return with_grain(filled, view.hole, seed) if view.lends_texture else filled

    def window(self, view: View) -> Box:
        """What the graph sees of a view: as much as it can without the hole getting smaller for it."""
        box = surroundings(view.hole, self._context)
        whole = Box(0, 0, view.size.width, view.size.height)
        if self._eraser.fixed is None:
            longer = max(box.width, box.height)
            return widened(box, longer, longer, whole)
        height, width = self._eraser.fixed
        scale = min(1.0, height / box.height, width / box.width)
        return widened(box, int(width / scale), int(height / scale), whole)

    def draw(self, view: View, box: Box) -> Drawing:
        """The graph's drawing of that part of the view, known pixels in place."""
        height, width = self._size(box)
        known, hole = shrink(view.pixels[box.slices], view.hole[box.slices], height, width)
        if not hole.any():  # thinner than half a pixel of the drawing: its smooth surroundings are the structure
            return Drawing(known, box)
        multiple = self._convention.multiple
        padded_height, padded_width = self._eraser.fixed or (
            -(-height // multiple) * multiple,
            -(-width // multiple) * multiple,
        )
        # what lies beyond is mirrored, as it was in training
        beyond = ((0, padded_height - height), (0, padded_width - width))
        colours = np.broadcast_to(known, (height, width, 3))
        padded = np.pad(colours, (*beyond, (0, 0)), mode="symmetric")
        drawn = self._eraser(padded, np.pad(hole, beyond, mode="symmetric"))[:height, :width]
        drawn[~hole] = colours[~hole]
        if known.shape[2] == 1:
            drawn = drawn @ LUMA[:, None]
        elif self._convention.chroma:
            drawn = match_chroma(drawn, hole)
        return Drawing(drawn, box)

    def _size(self, box: Box) -> tuple[int, int]:
        """(height, width) of the drawing of a box, without what is added beyond it."""
        height, width = self._eraser.fixed or (self._convention.side, self._convention.side)
        scale = min(1.0, height / box.height, width / box.width)
        return max(1, round(box.height * scale)), max(1, round(box.width * scale))


def match_chroma(drawn: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The drawing (h, w, 3) with every connected hole's hue shifted to that around its rim; luminance stays as drawn.

    One shift per hole, the median over its rim: erasers drift in hue, and in luminance they are right: bringing that
    to the rim's, where an object's shadow or edge may be left, would bring the object back.
    """
    from scipy import ndimage

    if hole.all():
        return drawn
    distances, nearest = ndimage.distance_transform_edt(hole, return_indices=True)
    labels, count = ndimage.label(hole, np.ones((3, 3)))
    matched = drawn.copy()
    for label in range(1, count + 1):
        inside = labels == label
        rim = inside & (distances <= RIM)
        steps = drawn[nearest[0][rim], nearest[1][rim]] - drawn[rim]
        shift = np.median(steps - (steps @ LUMA)[:, None], axis=0)
        matched[inside] += (shift - shift @ LUMA).astype(np.float32)
    return np.clip(matched, -1, 1)


def _image_and_mask(inputs: list[Any]) -> tuple[Any, Any]:
    """The graph's two inputs, told apart by their channels, or by their names; None for what is not there."""
    if len(inputs) != 2 or any(value.type not in TYPES or len(value.shape) != 4 for value in inputs):
        return None, None
    for image, mask in (inputs, inputs[::-1]):
        if image.shape[1] == 3 and mask.shape[1] == 1:
            return image, mask
    for image, mask in (inputs, inputs[::-1]):
        if "mask" in mask.name.lower() and "mask" not in image.name.lower():
            return image, mask
    return None, None
