"""Latent diffusion checkpoints through diffusers: a window at the model's own size, the photo's texture for the rest.

Without a prompt something is removed: the patch engine empties the scene first, the hole is grown so that nothing of
the object is left to continue, the words ask for emptiness, a U-Net's attention looks away from the hole, and a
drawing that shows again what was erased, or fits its surroundings worse than the emptied scene does, is drawn again
with another seed. With a prompt the hole is drawn from noise alone.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from eraser.canvas import View
from eraser.engines import checkpoints, devices, few_steps, registry
from eraser.engines.attempts import Attempts, seeds
from eraser.engines.base import Engine, EngineInfo, Progress
from eraser.engines.crew import Crew, Keeper, give_back
from eraser.engines.film import with_grain
from eraser.engines.frame import shown, shrink, surroundings, told, trouble_with, widened, without_a_drawing
from eraser.engines.latent_records import RECORDS, Options, parsed
from eraser.engines.loaded_files import LoadedFiles
from eraser.engines.painter import Painter, Scene, Wish
from eraser.engines.patch import PatchEngine
from eraser.engines.patch_levels import Workers
from eraser.engines.placement import memory
from eraser.engines.structure import Drawing, carry
from eraser.errors import EngineError, Refused, UnknownEngine
from eraser.geometry import Box
from eraser.judge import judge, seam
from eraser.machine import usable_processors, wanted_device
from eraser.pyramid import dilate, push_pull

EMPTY = "empty scene, plain continuous background, nothing there"
OBJECTS = "object, person, animal, thing, text, watermark, shadow of an object, frame"
GROWTH = 1 / 64  # of the window's side, by which a removal's hole is widened
PREFILLS = {"patch": "patch", "lama": "lama", "migan": "migan", "onnx": "onnx:FILE"}


@dataclass(frozen=True, slots=True)
class Context:
    side: int
    context: float = 0.5  # of the hole's longer side, that the model sees on every side of it
    least_context: int = 32  # pixels


_keeper = Keeper()  # asked under the registry's lock


def load(info: EngineInfo, what: str) -> LatentEngine:
    """what: a name of latent_records.RECORDS, a repository, a folder or a file, and options behind a question mark."""
    loading, options = parsed(what)
    if (record := RECORDS.get(what.partition("?")[0])) is not None:
        repository = record.repository
        info = replace(info, licence=f"{repository.licence}: {repository.limits}", needs=record.needs)
    checkpoints.library()  # before anything asks torch for its devices
    loading, options, _ = few_steps.applied(what, loading, options)
    places = tuple(devices.wanted(wanted_device()))
    # other options of how to draw run the checkpoint that is loaded
    crew = _keeper.crew(
        (loading, places), lambda: Crew([functools.partial(Painter, loading, place) for place in places])
    )
    return LatentEngine(info, crew, options, prefill=_prefill(options.prefill))


def _prefill(name: str) -> Engine | None:
    """The engine that empties the scene; None for the patch engine. Raises what loading it raises."""
    if name == "patch":
        return None
    head = name.partition(":")[0]
    if head not in PREFILLS:
        raise UnknownEngine(
            f'"{name}" cannot empty a scene', hint=f"choose prefill from {', '.join(PREFILLS.values())}"
        )
    return registry.load(name)


class LatentEngine:
    """See the module."""

    def __init__(
        self,
        info: EngineInfo,
        painter: Painter | Crew,
        options: Options,
        *,
        threads: int | None = None,
        prefill: Engine | None = None,
    ) -> None:
        """prefill: what empties the scene, the patch engine if it is left out."""
        self.info = info
        self._painter, self._options = painter, options
        step = 2 * painter.factor
        self.side = max(step, (options.side or painter.side) // step * step)
        self._workers = Workers(threads or usable_processors())
        self._patches = PatchEngine(info, threads=threads)
        self._prefill: Engine = prefill or self._patches

    @property
    def runs_on(self) -> str:
        return self._painter.runs_on

    @property
    def lanes(self) -> int:
        """How many fills can be under way at once without waiting for each other."""
        return getattr(self._painter, "lanes", 1)

    @property
    def facts(self) -> dict[str, object]:
        """For a result's report."""
        said = {name: value for name, value in self._painter.facts.items() if name != "memory_ran_out"}  # ever
        return {**said, "options": asdict(self._options) | {"side": self.side}}

    @property
    def files(self) -> LoadedFiles:
        """What the checkpoint was loaded from."""
        return self._painter.files

    @property
    def sums(self) -> Callable[[], dict[str, Any]]:
        """Reads every file that decides what is drawn, for a result's report: called when somebody asks, and holding on
        to no model."""
        files = self._painter.files
        if reference := self._options.reference:
            path = Path(reference).expanduser()
            files = files.and_also({f"reference/{path.name}": path})
        prefill = getattr(self._prefill, "sums", None)
        return functools.partial(_sums, files, prefill)

    def let_go(self) -> Callable[[], None]:
        """Keep the checkpoint no longer than somebody holds an engine that draws with it; see `registry.let_go`."""
        _keeper.let_go(self._painter)
        return give_back

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True: the Engine contract."""
        box = self.window(view)
        if trouble := trouble_with(view, box):
            if prompt is not None:
                raise EngineError(f"{trouble}, so it cannot follow a prompt", hint="leave the prompt out")
            return (yield from without_a_drawing(self._patches, view, seed, trouble))
        with memory():
            if prompt is None:
                drawing = yield from self._remove(view, box, seed)
            else:
                drawing = yield from self._invent(view, box, seed, prompt)
        filled = yield from told(carry(view, drawing, seed=seed, workers=self._workers), "", 0.7, 0.3)
        if view.lends_texture:
            filled = with_grain(filled, view.hole, seed)
        rim = seam(filled, view.hole)
        yield Progress(1.0, "finished", facts={} if rim is None else {"seam": round(rim, 3)})
        return filled

    def window(self, view: View) -> Box:
        """What the model sees: a square where the view has one, and not so small that it would only be enlarged."""
        box = surroundings(view.hole, Context(self.side))
        longer = max(box.width, box.height, self.side // 2)
        return widened(box, longer, longer, Box(0, 0, view.size.width, view.size.height))

    def _remove(self, view: View, box: Box, seed: int) -> Generator[Progress, None, Drawing]:
        options = self._options
        known, hole = self._shrunk(view, box)
        if not hole.any():  # thinner than half a pixel of the drawing: its smooth surroundings are the structure
            yield Progress(0.7, "structure: the hole is too thin to be seen at the model's size")
            return Drawing(known, box)
        emptied = yield from self._empty(view, box, known, hole, seed)
        empty = np.where(hole[:, :, None], emptied, known)
        part = Part(view, box, known, hole, self._scene(empty, hole, grown=True))
        erased = part.erased()
        attempts = Attempts(judge(empty, hole, erased))
        for number, own in enumerate(seeds(seed, options.tries)):
            note = f"draw {number + 1} of at most {options.tries}" if options.tries > 1 else "drawing"
            start, share = 0.2 + 0.5 * number / options.tries, 0.5 / options.tries
            wish = Wish(EMPTY, OBJECTS, (own,), options.strength, options.redirect)
            try:
                drawing = yield from _share(self._draw(part, wish, note), start, share)
            except Refused as refused:
                attempts.refuse(own)
                if not attempts.made and number + 1 == options.tries:
                    raise _all(refused, options.tries) from refused
                yield Progress(start + share, f"{note}: {refused.message}")
                continue
            attempts.add(own, drawing, judge(drawing.pixels, hole, erased))
            if not attempts.trouble:
                break
            yield Progress(start + share, f"{note}: {attempts.trouble}")
        noise = round(self._painter.noise(options.strength, options), 3)
        facts = attempts.facts | {"prefill": options.prefill, "noise": noise}
        kept = "the emptied scene" if attempts.hopeless else f"the drawing of seed {attempts.best.seed}"
        yield Progress(0.7, f"kept {kept}", facts=facts)
        return Drawing(empty, box) if attempts.hopeless else attempts.best.drawing

    def _empty(
        self, view: View, box: Box, known: np.ndarray, hole: np.ndarray, seed: int
    ) -> Generator[Progress, None, np.ndarray]:
        """The prefilling engine's filling of the window at the model's size."""
        steps = self._prefill.fill(View(known, hole), seed=seed)
        try:
            while True:
                step = next(steps)
                preview = step.preview and functools.partial(_enlarged, view, box, step.preview)
                yield Progress(0.2 * step.fraction, "emptying the scene", preview)
        except StopIteration as finished:
            filled: np.ndarray = finished.value
            return filled
        finally:
            steps.close()

    def _invent(self, view: View, box: Box, seed: int, prompt: str) -> Generator[Progress, None, Drawing]:
        known, hole = self._shrunk(view, box)
        smooth = push_pull(known, (~hole).astype(np.float32))
        part = Part(view, box, known, hole, self._scene(smooth, hole, grown=False))
        wish = Wish(prompt, self._options.negative, (seed,))
        if unheard := self._painter.unheard(self._options):
            yield Progress(0.0, "drawing", facts={"warnings": [unheard]})
        return (yield from _share(self._draw(part, wish, "drawing"), 0.0, 0.7))

    def _draw(self, part: Part, wish: Wish, note: str) -> Generator[Progress, None, Drawing]:
        scene, options = part.scene, self._options
        drawing_at = f"{note} at {scene.width}x{scene.height}"
        yield Progress(0.0, note := f"{drawing_at}, on the {self.runs_on}")
        steps = self._painter.steps(scene, wish, options)
        try:
            while True:
                done, latents = next(steps)
                note = f"{drawing_at}, on the {self.runs_on}"  # which changes when the memory runs out
                preview = None if latents is None else functools.partial(self._preview, part, latents)
                yield Progress(min(1.0, done / options.steps), note, preview)
        except StopIteration as finished:
            drawn: np.ndarray = finished.value
        finally:
            steps.close()
        drawing = part.drawing(drawn[0])
        how = getattr(self._painter, "drawn", {})
        part.ran_out.append(how.get("memory_ran_out", 0))
        facts = {"drawn": how | {"memory_ran_out": sum(part.ran_out)}}
        yield Progress(1.0, note, functools.partial(shown, part.view, drawing), facts=facts)
        return drawing

    def _preview(self, part: Part, latents: Any) -> np.ndarray:
        try:
            picture = self._painter.decode(latents, self.side)
        except Exception:  # a look is not worth the drawing: where the memory is too small for both there is none
            devices.give_back()
            picture = None
        smooth = Drawing(
            _resized(part.scene.picture[: part.scene.height, : part.scene.width], *part.hole.shape), part.box
        )
        return shown(part.view, smooth if picture is None else part.drawing(picture))

    def _shrunk(self, view: View, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The window's known pixels and hole at the model's size, or as they are where that is larger."""
        height, width = self._size(box, most=1.0)
        return shrink(view.pixels[box.slices], view.hole[box.slices], height, width)

    def _size(self, box: Box, most: float) -> tuple[int, int]:
        scale = min(most, self.side / max(box.width, box.height))
        return max(1, round(box.height * scale)), max(1, round(box.width * scale))

    def _scene(self, picture: np.ndarray, hole: np.ndarray, *, grown: bool) -> Scene:
        """picture (h, w, C), without a gap, enlarged to the model's size and mirrored to a square."""
        scale = self.side / max(hole.shape)
        height, width = (max(1, min(self.side, round(length * scale))) for length in hole.shape)
        colours = np.ascontiguousarray(np.broadcast_to(picture, (*hole.shape, 3)))
        larger = _resized(colours, height, width)
        wanted = _resized(hole[:, :, None].astype(np.float32), height, width)[:, :, 0] > 0.25
        if grown:
            wanted = dilate(wanted, max(1, round(GROWTH * self.side)))
        beyond = ((0, self.side - height), (0, self.side - width))
        return Scene(
            np.pad(larger, (*beyond, (0, 0)), mode="symmetric"), np.pad(wanted, beyond, mode="symmetric"), height, width
        )


@dataclass(frozen=True, slots=True)
class Part:
    """What is drawn of a view: its window `box`, that window's known (h, w, C) and hole (h, w) at the model's size or
    smaller, and the scene that the model is given for it."""

    view: View
    box: Box
    known: np.ndarray
    hole: np.ndarray
    scene: Scene
    ran_out: list[int] = field(default_factory=list)  # how often the memory did, in each drawing of it

    def drawing(self, drawn: np.ndarray) -> Drawing:
        """What was drawn of the scene, at the known pixels' size and with them in place."""
        picture = _resized(drawn[: self.scene.height, : self.scene.width], *self.hole.shape)
        if self.known.shape[2] == 1:
            picture = picture.mean(axis=2, keepdims=True)
        pixels = np.where(self.hole[:, :, None], np.clip(picture, -1, 1), self.known).astype(np.float32)
        return Drawing(pixels, self.box)

    def erased(self) -> np.ndarray | None:
        """What was there, at the known pixels' size: for the judge alone."""
        if self.view.erased is None:
            return None
        there = self.view.erased(self.box)
        return shrink(there, np.zeros(there.shape[:2], bool), *self.hole.shape)[0]


def _all(refused: Refused, tries: int) -> Refused:
    if tries == 1:
        return refused
    return Refused(f"the checkpoint's safety checker refuses all of {tries} drawings", hint=refused.hint)


def _sums(files: LoadedFiles, prefill: Callable[[], str] | None) -> dict[str, Any]:
    return files.sums() | ({"prefill": prefill()} if prefill else {})


def _enlarged(view: View, box: Box, preview: Callable[[], np.ndarray]) -> np.ndarray:
    return shown(view, Drawing(preview(), box))


def _resized(values: np.ndarray, height: int, width: int) -> np.ndarray:
    """(h, w, C) -> (height, width, C): smooth when enlarged, means when made smaller."""
    from PIL import Image

    if values.shape[:2] == (height, width):
        return values
    smaller = height <= values.shape[0] and width <= values.shape[1]
    method = Image.Resampling.BOX if smaller else Image.Resampling.BILINEAR
    channels = [np.ascontiguousarray(values[:, :, c], np.float32) for c in range(values.shape[2])]
    return np.stack([np.asarray(Image.fromarray(c).resize((width, height), method)) for c in channels], axis=2)


def _share(steps: Generator[Progress, None, Drawing], start: float, share: float) -> Generator[Progress, None, Drawing]:
    try:
        while True:
            step = next(steps)
            yield replace(step, fraction=min(1.0, start + share * step.fraction))
    except StopIteration as finished:
        drawing: Drawing = finished.value
        return drawing
    finally:
        steps.close()
