"""What works on this machine: packages, devices, cache folders, memory, and one small fill.

Nothing is believed that can be tried. What may print, hang or bring the process down (drivers, thread libraries) is
tried in a process of its own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from eraser import __version__
from eraser.machine import usable_processors

State = Literal["ok", "absent", "trouble"]
MARKS: dict[State, str] = {"ok": "ok", "absent": "--", "trouble": "!!"}
PROBE_SECONDS = 120  # a cold driver or a first compilation on a busy machine
GIB = 1 << 30

BASE_PACKAGES = (
    "numpy",
    "pillow",
    "scipy",
    "numba",
    "pyvips",
    "pyvips-binary",
    "click",
    "tqdm",
    "platformdirs",
    "psutil",
    "fastapi",
    "uvicorn",
    "python-multipart",
)
EXTRAS = {"diffusion": ("torch", "diffusers", "transformers", "accelerate", "safetensors", "peft"), "web": ("gradio",)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report. absent: optional and not there; trouble: something will not work, `detail` says what."""

    group: str
    name: str
    state: State
    detail: str


def examine() -> list[Finding]:
    """Try everything; takes a few seconds, more at the first run on a machine (compilation)."""
    checks: tuple[Callable[[], Iterable[Finding]], ...] = (
        machine,
        packages,
        fewer_bits,
        onnxruntime_devices,
        torch_devices,
        cache_folders,
        small_fill,
    )
    return [finding for check in checks for finding in check()]


def in_trouble(findings: Iterable[Finding]) -> bool:
    return any(finding.state == "trouble" for finding in findings)


def to_text(findings: Iterable[Finding]) -> str:
    """A report for people, one line per finding."""
    findings = list(findings)
    width = max((len(finding.name) for finding in findings), default=0)
    lines: list[str] = []
    group = ""
    for finding in findings:
        if finding.group != group:
            group = finding.group
            lines += ["", group] if lines else [group]
        lines.append(f"  {MARKS[finding.state]}  {finding.name:<{width}}  {finding.detail}")
    return "\n".join(lines)


def to_json(findings: Iterable[Finding]) -> dict[str, Any]:
    findings = list(findings)
    return {"ok": not in_trouble(findings), "version": __version__, "findings": [asdict(f) for f in findings]}


# -- the checks --------------------------------------------------------------------------------------------------------


def machine() -> Iterator[Finding]:
    """Versions, processors, memory."""
    import psutil

    yield Finding("machine", "eraser", "ok", __version__)
    yield Finding("machine", "python", "ok", f"{platform.python_version()} ({platform.python_implementation()})")
    yield Finding("machine", "system", "ok", f"{platform.system()} {platform.release()}, {platform.machine()}")
    yield Finding("machine", "processors", "ok", f"{usable_processors()} usable of {os.cpu_count()}")
    memory = psutil.virtual_memory()
    free = memory.available
    state: State = "ok" if free > GIB else "trouble"
    advice = "" if state == "ok" else "; large photos will not fit, close other programs"
    yield Finding("machine", "memory", state, f"{free / GIB:.1f} of {memory.total / GIB:.1f} GiB free{advice}")


def packages() -> Iterator[Finding]:
    """The versions installed, for the base install and each extra."""
    for name in BASE_PACKAGES:
        version = installed(name)
        yield Finding("packages", name, "ok" if version else "trouble", version or f"missing: pip install {name}")
    wheels = {name: version for name in ("onnxruntime", "onnxruntime-gpu") if (version := installed(name))}
    if len(wheels) == 2:
        repair = "pip uninstall onnxruntime onnxruntime-gpu, then pip install --force-reinstall the one you want"
        yield Finding("packages", "onnxruntime", "trouble", f"both wheels overwrite each other: {repair}")
    elif wheels:
        for name, version in wheels.items():
            yield Finding("packages", name, "ok", version)
    else:
        yield Finding("packages", "onnxruntime", "trouble", "missing: pip install onnxruntime")
    for extra, names in EXTRAS.items():
        versions = {name: installed(name) for name in names}
        missing = [name for name, version in versions.items() if version is None]
        if missing:
            yield Finding(
                "packages", f"extra {extra}", "absent", f"to have it: pip install -e '.[{extra}]' in the clone"
            )
        else:
            yield Finding("packages", f"extra {extra}", "ok", ", ".join(f"{n} {v}" for n, v in versions.items()))


def lacks(extra: str) -> bool:
    """Whether a package of this extra is not installed."""
    return any(installed(name) is None for name in EXTRAS.get(extra, ()))


def fewer_bits() -> Iterator[Finding]:
    """Which package would load large checkpoints in fewer bits."""
    if importlib.util.find_spec("torch") is None:
        return
    here = {name: version for name in ("bitsandbytes", "torchao") if (version := installed(name))}
    told = ", ".join(f"{name} {version}" for name, version in here.items())
    advice = "to load large checkpoints in fewer bits: pip install bitsandbytes (GPUs), or torchao"
    yield Finding("packages", "fewer bits", "ok" if here else "absent", told or advice)


def installed(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def onnxruntime_devices() -> Iterator[Finding]:
    """Every provider that onnxruntime lists, with what happened when a session was asked for it."""
    if importlib.util.find_spec("onnxruntime") is None:
        return
    answer = in_own_process("onnxruntime")
    for name, trouble in answer.get("providers", {}).items():
        if not trouble:
            yield Finding("devices", f"onnxruntime {name}", "ok", "works")
        elif name == "CUDAExecutionProvider":
            advice = "pip install 'onnxruntime-gpu[cuda,cudnn]' brings NVIDIA's libraries"
            yield Finding("devices", f"onnxruntime {name}", "absent", f"{trouble} ({advice})")
        elif name == "CPUExecutionProvider":
            yield Finding("devices", f"onnxruntime {name}", "trouble", trouble)
        else:
            yield Finding("devices", f"onnxruntime {name}", "absent", trouble)
    if "trouble" in answer:
        yield Finding("devices", "onnxruntime", "trouble", answer["trouble"])


def torch_devices() -> Iterator[Finding]:
    """Every device that torch lists, with what happened when a product of matrices was asked of it."""
    if importlib.util.find_spec("torch") is None:
        return
    answer = in_own_process("torch")
    for name, (trouble, detail) in answer.get("devices", {}).items():
        state: State = "ok" if not trouble else "trouble"
        yield Finding("devices", f"torch {name}", state, trouble or f"works: {detail} (torch {answer['version']})")
    if "trouble" in answer:
        yield Finding("devices", "torch", "trouble", answer["trouble"])


def cache_folders() -> Iterator[Finding]:
    """Where compiled kernels and downloads are kept, whether those places can be written, and how much room is left."""
    import psutil
    from platformdirs import user_cache_path

    answer = in_own_process("numba")
    compiled = answer.get("folder", "")
    if trouble := answer.get("trouble") or cannot_write(Path(compiled)):
        hint = "set NUMBA_CACHE_DIR to a folder you can write, or every start compiles for some seconds"
        yield Finding("folders", "compiled kernels", "trouble", f"{compiled} {trouble}: {hint}".strip())
    else:
        yield Finding("folders", "compiled kernels", "ok", f"{compiled} (numba threads: {answer['threads']})")
    cache = user_cache_path("magic-eraser", appauthor=False)
    if trouble := cannot_write(cache):
        yield Finding("folders", "cache", "trouble", f"{cache} {trouble}")
    else:
        free = psutil.disk_usage(str(existing_parent(cache))).free
        yield Finding("folders", "cache", "ok", f"{cache} ({free / GIB:.1f} GiB free)")


def small_fill() -> Iterator[Finding]:
    """One erase of a small picture by the engine that runs everywhere."""
    answer = in_own_process("fill")
    if "trouble" in answer:
        yield Finding("engine", "a 96x96 erase", "trouble", answer["trouble"])
    else:
        first, second = answer["seconds"]
        yield Finding("engine", "a 96x96 erase", "ok", f"{first:.2f} s at first, {second:.2f} s again")


def cannot_write(folder: Path) -> str:
    """ "" when a file can be made in the folder (or in the nearest one that exists), else the reason."""
    try:
        with tempfile.TemporaryFile(dir=existing_parent(folder)):
            return ""
    except OSError as error:
        return f"cannot be written ({error.strerror})"


def existing_parent(folder: Path) -> Path:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


# -- what runs in a process of its own ---------------------------------------------------------------------------------


def in_own_process(probe: str) -> dict[str, Any]:
    """The answer of one of PROBES, or {"trouble": why there is none}."""
    package_parent = str(Path(__file__).resolve().parents[1])
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        # -P: a folder named eraser where the user stands must not be taken for this package
        done = subprocess.run(
            [sys.executable, "-P", "-m", "eraser.doctor", probe],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PROBE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return {"trouble": f"no answer within {PROBE_SECONDS} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines()
        return {"trouble": f"its process ended with {done.returncode}: {lines[-1] if lines else 'no message'}"}
    # libraries may print before; the answer is the last line
    answer: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return answer


def probe_onnxruntime() -> dict[str, Any]:
    """Make a session of a one-node model with each provider and run it.

    The list of providers tells how the wheel was built, and a session that cannot have the provider it was asked for
    silently takes the CPU: so what counts is which provider the session has in the end, and a right result.
    """
    import numpy as np
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    model = doubling_model()
    x = np.arange(4, dtype=np.float32)
    providers = {}
    for name in onnxruntime.get_available_providers():
        if name == "AzureExecutionProvider":  # a service elsewhere, no device
            continue
        try:
            session = onnxruntime.InferenceSession(model, options, providers=[name])
            if session.get_providers()[0] != name:
                providers[name] = "listed, but its libraries do not load here"
            else:
                right = np.array_equal(session.run(None, {"x": x})[0], 2 * x)
                providers[name] = "" if right else "gives wrong results"
        except Exception as error:  # a provider may raise anything
            providers[name] = " ".join(str(error).split())[:200]
    return {"providers": providers}


def doubling_model() -> bytes:
    """An ONNX model of one node, y = x + x with x of 4 floats, as serialised protobuf (onnx.proto, opset 13)."""

    def field(number: int, value: int | str | bytes) -> bytes:
        if isinstance(value, int):
            return bytes([number << 3, value])
        data = value.encode() if isinstance(value, str) else value
        return bytes([number << 3 | 2, len(data)]) + data

    four_floats = field(1, field(1, 1) + field(2, field(1, field(1, 4))))
    node = field(1, "x") + field(1, "x") + field(2, "y") + field(4, "Add")
    values = [field(number, field(1, name) + field(2, four_floats)) for number, name in ((11, "x"), (12, "y"))]
    graph = field(1, node) + field(2, "doubling") + b"".join(values)
    return field(1, 8) + field(7, graph) + field(8, field(2, 13))


def probe_torch() -> dict[str, Any]:
    """Multiply two matrices on each device, in the numbers that latent checkpoints would be computed in there."""
    import torch

    from eraser.engines.devices import CPU, gpus, numbers

    found: dict[str, tuple[str, str]] = {}
    for device in [CPU, *gpus()]:
        try:
            dtype = numbers(device, wide=False)
            ones = torch.ones(64, 64, device=device.torch, dtype=dtype)
            right = bool(((ones @ ones) == 64).all())
            used = str(dtype).removeprefix("torch.")
            detail = f"{device.name}, {device.free() / GIB:.1f} GiB free, latent checkpoints in {used}"
            found[device.torch] = ("" if right else "gives wrong results", detail)
        except Exception as error:  # a driver may raise anything
            found[device.torch] = (" ".join(str(error).split())[:200], "")
    return {"devices": found, "version": torch.__version__}


def probe_numba() -> dict[str, Any]:
    """Where the kernels' compiled code goes, and which thread library numba has."""
    importlib.import_module("eraser.engines.patch_kernels")  # chooses the folder, which numba reads when it is imported
    import numba

    config: Any = numba.config  # its names are made at run time
    return {"folder": config.CACHE_DIR, "threads": config.NUMBA_DEFAULT_NUM_THREADS}


def probe_fill() -> dict[str, Any]:
    """Erase the middle of a striped picture, twice; the stripes outside must stay."""
    import numpy as np

    import eraser

    stripes = np.zeros((96, 96, 3), np.uint8)
    stripes[:, ::8] = 200
    hole = np.zeros((96, 96), bool)
    hole[40:56, 40:56] = True
    seconds = []
    with eraser.Eraser("patch") as session:
        for _ in range(2):
            start = time.perf_counter()
            filled = session.erase(stripes, hole, grow=0)
            seconds.append(time.perf_counter() - start)
    if not np.array_equal(filled[~hole], stripes[~hole]):
        return {"trouble": "pixels outside the hole changed"}
    return {"seconds": seconds}


PROBES: dict[str, Callable[[], dict[str, Any]]] = {
    "onnxruntime": probe_onnxruntime,
    "torch": probe_torch,
    "numba": probe_numba,
    "fill": probe_fill,
}

if __name__ == "__main__":
    print(json.dumps(PROBES[sys.argv[1]]()))
