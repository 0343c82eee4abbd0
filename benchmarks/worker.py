"""One method on one case in a process of its own: `python -m benchmarks.worker`, job on stdin, rows on stdout.

A fresh process per job, so that no method profits from another's warm caches or is blamed for another's memory.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import statistics
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.peers import METHODS, NotInstalled, Options, TimedResult
from benchmarks.scores import outside_change, score

MEBIBYTE = 2**20
ENOUGH_SECONDS = 60  # no further repeat once this long was measured: the spread of a slow call is small


def measure(job: dict) -> list[dict]:
    """Rows for a job: method, options, inputs (folder of .npy files), seeds, repeats, warm_up, pictures (folder or "").

    Each row has `status`: ok, skipped (not installed), refused (a known pixel changed) or failed, and `why` if not ok.
    """
    method = METHODS[job["method"]]
    folder = Path(job["inputs"])
    image, hole = np.load(folder / "image.npy"), np.load(folder / "hole.npy")
    truth = np.load(folder / "truth.npy") if (folder / "truth.npy").is_file() else None
    facts = {
        "width": image.shape[1],
        "height": image.shape[0],
        "hole_pixels": int(hole.sum()),
    }
    began = time.perf_counter()
    try:
        fill, version = method.load(Options(**job["options"]))
        if job["warm_up"]:
            small, small_hole = warm_up_case()
            fill(small, small_hole, 0)
    except NotInstalled as missing:
        return [facts | {"status": "skipped", "why": str(missing), "seed": seed} for seed in job["seeds"]]
    facts |= {"version": version, "warm_up_s": round(time.perf_counter() - began, 3)}
    rows = []
    for seed in job["seeds"]:
        row = facts | {"seed": seed}
        if hasattr(os, "getloadavg"):
            row["load"] = [round(value, 2) for value in os.getloadavg()]
        try:
            rows.append(row | run_once(fill, image, hole, truth, seed, job))
        except Exception as error:  # a peer may fail in any way; the run goes on and the table says so
            rows.append(row | {"status": "failed", "why": f"{type(error).__name__}: {error}"[:300]})
    return rows


def run_once(fill, image: np.ndarray, hole: np.ndarray, truth: np.ndarray | None, seed: int, job: dict) -> dict:
    """Time one seed `repeats` times, check its known pixels, keep its picture, score it."""
    result, seconds, cpu = None, [], []
    inputs = digest(image, hole)
    forget_peak_memory()
    resident = peak_memory()
    for _ in range(job["repeats"]):
        if sum(seconds) > ENOUGH_SECONDS:
            break
        result = None  # or two results would count as the method's memory
        cpu_before, start = cpu_seconds(), time.perf_counter()
        result = fill(image, hole, seed)
        elapsed = time.perf_counter() - start
        cpu.append(cpu_seconds() - cpu_before)
        if isinstance(result, TimedResult):
            result, elapsed = result.image, result.seconds
        seconds.append(elapsed)
    row = {
        "seconds": round(statistics.median(seconds), 4),
        "fastest_s": round(min(seconds), 4),
        "slowest_s": round(max(seconds), 4),
        "cpu_s": round(statistics.median(cpu), 4),
        "repeats": len(seconds),
        "peak_mb": round(peak_memory() / MEBIBYTE, 1),
        "before_mb": round(resident / MEBIBYTE, 1),
    }
    if job["pictures"]:
        keep_picture(Path(job["pictures"]) / f"{job['method']}-{seed}.png", result)
    if digest(image, hole) != inputs:
        return row | {"status": "refused", "why": "the method wrote into its input"}
    return row | judge(image, result, hole, truth)


def judge(image: np.ndarray, result: np.ndarray, hole: np.ndarray, truth: np.ndarray | None) -> dict:
    """Scores of a result, or why it is none."""
    if result.shape != image.shape or result.dtype != image.dtype:
        why = f"the result is {result.shape} {result.dtype}, the photo {image.shape} {image.dtype}"
        return {"status": "refused", "why": why}
    change = outside_change(image, result, hole)
    if change:
        return {"status": "refused", "why": f"known pixels changed by up to {change} levels", "outside": change}
    if truth is None:
        return {"status": "ok", "outside": 0}
    return {"status": "ok"} | {name: round(value, 5) for name, value in score(truth, result, hole).as_dict().items()}


def warm_up_case() -> tuple[np.ndarray, np.ndarray]:
    """A small picture for compilation and first-use costs, which are reported apart."""
    image = np.random.default_rng(0).integers(0, 256, (160, 200, 3), np.uint8)
    hole = np.zeros((160, 200), bool)
    hole[60:100, 70:130] = True
    return image, hole


def digest(*arrays: np.ndarray) -> str:
    """Short for the arrays' bytes: a copy to compare with would count as the method's memory."""
    found = hashlib.blake2b()
    for array in arrays:
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def keep_picture(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, compress_level=2)


def cpu_seconds() -> float:
    """Processor time of this process and its finished children: unlike the clock, it hardly depends on the load."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def peak_memory() -> int:
    """Bytes: the largest resident size since `forget_peak_memory`, or of a child, whichever is more."""
    try:
        import resource
    except ImportError:  # Windows
        import psutil

        return psutil.Process().memory_info().peak_wset
    unit = 1 if sys.platform == "darwin" else 1024
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    try:
        # ru_maxrss is inherited from whoever started the process and cannot be reset; the kernel's own mark can
        status = Path("/proc/self/status").read_text()
        own = int(status.split("VmHWM:")[1].split()[0]) * 1024
    except (OSError, IndexError):
        pass
    return max(own, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit)


def forget_peak_memory() -> None:
    with contextlib.suppress(OSError):  # not Linux, or not allowed: the peak then includes loading
        Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    # peers print what they like; only rows may reach the real standard output
    real = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for row in measure(json.load(sys.stdin)):
        print(json.dumps(row), file=real, flush=True)


if __name__ == "__main__":
    main()
