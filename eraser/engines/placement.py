"""Where a pipeline's parts lie while it computes: the quickest way that fits the memory, or the next one."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from eraser import hub
from eraser.engines import attachments, checkpoints, devices, quantising
from eraser.engines.devices import CPU, Device
from eraser.engines.gate import Gate
from eraser.engines.loaded_files import LoadedFiles
from eraser.engines.loading import Loading
from eraser.engines.memory_needs import GB, Needs, needs, parts_of, tensors_of
from eraser.errors import OutOfMemory
from eraser.machine import usable_memory
from eraser.tensor_files import tensors

RESERVE = 0.75 * GB  # what libraries take for themselves, and what is lost between pieces
Where = Literal["whole", "parts", "layers", "processor"]
WORDS: dict[Where, str] = {"whole": "", "parts": "its parts in turn", "layers": "its layers in turn", "processor": ""}


@dataclass(frozen=True, slots=True)
class Plan:
    """where: everything on the device; a part (words, denoiser, autoencoder) while it is needed, one layer while it is
    needed; nothing."""

    where: Where
    tiled: bool = False  # pictures are decoded in tiles
    sliced: bool = False  # attention is computed in slices
    quantised: str = ""

    def on(self, device: Device) -> str:
        """Where that is, in words."""
        name = CPU.name if self.where == "processor" else device.name
        bits = f"{self.quantised.removesuffix('bit')}-bit weights" if self.quantised else ""
        slices = " and ".join(["decoding in tiles"] * self.tiled + ["attention in slices"] * self.sliced)
        return ", ".join(filter(None, [name, bits, WORDS[self.where], slices]))

    def takes(self, needed: Needs) -> float:
        """Bytes of the device's memory, about."""
        share = quantising.SHARES.get(self.quantised, 1.0)
        drawing = needed.drawing * (0.6 if self.sliced else 1)
        computed = max(drawing, needed.tile if self.tiled else needed.decoding)
        match self.where:
            case "whole":
                return share * sum(needed.parts.values()) + computed + RESERVE
            case "parts":
                return share * max(needed.parts.values()) + computed + RESERVE
            case "layers":
                return needed.layer + computed + RESERVE
            case _:
                return 0


def ladder(device: Device, quantised: str, *, can_quantise: bool) -> list[Plan]:
    """The plans for a device, the quickest first. quantised: what was asked for, "" to decide by the memory."""
    if not device.is_gpu:
        return [Plan("processor", quantised=quantised), Plan("processor", True, quantised=quantised)]
    plans = [Plan("whole"), Plan("whole", True)]
    if device.shares_memory:
        plans.append(Plan("whole", True, True))
    else:
        plans.append(Plan("parts", True))
        if can_quantise and not quantised:
            plans += [Plan("whole", True, quantised="8bit"), Plan("parts", True, quantised="8bit")]
        if not quantised:
            plans.append(Plan("layers", True))
    plans = [replace(plan, quantised=plan.quantised or quantised) for plan in plans]
    return [*plans, Plan("processor", True)]


class Placed:
    """A checkpoint, loaded and brought to where it computes. Raises what `checkpoints.load` raises, and OutOfMemory."""

    def __init__(
        self,
        loading: Loading,
        device: Device,
        *,
        load: Callable[..., Any] | None = None,
        prepare: Callable[[Any], None] = lambda pipeline: None,
    ) -> None:
        """load: instead of `checkpoints.load`; prepare: called with every pipeline that is loaded, as quantising
        loads it anew."""
        checkpoints.library()
        self.loading, self.device = loading, device
        self._load, self._prepare = load or checkpoints.load, prepare
        self._rounds = 0  # how often the memory ran out
        self.gate = Gate()
        self.dtype, size = _fitting(loading, device)
        if loading.quantised and device.is_gpu:
            size = round(size * quantising.SHARES[loading.quantised])
        self.computes_in = self.dtype
        # before they are read: what is written meanwhile is not what was loaded
        files = LoadedFiles.now(checkpoints.files_of(loading))
        self.pipeline = self._loaded(loading.quantised)
        self.files = files.and_also(attachments.adapter_files(self.pipeline, loading.adapter))
        self.needs = needs(self.pipeline)
        self._plans = ladder(device, loading.quantised, can_quantise=self._can_quantise())
        free = device.free()
        fitting = (number for number, plan in enumerate(self._plans) if plan.takes(self.needs) <= free)
        self._at = next(fitting, len(self._plans) - 1)
        self._settle()

    @property
    def plan(self) -> Plan:
        return self._plans[self._at]

    @property
    def generation(self) -> int:
        return self._at

    @property
    def runs_on(self) -> str:
        """The device and how it is used, as it is at the moment."""
        told = (
            f", its memory ran out {'once' if self._rounds == 1 else f'{self._rounds} times'}" if self._rounds else ""
        )
        return self.plan.on(self.device) + told

    @property
    def alone(self) -> bool:
        """Whether a run moves the parts about, so that no other may be under way."""
        return self.plan.where in ("parts", "layers")

    @property
    def state(self) -> dict[str, object]:
        """Where and in which numbers it computes at the moment."""
        return {"device": self.plan.on(self.device), "dtype": str(self.computes_in).removeprefix("torch.")}

    @property
    def facts(self) -> dict[str, object]:
        """What a result's report says of how it was made."""
        loading = self.loading
        said: dict[str, object] = {
            "checkpoint": loading.place if loading.kind == "repository" else Path(loading.place).name,
            "revision": checkpoints.revision_of(loading),
            "pipeline": type(self.pipeline).__name__,
            "sampler": type(self.pipeline.scheduler).__name__,
            **self.state,
            "loras": [f"{Path(lora.file).name}:{lora.weight:g}" for lora in loading.loras],
            "adapter": Path(loading.adapter.file).name if loading.adapter else "",
            "safety_checker": getattr(self.pipeline, "safety_checker", None) is not None,
            "memory_ran_out": self._rounds,
        }
        return {name: value for name, value in said.items() if value not in ("", [])}

    def cheaper(self) -> None:
        """Take the next plan. Raises OutOfMemory when there is none."""
        self._rounds += 1
        if self._at + 1 == len(self._plans):
            raise OutOfMemory(
                f"the memory ran out while the model was drawing, on the {self.plan.on(self.device)}",
                hint="close other programs, or ask for a smaller side (latent:NAME?side=768)",
            )
        self._at += 1
        self._settle()

    def _settle(self) -> None:
        """Bring everything to where the plan says, or a later one where its memory runs out on the way."""
        import torch

        while True:
            try:
                self._put(self.plan)
                return
            except torch.OutOfMemoryError:
                devices.give_back()
                if self._at + 1 == len(self._plans):
                    raise
                self._at += 1

    def _put(self, plan: Plan) -> None:

        if plan.quantised != self._quantised:
            self.pipeline = None
            devices.give_back()
            self.pipeline = self._loaded(plan.quantised)
        pipeline = self.pipeline
        pipeline.remove_all_hooks()
        for name, on in (("tiling", plan.tiled), ("slicing", plan.tiled)):
            switch = getattr(pipeline.vae, f"{'enable' if on else 'disable'}_{name}", None)
            if switch is not None:
                switch()
        if plan.sliced:
            _slice_attention(pipeline)
        place = self.device.torch
        match plan.where:
            case "whole":
                pipeline.to(place)
            case "parts":
                pipeline.enable_model_cpu_offload(device=place)
            case "layers":
                pipeline.to("cpu")
                pipeline.enable_sequential_cpu_offload(device=place)
            case "processor":
                place = "cpu"
                self.computes_in = self._on_processor(plan)
                pipeline.to(place, **({} if self.computes_in == self.dtype else {"dtype": self.computes_in}))
        if (tiny := getattr(pipeline, "tiny_vae", None)) is not None:
            tiny.to(place, dtype=pipeline.vae.dtype)

    def _on_processor(self, plan: Plan) -> Any:
        """The dtype to compute in there: float32 where the main memory holds it, as few processors compute in half
        floats, and none quickly. Raises OutOfMemory where it holds neither."""
        import torch

        if not self.device.is_gpu or plan.quantised:
            return self.dtype
        tensors = [tensor for part in parts_of(self.pipeline).values() for tensor in tensors_of(part)]
        there = sum(tensor.nbytes for tensor in tensors if self.device.shares_memory or tensor.device.type == "cpu")
        free = usable_memory()
        # each part is turned by itself: what it was in is free for the next
        sizes = {
            dtype: sum(
                tensor.numel() * (dtype if tensor.is_floating_point() else tensor).itemsize for tensor in tensors
            )
            for dtype in (torch.float32, torch.bfloat16)
        }
        for dtype, size in sizes.items():
            if size <= free + there:
                return dtype
        least = min(sizes.values())
        raise OutOfMemory(
            f"the memory ran out on the {self.device.name}, and for the processor {least / GB:.1f} GB are needed, of "
            f"which {(free + there) / GB:.1f} GB are free",
            hint="close other programs, or take a smaller checkpoint",
        )

    def _loaded(self, quantised: str) -> Any:
        self._quantised = quantised
        pipeline = self._load(replace(self.loading, quantised=quantised), self.dtype, device=self.device.torch)
        self._prepare(pipeline)
        return pipeline

    def _can_quantise(self) -> bool:
        return self.loading.kind != "file" and bool(quantising.package(self.device.torch))


def persistent(
    placed: Placed,
    make: Callable[[], Generator[tuple[int, Any], None, Any]],
    ran_out: Callable[[str], object] = lambda reason: None,
) -> Generator[tuple[int, Any], None, Any]:
    """Run `make()` to its end, again from its start by the next cheaper plan whenever the memory runs out: with the
    same seed, the same picture. Steps that are done again are not counted down; `ran_out` hears of every time. Raises
    OutOfMemory."""
    import torch

    most = 0
    while True:
        for _ in placed.gate.entered(alone=placed.alone):
            yield most, None
        with placed.gate.held():
            generation, failure = placed.generation, ""
            steps = make()
            try:
                while True:
                    done, latents = next(steps)
                    most = max(most, done)
                    yield most, latents
            except StopIteration as finished:
                return finished.value
            except torch.OutOfMemoryError as error:
                failure = str(error)  # not the error itself, whose frames hold what filled the memory
            finally:
                steps.close()
        ran_out(failure)
        del steps
        for _ in placed.gate.entered(alone=True):
            yield most, None
        with placed.gate.held():
            devices.give_back()
            if placed.generation == generation:  # nobody else has answered it
                placed.cheaper()
        yield most, None


def _slice_attention(pipeline: Any) -> None:
    """As diffusers does, but an IP-Adapter's processors stay: those that compute slices cannot look at its picture."""
    net: Any = getattr(pipeline, "unet", None)
    processors = {} if net is None else net.attn_processors
    kept = {name: one for name, one in processors.items() if "IPAdapter" in type(one).__name__}
    pipeline.enable_attention_slicing()
    if kept:
        net.set_attn_processor(net.attn_processors | kept)


@contextlib.contextmanager
def memory() -> Iterator[None]:
    """Memory that runs out elsewhere than in a drawing is told as OutOfMemory, and what it had left over given back."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        devices.give_back()
        raise OutOfMemory(
            "the GPU's memory ran out while the model was drawing",
            hint="close other programs on it, ask for a smaller side (latent:NAME?side=768), or set ERASER_DEVICE=cpu",
        ) from error


def _fitting(loading: Loading, device: Device) -> tuple[Any, int]:
    """(the dtype to load in, bytes of the weights then). Raises OutOfMemory when the machine has not so much."""
    import torch

    folder = None if loading.kind == "file" else checkpoints.folder_of(loading)
    wide = folder is not None and "unet" not in hub.components(folder)
    dtype = devices.numbers(device, wide=wide)
    free = usable_memory()
    choices = [dtype] if device.is_gpu else [dtype, torch.bfloat16]
    sizes = {choice: _size(loading, folder, choice.itemsize) for choice in choices}
    for choice, size in sizes.items():
        if size * quantising.SHARES.get(loading.quantised, 1.0) <= free:
            return choice, size
    least = min(sizes.values())
    raise OutOfMemory(
        f"{loading.place} has {least / GB:.1f} GB of weights, and {free / GB:.1f} GB of memory are free",
        hint="close other programs, or take a smaller checkpoint",
    )


def _size(loading: Loading, folder: Path | None, itemsize: int) -> int:
    if folder is not None:
        return hub.needed(folder, itemsize)
    return sum(tensor.in_memory(itemsize) for tensor in tensors(Path(loading.place)).values())
