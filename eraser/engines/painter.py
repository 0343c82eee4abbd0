"""A diffusers pipeline that is driven: a scene, words and seeds in, latents step by step, pictures out."""

from __future__ import annotations

import copy
import inspect
import queue
import sys
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from eraser.engines import attachments, conditioning, redirection, starts
from eraser.engines.devices import CPU, Device
from eraser.engines.heap import keep_freed_memory
from eraser.engines.latent_records import Options
from eraser.engines.loaded_files import LoadedFiles
from eraser.engines.loading import Loading
from eraser.engines.placement import Placed
from eraser.errors import EngineError, Refused


@dataclass(frozen=True, slots=True)
class Scene:
    """What the model is given: picture (side, side, 3) in [-1, 1] without a gap, hole (side, side) bool to be drawn;
    the window's own part of it is `height` x `width`, at the top left."""

    picture: np.ndarray
    hole: np.ndarray
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be drawn in a scene's hole, once for each seed; strength: of the noise, below 1 the scene's picture
    shines through (see `starts`); redirect: share of a U-Net's self-attention layers that look away from the hole."""

    prompt: str
    negative: str
    seeds: tuple[int, ...]
    strength: float = 1.0
    redirect: float = 0.0


class Painter:
    """A diffusers inpainting pipeline: a scene and a wish in, latents step by step, pictures out.

    Nothing is fetched: a repository must be in the hub's cache already. Raises MissingExtra, MissingWeights,
    DamagedWeights, OutOfMemory, EngineError for a checkpoint that does not inpaint.
    """

    def __init__(self, loading: Loading, device: Device = CPU) -> None:
        self._words = threading.Lock()
        self._here = threading.local()  # the run that a thread is part of, and where its attention looks
        self.placed = Placed(loading, device, prepare=self._let_in)
        if not device.is_gpu and sys.platform == "linux":
            keep_freed_memory()
        self._accepts = set(inspect.signature(self._pipeline.__call__).parameters)
        self.factor = int(self._pipeline.vae_scale_factor)
        self.is_blind = conditioning.is_blind(self._pipeline)

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
    def _net(self) -> Any:
        return net_of(self._pipeline)

    @property
    def side(self) -> int:
        """Pixels of the side that the model was trained at."""
        size = getattr(self._net.config, "sample_size", None)
        return int(size if isinstance(size, int) else 128) * self.factor

    @property
    def facts(self) -> dict[str, object]:
        """What was loaded, where it is, and how the model is told what is known, for a result's report."""
        kept = "put back at every step, the hole's rim let go last" if self.is_blind else "told to the model"
        return self.placed.facts | {"known": kept}

    @property
    def files(self) -> LoadedFiles:
        return self.placed.files

    def steps(self, scene: Scene, wish: Wish, options: Options) -> Generator[tuple[int, Any], None, np.ndarray]:
        """Yields (steps done, latents) at every step and, with latents None, several times within one; returns the
        pictures (seeds, side, side, 3) in [-1, 1]. Closing it ends the model's work where it is."""
        pipeline = copy.copy(self._pipeline)
        # a scheduler counts its own steps, so each run has one
        object.__setattr__(pipeline, "scheduler", copy.deepcopy(self._pipeline.scheduler))
        object.__setattr__(pipeline, "encode_prompt", self._one_at_a_time(pipeline.encode_prompt))
        hole, keeping, variables = scene.hole, None, ["latents"]
        if self.is_blind:
            latents = conditioning.in_latents(scene.hole, self.factor)
            keeping = conditioning.Keeping(conditioning.hold(latents))
            variables = conditioning.let_variables_out(pipeline)
            # the loop looks at one pixel of each latent's: a latent is free where any of them is to be drawn
            hole = latents.repeat(self.factor, axis=0).repeat(self.factor, axis=1)
        away = self._redirection(pipeline, scene, wish.redirect)
        wanted = self._arguments(scene, hole, wish, options) | attachments.arguments(pipeline, options)
        wanted = {name: value for name, value in wanted.items() if name in self._accepts}
        run = Run()

        def at_step(_: Any, index: int, __: Any, tensors: dict[str, Any]) -> dict[str, Any]:
            latents = tensors["latents"] if keeping is None else keeping.after(pipeline, index, tensors)
            if away is not None:
                away.done = (index + 1) / max(1, pipeline.num_timesteps)
            run.reach(index + 1, latents.detach().clone())
            return {"latents": latents}

        def work() -> np.ndarray:
            self._here.run, self._here.redirection = run, away
            result = pipeline(**wanted, callback_on_step_end=at_step, callback_on_step_end_tensor_inputs=variables)
            if any(getattr(result, "nsfw_content_detected", None) or ()):
                raise Refused(
                    "the checkpoint's safety checker refuses what was drawn", hint="try another seed, or other words"
                )
            return np.asarray(result.images, np.float32)

        drawn = yield from run.drive(work)
        if drawn.shape != (len(wish.seeds), *scene.hole.shape, 3) or not np.isfinite(drawn).all():
            raise EngineError(
                "the model draws numbers that are not finite", hint="its weights may be damaged, or need another dtype"
            )
        return np.clip(drawn * 2 - 1, -1, 1)

    def _arguments(self, scene: Scene, hole: np.ndarray, wish: Wish, options: Options) -> dict[str, Any]:
        import torch
        from PIL import Image

        height, width = hole.shape
        count = len(wish.seeds)
        start = self._start(wish.strength, options)
        levels = Image.fromarray(np.rint((scene.picture + 1) * 127.5).clip(0, 255).astype(np.uint8))
        mask = Image.fromarray(hole.astype(np.uint8) * 255)
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in wish.seeds]
        wanted: dict[str, Any] = {
            "prompt": wish.prompt if count == 1 else [wish.prompt] * count,
            "negative_prompt": wish.negative if count == 1 else [wish.negative] * count,
            # one for each seed, so that each is encoded with its own chance
            "image": levels if count == 1 else [levels] * count,
            "mask_image": mask if count == 1 else [mask] * count,
            "height": height,
            "width": width,
            "num_inference_steps": start.asked,
            "guidance_scale": options.guidance,
            "strength": start.strength(rounds_down=getattr(self._pipeline, "unet", None) is not None),
            "generator": generators[0] if count == 1 else generators,
            "output_type": "np",
        }
        return wanted

    def noise(self, strength: float, options: Options) -> float:
        """The share of its steps that a drawing of a wish's `strength` starts with; 1 is noise alone."""
        return self._start(strength, options).share

    def unheard(self, options: Options) -> str:
        """Why the negative words of a prompted drawing are not followed, as a sentence; "" where they are, or none."""
        return attachments.unheard(self._pipeline, options)

    def _start(self, strength: float, options: Options) -> starts.Start:
        if "strength" not in self._accepts:
            return starts.Start(options.steps, options.steps)
        config = self._pipeline.scheduler.config
        # a consistency model's scheduler has only those steps that its teacher had
        most = config.get("original_inference_steps") or config.get("num_train_timesteps") or options.steps
        return starts.start(options.steps, strength, most)

    def _redirection(self, pipeline: Any, scene: Scene, share: float) -> redirection.Redirection | None:
        if not share or getattr(pipeline, "unet", None) is None:
            return None
        with self._words:
            redirection.install(self._net, self._here)
        hole = conditioning.in_latents(scene.hole, self.factor)
        return redirection.Redirection(hole, share, lambda: bool(pipeline.do_classifier_free_guidance))

    def decode(self, latents: Any, side: int) -> np.ndarray | None:
        """The first of a scene's latents as a picture (side, side, 3) in [-1, 1], by the tiny autoencoder where the
        pipeline has one; None where their layout is not known, or where decoding would cost steps."""
        import torch

        latents = latents[:1]
        if latents.ndim == 3 and hasattr(self._pipeline, "_unpack_latents"):
            latents = self._pipeline._unpack_latents(latents, side, side, self.factor)
        if latents.ndim not in (4, 5):
            return None
        vae = getattr(self._pipeline, "tiny_vae", None)
        if vae is None and self.placed.alone:
            return None  # the large one would push out the denoiser, which is brought back for the next step
        vae = vae or self._pipeline.vae
        with torch.inference_mode():
            picture = vae.decode(_unscaled(latents.to(vae.device, vae.dtype), vae.config)).sample
        picture = picture[0] if picture.ndim == 4 else picture[0, :, 0]
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


def _unscaled(latents: Any, config: Any) -> Any:
    """What a pipeline works with as what its autoencoder decodes."""
    scale, shift = getattr(config, "scaling_factor", None) or 1.0, getattr(config, "shift_factor", None) or 0.0
    mean, deviation = getattr(config, "latents_mean", None), getattr(config, "latents_std", None)
    if mean is None or deviation is None:
        return latents / scale + shift
    import torch

    shape = (1, -1, *(1,) * (latents.ndim - 2))
    return latents * torch.tensor(deviation).view(shape).to(latents) / scale + torch.tensor(mean).view(shape).to(
        latents
    )


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
