"""Devices are listed with their makers and their free memory."""

from __future__ import annotations

import pytest

from eraser.errors import EngineError
from tests.engines.networks import ON_NETWORKS

torch = pytest.importorskip("torch", reason="the diffusion extra is not installed")
pytest.importorskip("diffusers", reason="the diffusion extra is not installed")
pytest.importorskip("transformers", reason="the diffusion extra is not installed")

from eraser.engines import devices  # noqa: E402
from eraser.engines.devices import CPU, Device  # noqa: E402
from eraser.engines.memory_needs import GB  # noqa: E402

pytestmark = ON_NETWORKS


class Library:
    """As torch.cuda and torch.xpu are."""

    def __init__(self, *names: str, bf16: bool = True) -> None:
        self.names, self.bf16 = names, bf16

    def is_available(self) -> bool:
        return bool(self.names)

    def device_count(self) -> int:
        return len(self.names)

    def get_device_name(self, number: int) -> str:
        return self.names[number]

    def mem_get_info(self, number: int) -> tuple[int, int]:
        return (number + 1) * GB, 8 * GB

    def is_bf16_supported(self, including_emulation: bool = True) -> bool:
        return self.bf16 or including_emulation

    def device(self, name: str):
        import contextlib

        assert name.startswith(("cuda:", "xpu:"))
        return contextlib.nullcontext()


@pytest.mark.parametrize(
    ("kind", "hip", "maker"), [("cuda", None, "CUDA"), ("cuda", "6.4.1", "ROCm"), ("xpu", None, "XPU")]
)
def test_gpus_are_listed_with_their_makers_and_their_free_memory(monkeypatch, kind, hip, maker):
    monkeypatch.setattr(torch, "cuda", Library())
    monkeypatch.setattr(torch, "xpu", Library())
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch, kind, Library("Card", "Other"))
    found = devices.wanted("auto")
    assert [device.torch for device in found] == [f"{kind}:0", f"{kind}:1"]
    assert found[0].name == f"GPU (Card, {maker})"
    assert [device.free() for device in found] == [GB, 2 * GB]
    assert not found[0].shares_memory
    assert devices.wanted("cpu") == [CPU]


def test_an_apple_gpu_shares_the_processors_memory(monkeypatch):
    monkeypatch.setattr(torch, "cuda", Library())
    monkeypatch.setattr(torch, "xpu", Library())
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda: 12 * GB)
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2 * GB)
    [device] = devices.wanted("gpu")
    assert (device.torch, device.name, device.free()) == ("mps", "GPU (Apple, MPS)", 10 * GB)
    assert device.shares_memory
    for newer, dtype in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(torch.backends.mps, "is_macos_or_newer", lambda *_, newer=newer: newer)
        assert devices.numbers(device, wide=True) == dtype


def test_without_a_gpu_there_is_the_processor_and_asking_for_one_is_an_error(monkeypatch):
    monkeypatch.setattr(torch, "cuda", Library())
    monkeypatch.setattr(torch, "xpu", Library())
    assert devices.wanted("auto") == [CPU]
    with pytest.raises(EngineError, match="no GPU here"):
        devices.wanted("gpu")


@pytest.mark.parametrize(
    ("name", "bf16", "wide", "dtype"),
    [
        ("NVIDIA H100", True, True, "bfloat16"),
        ("NVIDIA H100", True, False, "bfloat16"),
        ("GeForce RTX 2080", False, False, "float16"),
        ("GeForce RTX 2080", False, True, "float32"),  # whose language models leave the range of half floats
        ("GeForce GTX 1660 Ti", False, False, "float32"),  # gives NaN in half floats
    ],
)
def test_numbers_are_as_narrow_as_device_and_model_bear(monkeypatch, name, bf16, wide, dtype):
    monkeypatch.setattr(torch, "cuda", Library(name, bf16=bf16))
    assert devices.numbers(Device("cuda:0", f"GPU ({name}, CUDA)", lambda: 0), wide=wide) == getattr(torch, dtype)
    assert devices.numbers(CPU, wide=wide) == torch.float32
