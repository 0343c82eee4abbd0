"""ONNX graphs run by onnxruntime, on the device that they really get."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from eraser.errors import DamagedWeights, EngineError, MissingExtra, MissingWeights, OutOfMemory

CUDA = "CUDAExecutionProvider"
DRIVERS = (Path("/dev/nvidia0"), Path("/dev/dxg"), Path("C:/Windows/System32/nvcuda.dll"))  # where a card may be


class Graph:
    """A loaded graph. `runs_on` tells the device: onnxruntime takes the CPU without a word when a GPU's libraries do
    not load, and some of those libraries are missed only when something is run. Then `auto` goes on with the CPU, and
    `trouble` says why.

    device: auto (a GPU where there is one), cpu, or gpu
    Raises MissingExtra, MissingWeights, DamagedWeights, and EngineError where a GPU was asked for and is not had.
    """

    def __init__(self, path: Path, *, device: str, threads: int) -> None:
        if not path.is_file():
            raise MissingWeights(
                f"there is no file {path}", hint="name the ONNX file by its path, seen from where you are"
            )
        self._path, self._device, self._threads = path, device, threads
        self._changing = threading.Lock()
        self.trouble = ""
        self.session = _session(path, device, threads)
        if device == "gpu" and self.runs_on != "GPU":
            raise EngineError(
                "onnxruntime took the CPU although a GPU was asked for",
                hint="eraser doctor tells which libraries are missing",
            )

    @property
    def runs_on(self) -> str:
        return _device_of(self.session)

    def __call__(self, inputs: dict[str, Any]) -> Any:
        """The first output. Raises OutOfMemory, and EngineError for whatever else stops the graph."""
        session = self.session
        try:
            return session.run(None, inputs)[0]
        except Exception as error:  # of onnxruntime's own classes, which it does not export
            if self._device != "auto" or _device_of(session) == "CPU":
                raise _failure(error) from error
            self._take_the_cpu(session, error)
        try:
            return self.session.run(None, inputs)[0]
        except Exception as error:
            raise _failure(error) from error

    def _take_the_cpu(self, failed: Any, error: Exception) -> None:
        with self._changing:
            if self.session is failed:  # and no other thread was quicker
                self.session = _session(self._path, "cpu", self._threads)
                self.trouble = f"the GPU failed ({_reason(error)}), so the CPU draws"


def _device_of(session: Any) -> str:
    return "GPU" if session.get_providers()[0] == CUDA else "CPU"


def _failure(error: Exception) -> EngineError:
    if "alloc" in str(error).lower():
        return OutOfMemory("memory ran out while the model was drawing", hint="close other programs")
    return EngineError(
        f"the model stopped while drawing: {_reason(error)}", hint="try ERASER_DEVICE=cpu, or get its file again"
    )


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:120]


def _session(path: Path, device: str, threads: int) -> Any:
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingExtra("onnxruntime is not installed", hint="pip install onnxruntime") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 4
    # threads that spin while they wait slow down everything else on the machine
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ["CPUExecutionProvider"]
    # the list tells how the wheel was built; without a card, asking for it only takes time
    listed = CUDA in onnxruntime.get_available_providers()
    if listed and (device == "gpu" or (device == "auto" and any(place.exists() for place in DRIVERS))):
        wanted.insert(0, CUDA)
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # of onnxruntime's own classes, which it does not export
        raise DamagedWeights(
            f"{path} cannot be loaded: {_reason(error)}", hint="put the released file there again"
        ) from error
