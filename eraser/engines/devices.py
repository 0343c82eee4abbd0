"""What torch can compute on here, how much memory is free there, and in which numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from eraser.errors import EngineError
from eraser.machine import usable_memory

# cards whose 16-bit floats give pictures of nothing but NaN
BROKEN_HALF = ("GTX 1630", "GTX 1650", "GTX 1660")


@dataclass(frozen=True, slots=True)
class Device:
    torch: str  # as torch calls it: cuda:0, xpu:0, mps, cpu
    name: str  # for people
    free: Callable[[], int] = field(compare=False)  # bytes
    shares_memory: bool = False  # with the processor, so that nothing is gained by bringing parts in turn

    @property
    def is_gpu(self) -> bool:
        return self.name != "CPU"


CPU = Device("cpu", "CPU", usable_memory, shares_memory=True)


def gpus() -> list[Device]:
    """Every GPU that torch lists, the one it would take first at the head."""
    import torch

    found = []
    for kind, maker in (("cuda", "ROCm" if torch.version.hip else "CUDA"), ("xpu", "XPU")):
        library: Any = getattr(torch, kind, None)
        if library is None or not library.is_available():
            continue
        for number in range(library.device_count()):
            name = f"GPU ({library.get_device_name(number)}, {maker})"
            found.append(Device(f"{kind}:{number}", name, _free_of(library, number)))
    if torch.backends.mps.is_available():
        found.append(Device("mps", "GPU (Apple, MPS)", _free_of_mps, shares_memory=True))
    return found


def wanted(asked: str) -> list[Device]:
    """The devices for `machine.wanted_device()`. Raises EngineError for a GPU that is asked for and not had."""
    found = [] if asked == "cpu" else gpus()
    if asked == "gpu" and not found:
        raise EngineError("torch has no GPU here although one was asked for", hint="eraser doctor tells what it has")
    return found or [CPU]


def numbers(device: Device, *, wide: bool) -> Any:
    """The torch.dtype to compute in: half the bytes where the device has them and the model bears them.

    wide: whether values leave the range of 16-bit floats, as those of large language models do
    """
    import torch

    kind = device.torch.partition(":")[0]
    if kind == "mps":
        return torch.bfloat16 if torch.backends.mps.is_macos_or_newer(14, 0) else torch.float32
    if kind == "cpu":
        return torch.float32
    library: Any = getattr(torch, kind)
    with library.device(device.torch):
        # asked without emulation, which would be slower than whole floats
        has = library.is_bf16_supported(including_emulation=False)
    if has:
        return torch.bfloat16
    broken = any(card in device.name for card in BROKEN_HALF)
    return torch.float32 if wide or broken else torch.float16


def give_back() -> None:
    """Return memory that torch keeps for later to the devices."""
    import gc

    import torch

    gc.collect()
    for library in (torch.cuda, getattr(torch, "xpu", None), torch.mps if torch.backends.mps.is_available() else None):
        if library is not None and (library is torch.mps or library.is_available()):
            library.empty_cache()


def _free_of(library: Any, number: int) -> Callable[[], int]:
    return lambda: int(library.mem_get_info(number)[0])


def _free_of_mps() -> int:
    import torch

    return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
