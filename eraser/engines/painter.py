"""A diffusers pipeline that is driven: a scene, words and a seed in, latents step by step, a picture out."""

from __future__ import annotations

import copy
import inspect
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eraser.engines import attachments
from eraser.engines.devices import CPU, Device
from eraser.engines.latent_records import Options
from eraser.engines.loading import Loading
from eraser.engines.placement import Placed
from eraser.errors import EngineError


@dataclass(frozen=True, slots=True)
class Scene:
    """What the model is given: picture (side, side, 3) in [-1, 1] without a gap, hole (side, side) bool to be drawn;
    the window's own part of it is `height` x `width`, at the top left."""

    picture: np.ndarray
    hole: np.ndarray
    height: int
    width: int


class Painter:
    """A diffusers inpainting pipeline: a scene, words and a seed in, latents step by step, a picture out.

    Nothing is fetched: a repository must be in the hub's cache already. Raises MissingExtra, MissingWeights,
    DamagedWeights, OutOfMemory, EngineError for a checkpoint that does not inpaint.
    """

    def __init__(self, loading: Loading, device: Device = CPU) -> None:
        self._words = threading.Lock()
        self._here = threading.local()  # the run that a thread is part of
        self.placed = Placed(loading, device, prepare=self._let_in)
        self._accepts = set(inspect.signature(self._pipeline.__call__).parameters)
        self.factor = int(self._pipeline.vae_scale_factor)

    def _let_in(self, pipeline: Any) -> None:
        """Called with the pipeline whenever it is loaded."""
        for block in _blocks(net_of(pipeline)):
            block.register_forward_pre_hook(self._pulse)

    @property
    def _pipeline(self) -> Any:
        return self.placed.pipeline

    @property
    def runs_on(self) -> str:
        return self.placed.runs_on

    @property
    def facts(self) -> dict[str, object]:
        return self.placed.facts

    @property
    def _net(self) -> Any:
        return net_of(self._pipeline)

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
        wanted |= attachments.arguments(pipeline, options)
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


def net_of(pipeline: Any) -> Any:
    """The pipeline's denoiser."""
    return getattr(pipeline, "unet", None) or pipeline.transformer


def _blocks(net: Any) -> Iterator[Any]:
    """The parts of a network that run one after the other: cancelling takes at most one of them."""
    import torch

    for child in net.children():
        if isinstance(child, torch.nn.ModuleList):
            yield from child
