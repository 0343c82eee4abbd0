"""ONNX graphs run by onnxruntime, on the device that they really get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from eraser.errors import DamagedWeights, EngineError, MissingExtra, MissingWeights, OutOfMemory

DRIVERS = (Path("/dev/nvidia0"), Path("/dev/dxg"), Path("C:/Windows/System32/nvcuda.dll"))  # where a card may be


class Graph:
    """A loaded graph. `runs_on` tells the device: onnxruntime takes the CPU without a word when a GPU's libraries do
    not load.

    device: auto (a GPU where there is one), cpu, or gpu
    Raises MissingExtra, MissingWeights, DamagedWeights, and EngineError where a GPU was asked for and is not had.
    """

    def __init__(self, path: Path, *, device: str, threads: int) -> None:
        if not path.is_file():
            raise MissingWeights(f"there is no file {path}")
        self.session = _session(path, device, threads)
        self.runs_on = "GPU" if self.session.get_providers()[0] == "CUDAExecutionProvider" else "CPU"
        if device == "gpu" and self.runs_on != "GPU":
            raise EngineError(
                "onnxruntime took the CPU although a GPU was asked for",
                hint="eraser doctor tells which libraries are missing",
            )

    def __call__(self, inputs: dict[str, Any]) -> Any:
        """The first output. Raises OutOfMemory."""
        try:
            return self.session.run(None, inputs)[0]
        except Exception as error:  # of onnxruntime's own classes, which it does not export
            if "alloc" in str(error).lower():
                raise OutOfMemory("memory ran out while the model was drawing", hint="close other programs") from error
            raise


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
    listed = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    if listed and (device == "gpu" or (device == "auto" and any(place.exists() for place in DRIVERS))):
        wanted.insert(0, "CUDAExecutionProvider")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=wanted)
    except Exception as error:  # of onnxruntime's own classes, which it does not export
        reason = " ".join(str(error).split())[:120]
        raise DamagedWeights(f"{path} cannot be loaded: {reason}", hint="put the released file there again") from error
