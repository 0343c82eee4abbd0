"""Latent diffusion checkpoints through diffusers: a window at the model's own size, the photo's texture for the rest.

Without a prompt something is removed: the patch engine empties the scene first, the hole is grown so that nothing of
the object is left to continue, the words ask for emptiness, and a drawing that fits its surroundings worse than the
emptied scene does is drawn again with the next seed. With a prompt the hole is drawn from noise alone.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import inspect
import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from eraser.canvas import View
from eraser.engines.base import EngineInfo, Progress
from eraser.engines.frame import shown, shrink, surroundings, told, widened
from eraser.engines.latent_records import RECORDS, Options, parsed
from eraser.engines.patch import PatchEngine
from eraser.engines.patch_levels import Workers
from eraser.engines.structure import Drawing, carry
from eraser.errors import DamagedWeights, EngineError, MissingExtra, MissingWeights, OutOfMemory
from eraser.geometry import Box
from eraser.judge import misfit
from eraser.machine import usable_processors, wanted_device
from eraser.pyramid import dilate, push_pull

EMPTY = "empty scene, plain continuous background, nothing there"
OBJECTS = "object, person, animal, thing, text, watermark, shadow of an object, frame"
GROWTH = 1 / 64  # of the window's side, by which a removal's hole is widened
SEED_BITS = 63


@dataclass(frozen=True, slots=True)
class Context:
    side: int
    context: float = 0.5  # of the hole's longer side, that the model sees on every side of it
    least_context: int = 32  # pixels


@dataclass(frozen=True, slots=True)
class Scene:
    """What the model is given: picture (side, side, 3) in [-1, 1] without a gap, hole (side, side) bool to be drawn;
    the window's own part of it is `height` x `width`, at the top left."""

    picture: np.ndarray
    hole: np.ndarray
    height: int
    width: int


def load(info: EngineInfo, what: str) -> LatentEngine:
    """what: a name of latent_records.RECORDS, or a folder, and options behind a question mark."""
    place, options, is_folder = parsed(what)
    if (record := RECORDS.get(what.partition("?")[0])) is not None:
        info = replace(info, licence=record.licence, needs=record.needs)
    return LatentEngine(info, _painter(place, is_folder, wanted_device()), options)


@functools.cache
def _painter(place: str, is_folder: bool, device: str) -> Painter:
    """A checkpoint is gigabytes: other options run the one that is loaded."""
    return Painter(place, is_folder=is_folder, device=device)


class Painter:
    """A diffusers inpainting pipeline: a scene, words and a seed in, latents step by step, a picture out.

    Nothing is fetched: a repository must be in the hub's cache already. Raises MissingExtra, MissingWeights,
    DamagedWeights, EngineError for a checkpoint that does not inpaint or a GPU that is not had.
    """

    def __init__(self, place: str, *, is_folder: bool, device: str) -> None:
        self._pipeline, on_gpu = _pipeline(place, is_folder, device)
        self._accepts = set(inspect.signature(self._pipeline.__call__).parameters)
        if not {"image", "mask_image"} <= self._accepts:
            raise EngineError(
                f"{place} holds a {type(self._pipeline).__name__}, which does not inpaint",
                hint="choose an inpainting checkpoint, or a base model of a family that diffusers inpaints with",
            )
        self.runs_on = self._move() if on_gpu else "CPU"
        self.factor = int(self._pipeline.vae_scale_factor)
        self._words = threading.Lock()
        self._here = threading.local()  # the run that a thread is part of
        for block in _blocks(self._net):
            block.register_forward_pre_hook(self._pulse)

    @property
    def _net(self) -> Any:
        return getattr(self._pipeline, "unet", None) or self._pipeline.transformer

    @property
    def side(self) -> int:
        """Pixels of the side that the model was trained at."""
        size = getattr(self._net.config, "sample_size", None)
        return int(size if isinstance(size, int) else 128) * self.factor

    def steps(
        self, scene: Scene, prompt: str, negative: str, options: Options, seed: int, strength: float
    ) -> Generator[tuple[int, Any], None, np.ndarray]:
        """Yields (steps done, latents) at every step and, with latents None, several times within one; returns the
        picture (side, side, 3) in [-1, 1]. Closing it ends the model's work where it is."""
        import torch
        from PIL import Image

        pipeline = copy.copy(self._pipeline)
        # a scheduler counts its own steps, so each run has one
        object.__setattr__(pipeline, "scheduler", copy.deepcopy(self._pipeline.scheduler))
        object.__setattr__(pipeline, "encode_prompt", self._one_at_a_time(pipeline.encode_prompt))
        height, width = scene.hole.shape
        levels = np.rint((scene.picture + 1) * 127.5).clip(0, 255).astype(np.uint8)
        wanted = {
            "prompt": prompt,
            "negative_prompt": negative,
            "image": Image.fromarray(levels),
            "mask_image": Image.fromarray(scene.hole.astype(np.uint8) * 255),
            "height": height,
            "width": width,
            "num_inference_steps": options.steps,
            "guidance_scale": options.guidance,
            # of one step at least, which rounding down would take away
            "strength": min(1.0, max(strength, 1 / options.steps + 1e-6)),
            "generator": torch.Generator("cpu").manual_seed(seed),
            "output_type": "np",
        }
        run = Run()

        def work() -> np.ndarray:
            self._here.run = run

            def at_step(_: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
                run.reach(index + 1, tensors["latents"].detach().clone())
                return tensors

            result = pipeline(
                **{name: value for name, value in wanted.items() if name in self._accepts},
                callback_on_step_end=at_step,
            )
            if any(getattr(result, "nsfw_content_detected", None) or ()):
                raise EngineError(
                    "the checkpoint's safety checker refuses what was drawn", hint="try another seed, or other words"
                )
            return np.asarray(result.images[0], np.float32)

        drawn = yield from run.drive(work)
        if drawn.shape != (height, width, 3) or not np.isfinite(drawn).all():
            raise EngineError(
                "the model draws numbers that are not finite", hint="its weights may be damaged, or need another dtype"
            )
        return np.clip(drawn * 2 - 1, -1, 1)

    def decode(self, latents: Any) -> np.ndarray | None:
        """Latents as a picture (side, side, 3) in [-1, 1]; None for those that are packed in a way of the model's."""
        import torch

        if latents.ndim != 4:
            return None
        vae = self._pipeline.vae
        with torch.inference_mode():
            picture = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor).sample[0]
        return np.nan_to_num(picture.float().clamp(-1, 1).permute(1, 2, 0).cpu().numpy())

    def _one_at_a_time(self, encode: Callable[..., Any]) -> Callable[..., Any]:
        """A tokenizer keeps how it was last asked to pad, so two threads must not ask at once."""

        def encode_prompt(*words: Any, **options: Any) -> Any:
            with self._words:
                return encode(*words, **options)

        return encode_prompt

    def _pulse(self, *_: object) -> None:
        run = getattr(self._here, "run", None)
        if run is not None:
            run.reach(None, None)

    def _move(self) -> str:
        import torch

        size = sum(
            parameter.nbytes
            for part in self._pipeline.components.values()
            if isinstance(part, torch.nn.Module)
            for parameter in part.parameters()
        )
        # half as much again for what is computed
        if 1.5 * size > torch.cuda.mem_get_info()[0]:
            self._pipeline.enable_model_cpu_offload()
            return "GPU, its parts in turn"
        self._pipeline.to("cuda")
        return "GPU"


class Run:
    """Hands a blocking call over in steps: the call runs in a thread of its own and waits, at every place that it
    reaches, until whoever drives it goes on; or is ended there."""

    def __init__(self) -> None:
        self._reached: queue.SimpleQueue[tuple[int | None, Any] | None] = queue.SimpleQueue()
        self._onward: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def reach(self, done: int | None, latents: Any) -> None:
        """Called within the call. done: steps that are finished, None for a place within a step."""
        self._reached.put((done, latents))
        if not self._onward.get():
            raise Ended

    def drive(self, work: Callable[[], np.ndarray]) -> Generator[tuple[int, Any], None, np.ndarray]:
        results: list[np.ndarray] = []
        failures: list[BaseException] = []

        def whole() -> None:
            try:
                results.append(work())
            except BaseException as error:  # handed to whoever drives
                failures.append(error)
            finally:
                self._reached.put(None)

        thread = threading.Thread(target=whole, name="latent", daemon=True)
        thread.start()
        finished = 0
        try:
            while (place := self._reached.get()) is not None:
                done, latents = place
                finished = finished if done is None else done
                yield finished, latents
                self._onward.put(True)
        finally:
            self._onward.put(False)
            thread.join()
        if failures:
            raise failures[0]
        return results[0]


class Ended(BaseException):
    """Ends a model's work from within; not an Exception, so that no library takes it for a failure of its own."""


class LatentEngine:
    """See the module."""

    def __init__(self, info: EngineInfo, painter: Painter, options: Options, *, threads: int | None = None) -> None:
        self.info = info
        self._painter, self._options = painter, options
        step = 2 * painter.factor
        self.side = max(step, (options.side or painter.side) // step * step)
        self._workers = Workers(threads or usable_processors())
        self._patches = PatchEngine(info, threads=threads)

    @property
    def runs_on(self) -> str:
        return self._painter.runs_on

    def fill(self, view: View, *, seed: int, prompt: str | None = None) -> Generator[Progress, None, np.ndarray]:
        """Paint where `view.hole` is True: the Engine contract."""
        box = self.window(view)
        trouble = ""
        if view.pixels.shape[2] == 4:
            trouble = "the model does not know CMYK"
        elif view.hole[box.slices].all():
            trouble = "nothing is known near the hole"
        if trouble:
            if prompt is not None:
                raise EngineError(f"{trouble}, so it cannot follow a prompt", hint="leave the prompt out")
            steps = self._patches.fill(view, seed=seed)
            return (yield from told(steps, f"{trouble}, so the patch engine paints alone", 0.0, 1.0))
        with _memory():
            if prompt is None:
                drawing = yield from self._remove(view, box, seed)
            else:
                drawing = yield from self._invent(view, box, seed, prompt)
        return (yield from told(carry(view, drawing, seed=seed, workers=self._workers), "", 0.7, 0.3))

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
        scene = self._scene(empty, hole, grown=True)
        goal = misfit(empty, hole)
        best: tuple[float, Drawing] | None = None
        for number in range(options.tries):
            note = f"draw {number + 1} of at most {options.tries}" if options.tries > 1 else "drawing"
            steps = self._draw(
                view,
                box,
                scene,
                known,
                hole,
                EMPTY,
                OBJECTS,
                (seed + number) % (1 << SEED_BITS),
                options.strength,
                note,
            )
            start, share = 0.2 + 0.5 * number / options.tries, 0.5 / options.tries
            drawing = yield from _share(steps, start, share)
            found = misfit(drawing.pixels, self._hole_of(view, box, drawing))
            if best is None or found < best[0]:
                best = found, drawing
            if found <= goal:
                break
            yield Progress(start + share, f"{note}: it fits its surroundings worse than the emptied scene does")
        assert best is not None, "there is at least one try"
        return best[1]

    def _empty(
        self, view: View, box: Box, known: np.ndarray, hole: np.ndarray, seed: int
    ) -> Generator[Progress, None, np.ndarray]:
        """The patch engine's filling of the window at the model's size."""
        steps = self._patches.fill(View(known, hole), seed=seed)
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
        scene = self._scene(smooth, hole, grown=False)
        steps = self._draw(view, box, scene, known, hole, prompt, self._options.negative, seed, 1.0, "drawing")
        return (yield from _share(steps, 0.0, 0.7))

    def _draw(
        self,
        view: View,
        box: Box,
        scene: Scene,
        known: np.ndarray,
        hole: np.ndarray,
        prompt: str,
        negative: str,
        seed: int,
        strength: float,
        note: str,
    ) -> Generator[Progress, None, Drawing]:
        options = self._options
        finish = functools.partial(self._drawing, scene, known, hole, box)
        note = f"{note} at {scene.width}x{scene.height}, on the {self.runs_on}"
        yield Progress(0.0, note)
        steps = self._painter.steps(scene, prompt, negative, options, seed, strength)
        try:
            while True:
                done, latents = next(steps)
                preview = None
                if latents is not None and latents.ndim == 4:
                    preview = functools.partial(self._preview, view, finish, latents)
                yield Progress(min(1.0, done / options.steps), note, preview)
        except StopIteration as finished:
            drawn: np.ndarray = finished.value
        finally:
            steps.close()
        drawing = finish(drawn)
        yield Progress(1.0, note, functools.partial(shown, view, drawing))
        return drawing

    def _preview(self, view: View, finish: Callable[[np.ndarray], Drawing], latents: Any) -> np.ndarray:
        picture = self._painter.decode(latents)
        assert picture is not None
        return shown(view, finish(picture))

    def _shrunk(self, view: View, box: Box) -> tuple[np.ndarray, np.ndarray]:
        """The window's known pixels and hole at the model's size, or as they are where that is larger."""
        height, width = self._size(box, most=1.0)
        return shrink(view.pixels[box.slices], view.hole[box.slices], height, width)

    def _size(self, box: Box, most: float) -> tuple[int, int]:
        scale = min(most, self.side / max(box.width, box.height))
        return max(1, round(box.height * scale)), max(1, round(box.width * scale))

    def _hole_of(self, view: View, box: Box, drawing: Drawing) -> np.ndarray:
        height, width = drawing.pixels.shape[:2]
        return shrink(view.pixels[box.slices], view.hole[box.slices], height, width)[1]

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

    def _drawing(self, scene: Scene, known: np.ndarray, hole: np.ndarray, box: Box, drawn: np.ndarray) -> Drawing:
        """What was drawn, at the known pixels' size and with them in place."""
        picture = _resized(drawn[: scene.height, : scene.width], *hole.shape)
        if known.shape[2] == 1:
            picture = picture.mean(axis=2, keepdims=True)
        return Drawing(np.where(hole[:, :, None], np.clip(picture, -1, 1), known).astype(np.float32), box)


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
            yield Progress(min(1.0, start + share * step.fraction), step.note, step.preview)
    except StopIteration as finished:
        drawing: Drawing = finished.value
        return drawing
    finally:
        steps.close()


@contextlib.contextmanager
def _memory() -> Iterator[None]:
    """A GPU whose memory runs out is told as OutOfMemory, and what it had left over is given back."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(
            "the GPU's memory ran out while the model was drawing",
            hint="close other programs on it, ask for a smaller side (latent:NAME?side=768), or set ERASER_DEVICE=cpu",
        ) from error


def _blocks(net: Any) -> Iterator[Any]:
    """The parts of a network that run one after the other: cancelling takes at most one of them."""
    import torch

    for child in net.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from child


def _pipeline(place: str, is_folder: bool, device: str) -> tuple[Any, bool]:
    """The pipeline, in the CPU's memory, and whether it is to run on a GPU."""
    if is_folder and not (Path(place) / "model_index.json").is_file():
        raise MissingWeights(
            f"{place} is no folder with a diffusers checkpoint", hint="it holds a file model_index.json"
        )
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    try:
        import diffusers
        import torch
        import transformers  # what nearly every checkpoint's text encoder is of
    except ImportError as error:
        raise MissingExtra(f"{error.name} is not installed", hint="pip install 'magic-eraser[diffusion]'") from error
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if device == "gpu" and not on_gpu:
        raise EngineError("torch has no GPU here although one was asked for", hint="eraser doctor tells what it has")
    kind_of_numbers = torch.float32
    if on_gpu:
        kind_of_numbers = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # no pickles, nothing fetched, no code from the checkpoint
    settings = {"local_files_only": True, "use_safetensors": True, "dtype": kind_of_numbers}
    try:
        config = diffusers.DiffusionPipeline.load_config(place, local_files_only=True)
        kind = str(config.get("_class_name", ""))
        if "Inpaint" in kind or "Fill" in kind:
            pipeline = diffusers.DiffusionPipeline.from_pretrained(place, **settings, **_no_mark(kind))
        else:
            pipeline = diffusers.AutoPipelineForInpainting.from_pretrained(place, **settings, **_no_mark(kind))
    except Exception as error:  # loading raises anything from KeyError to the file formats' own classes
        reason = " ".join(str(error).split())[:160]
        if not is_folder and isinstance(error, OSError):
            raise MissingWeights(
                f"{place} is not on this machine ({reason})", hint=f"fetch it first: hf download {place}"
            ) from error
        if isinstance(error, ValueError) and "AutoPipeline can't find" in str(error):
            raise EngineError(
                f"{place} holds a {kind}, which diffusers has no inpainting pipeline for",
                hint="choose an inpainting checkpoint",
            ) from error
        raise DamagedWeights(
            f"{place} cannot be loaded: {reason}", hint="look whether all of its files are there"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, on_gpu


def _no_mark(kind: str) -> dict[str, bool]:
    # without this a package that happens to be installed would mark the whole picture
    return {"add_watermarker": False} if "XL" in kind else {}
