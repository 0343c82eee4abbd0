"""Every method that is measured, ours among them, behind one signature.

A method is made once per process by its `load` and then called as `fill(image, hole, seed)` with image (H, W, 3) uint8
RGB and hole (H, W) bool; it returns an array like `image`. Peers are tools that are measured when they happen to be
installed (some are GPL): nothing in the package depends on them.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

Fill = Callable[[np.ndarray, np.ndarray, int], "np.ndarray | TimedResult"]


class NotInstalled(Exception):
    """A method that cannot run here; the text says what to install."""


@dataclass(frozen=True, slots=True)
class TimedResult:
    """A result of a method that keeps its own clock, because starting it and passing files is not its work."""

    image: np.ndarray
    seconds: float


@dataclass(frozen=True, slots=True)
class Options:
    """What a method may need from the command line."""

    prototype: str = ""  # path of a script with fill(image, hole, seed=...), measured as the mark to pass
    engine: str = ""  # engine of ours, "" for the default


@dataclass(frozen=True, slots=True)
class Method:
    name: str
    label: str
    load: Callable[[Options], tuple[Fill, str]]  # -> (fill, version); raises NotInstalled
    takes_seed: bool = False  # False: one seed says it all


def load_ours(options: Options) -> tuple[Fill, str]:
    try:
        import eraser

        erase = eraser.erase
    except (ImportError, AttributeError) as error:
        raise NotInstalled(f"eraser.erase cannot be imported here ({error})") from error
    chosen = {"engine": options.engine} if options.engine else {}

    def fill(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
        return erase(image, hole, seed=seed, grow=0, **chosen)

    return fill, getattr(eraser, "__version__", "unknown")


def load_prototype(options: Options) -> tuple[Fill, str]:
    if not options.prototype:
        raise NotInstalled("pass --prototype PATH to measure the research prototype")
    cv2 = _opencv()
    spec = importlib.util.spec_from_file_location(Path(options.prototype).stem, options.prototype)
    if spec is None or spec.loader is None or not Path(options.prototype).is_file():
        raise NotInstalled(f"no Python script at {options.prototype}")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # numba's cache finds a function again by its module's name
    spec.loader.exec_module(module)
    border = 12  # it cannot work at the image's edge, so it is given a mirrored one, as its own main() does

    def fill(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
        padded = cv2.copyMakeBorder(image, border, border, border, border, cv2.BORDER_REFLECT_101)
        floats = np.ascontiguousarray(padded.astype(np.float32) / 255)
        result, _ = module.fill(floats, np.pad(hole, border, mode="reflect"), seed=seed)
        levels = (np.nan_to_num(result).clip(0, 1) * 255 + 0.5).astype(np.uint8)
        return np.where(hole[..., None], levels[border:-border, border:-border], image)

    return fill, Path(options.prototype).name


def load_telea(_: Options) -> tuple[Fill, str]:
    cv2 = _opencv()
    return _inpaint(cv2, cv2.INPAINT_TELEA), cv2.__version__


def load_navier_stokes(_: Options) -> tuple[Fill, str]:
    cv2 = _opencv()
    return _inpaint(cv2, cv2.INPAINT_NS), cv2.__version__


def load_shift_map(_: Options) -> tuple[Fill, str]:
    cv2 = _opencv()
    if not hasattr(cv2, "xphoto"):
        raise NotInstalled("this OpenCV has no xphoto: pip install opencv-contrib-python-headless")

    def fill(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
        lab = cv2.cvtColor(image, cv2.COLOR_RGB2Lab)
        filled = np.zeros_like(lab)
        known = np.where(hole, 0, 255).astype(np.uint8)  # xphoto's masks say what to keep
        cv2.xphoto.inpaint(lab, known, filled, cv2.xphoto.INPAINT_SHIFTMAP)
        # the way to Lab and back moves known pixels, which is no fault of the fill
        return np.where(hole[..., None], cv2.cvtColor(filled, cv2.COLOR_Lab2RGB), image)

    return fill, cv2.__version__


def load_biharmonic(_: Options) -> tuple[Fill, str]:
    try:
        from skimage.restoration import inpaint_biharmonic
    except ImportError as error:
        raise NotInstalled("pip install scikit-image") from error

    def fill(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
        def solve(part: np.ndarray, inside: np.ndarray) -> np.ndarray:
            levels = inpaint_biharmonic(part / 255.0, inside, channel_axis=-1) * 255 + 0.5
            return np.where(inside[..., None], levels.clip(0, 255).astype(np.uint8), part)

        return _on_crop(image, hole, 40, solve)

    return fill, importlib.metadata.version("scikit-image")


def load_resynthesizer(_: Options) -> tuple[Fill, str]:
    try:
        from PIL import Image
        from resynthesizer import TImageSynthParameters, resynthesize
    except (ImportError, OSError) as error:
        raise NotInstalled("pip install resynthesizer (GPL-3.0)") from error
    # GIMP's Heal Selection: 16 neighbours, 500 trys, corpus of 50 px around; the wheel's defaults tile the image
    settings = TImageSynthParameters()
    settings.isMakeSeamlesslyTileableHorizontally = settings.isMakeSeamlesslyTileableVertically = 0
    settings.matchContextType, settings.mapWeight, settings.sensitivityToOutliers = 1, 0.5, 0.117
    settings.patchSize, settings.maxProbeCount = 16, 500

    def fill(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
        def heal(part: np.ndarray, inside: np.ndarray) -> np.ndarray:
            mask = Image.fromarray(np.where(inside, 255, 0).astype(np.uint8))
            return np.asarray(resynthesize(Image.fromarray(part), mask, parameters=settings))

        return _on_crop(image, hole, 50, heal)

    return fill, importlib.metadata.version("resynthesizer")


def load_matchpatch(_: Options) -> tuple[Fill, str]:
    program = shutil.which("gmic")
    if program is None:
        raise NotInstalled("install the gmic command (Debian and Ubuntu: apt-get install gmic)")
    asked = subprocess.run([program, "-v", "-", "echo_stdout", "$_version"], capture_output=True, text=True)

    def fill(image: np.ndarray, hole: np.ndarray, seed: int) -> TimedResult:
        with tempfile.TemporaryDirectory() as folder:
            photo, mask, result = (Path(folder) / name for name in ("photo.ppm", "mask.pgm", "result.ppm"))
            write_netpbm(photo, image)
            write_netpbm(mask, np.where(hole, 255, 0).astype(np.uint8))
            # 'c 0,255 round' or writing truncates by one level; the last 0 keeps it from blending outside the mask
            command = f"{photo} {mask} srand {seed} echo_stdout start=$| inpaint_matchpatch[0] [1],0,9,10,5,0"
            command += f" echo_stdout end=$| keep[0] c 0,255 round -o {result},uint8"
            done = subprocess.run([program, "-v", "-", *command.split()], capture_output=True, text=True)
            if done.returncode or not result.is_file():
                raise RuntimeError(f"gmic failed with code {done.returncode}: {done.stderr.strip()[-300:]}")
            clock = dict(line.split("=") for line in done.stdout.split() if line.count("=") == 1)
            return TimedResult(read_netpbm(result), float(clock["end"]) - float(clock["start"]))

    return fill, ".".join(asked.stdout.strip()) or "unknown"  # it says 294 for 2.9.4


METHODS = {
    method.name: method
    for method in (
        Method("ours", "ours", load_ours, takes_seed=True),
        Method("prototype", "prototype", load_prototype, takes_seed=True),
        Method("resynthesizer", "Resynthesizer", load_resynthesizer),
        Method("matchpatch", "G'MIC matchpatch", load_matchpatch, takes_seed=True),
        Method("shiftmap", "OpenCV shift map", load_shift_map),
        Method("telea", "OpenCV Telea", load_telea),
        Method("navier-stokes", "OpenCV Navier-Stokes", load_navier_stokes),
        Method("biharmonic", "scikit-image biharmonic", load_biharmonic),
    )
}


def write_netpbm(path: Path, pixels: np.ndarray) -> None:
    """Write (H, W) or (H, W, 3) uint8 as PGM or PPM: no compression, so passing files costs next to nothing."""
    kind = b"P6" if pixels.ndim == 3 else b"P5"
    head = b"%s\n%d %d\n255\n" % (kind, pixels.shape[1], pixels.shape[0])
    path.write_bytes(head + np.ascontiguousarray(pixels).tobytes())


def read_netpbm(path: Path) -> np.ndarray:
    """Read an 8-bit PGM or PPM without comments: (H, W) or (H, W, 3) uint8."""
    data = path.read_bytes()
    kind, width, height, _ = data.split(maxsplit=4)[:4]
    channels = (3,) if kind == b"P6" else ()
    count = int(height) * int(width) * (3 if channels else 1)
    return np.frombuffer(data[-count:], np.uint8).reshape(int(height), int(width), *channels)


def _opencv():
    try:
        import cv2
    except ImportError as error:
        raise NotInstalled("pip install opencv-contrib-python-headless") from error
    return cv2


def _inpaint(cv2, algorithm: int) -> Fill:
    def fill(image: np.ndarray, hole: np.ndarray, seed: int) -> np.ndarray:
        return cv2.inpaint(image, hole.astype(np.uint8), 5, algorithm)

    return fill


def _on_crop(image: np.ndarray, hole: np.ndarray, margin: int, fill: Callable) -> np.ndarray:
    rows, columns = np.flatnonzero(hole.any(1)), np.flatnonzero(hole.any(0))
    top, bottom = max(0, rows[0] - margin), rows[-1] + margin + 1
    left, right = max(0, columns[0] - margin), columns[-1] + margin + 1
    filled = image.copy()
    part = np.ascontiguousarray(image[top:bottom, left:right])
    filled[top:bottom, left:right] = fill(part, np.ascontiguousarray(hole[top:bottom, left:right]))
    return filled
