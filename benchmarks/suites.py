"""What is filled: open cases from a folder, truths drawn from a seed, and sizes and holes for the time plots."""

from __future__ import annotations

import importlib.util
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.scenes import SCENES, meadow, render
from benchmarks.scores import shrink

WIDTH, HEIGHT = 720, 540  # of synthetic truths
PHOTO_HOLE = 0.01, 0.06  # of a photograph, least and most

# scene: shape of the hole, where it is (shares of width and height), its share of the picture.
# Chosen so that the hole crosses what is hard in the scene: the horizon, the seam, the bend.
SCENE_HOLES = {
    "clouds": ("blob", 0.55, 0.50, 0.07),
    "bricks": ("blob", 0.45, 0.55, 0.06),
    "wood": ("stroke", 0.50, 0.45, 0.05),
    "seaside": ("blob", 0.45, 0.50, 0.06),
    "gravel": ("blob", 0.50, 0.50, 0.06),
    "windows": ("blob", 0.40, 0.50, 0.06),
    "cloth": ("blob", 0.55, 0.50, 0.05),
    "floor-tiles": ("blob", 0.55, 0.42, 0.06),
    "grass": ("stroke", 0.50, 0.60, 0.06),
    "road": ("blob", 0.71, 0.56, 0.05),
    "bokeh": ("blob", 0.50, 0.60, 0.05),
    "shingles": ("blob", 0.50, 0.50, 0.06),
}
# the same for photographs that come with scikit-image, over what is only background there
SAMPLE_HOLES = {
    "gravel.png": ("blob", 0.50, 0.50, 0.06),
    "grass.png": ("stroke", 0.50, 0.50, 0.06),
    "brick.png": ("blob", 0.50, 0.50, 0.06),
    "coffee.png": ("blob", 0.88, 0.30, 0.035),
    "rocket.jpg": ("blob", 0.41, 0.40, 0.03),
    "astronaut.png": ("blob", 0.18, 0.65, 0.03),
}


@dataclass(frozen=True, slots=True)
class Case:
    """image (H, W, 3) uint8 RGB · hole (H, W) bool · truth like image, or None where only the eye can judge."""

    image: np.ndarray
    hole: np.ndarray
    truth: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Recipe:
    """A case that is made when it is needed: 200-megapixel ones must not all lie in memory."""

    suite: str
    name: str
    make: Callable[[], Case]
    pictures: bool = True  # False: only its time is of interest
    peers: bool = True  # False: too large for the peers to be worth the wait


def open_cases(kind: str, folder: Path, long_side: int = 0) -> Iterator[Recipe]:
    """Recipes for FOLDER/kind/NN-name/{image.jpg, mask.png}; kind is "restore" (the photo is the truth) or "removal".

    long_side > 0 shrinks larger photos to it; white in a mask is the hole. Raises FileNotFoundError without such cases.
    """
    places = sorted(path.parent for path in (folder / kind).glob("*/mask.png"))
    if not places:
        raise FileNotFoundError(f"no cases at {folder / kind}/*/mask.png: pass --cases FOLDER")
    suite = f"{kind}@{long_side}" if long_side else kind
    for place in places:
        yield Recipe(suite, place.name, lambda place=place: open_case(place, kind == "restore", long_side))


def open_case(place: Path, has_truth: bool, long_side: int = 0) -> Case:
    from PIL import Image

    photo = next(path for path in sorted(place.glob("image.*")))
    image = np.asarray(Image.open(photo).convert("RGB"))
    hole = np.asarray(Image.open(place / "mask.png").convert("L")) > 127
    if long_side and max(hole.shape) > long_side:
        scale = long_side / max(hole.shape)
        size = (round(hole.shape[0] * scale), round(hole.shape[1] * scale))
        image, hole = shrink_levels(image, size), shrink_nearest(hole, size)
    return Case(image, hole, image if has_truth else None)


def shrink_levels(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W, 3) uint8 at `size` (height, width) by area averaging."""
    return (shrink(image.astype(np.float32), size) + 0.5).clip(0, 255).astype(np.uint8)


def shrink_nearest(hole: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """(H, W) bool at `size` (height, width): the pixel under each centre, so the hole keeps its share."""
    rows = ((np.arange(size[0]) + 0.5) * hole.shape[0] / size[0]).astype(int)
    columns = ((np.arange(size[1]) + 0.5) * hole.shape[1] / size[1]).astype(int)
    return hole[np.ix_(rows, columns)]


def synthetic() -> Iterator[Recipe]:
    """Truths that need no files: drawn scenes, and scikit-image's sample photographs where that is installed."""
    for seed, (name, hole) in enumerate(SCENE_HOLES.items()):
        yield Recipe("synthetic", name, partial(scene_case, name, hole, seed))
    for seed, (name, hole) in enumerate(SAMPLE_HOLES.items()):
        place = sample_photo(name)
        if place is not None:
            yield Recipe("synthetic", f"photo-{place.stem}", partial(sample_case, place, hole, seed))


def photographs(folder: Path, every: int = 1, first: int = 0) -> Iterator[Recipe]:
    """Every so many-th of the pictures in a folder, by name, each with a hole of its own wherever that comes to lie.

    Raises FileNotFoundError without any.
    """
    places = sorted(place for place in folder.glob("*.*") if place.suffix.lower() in (".jpg", ".jpeg", ".png", ".webp"))
    if not places[first::every]:
        raise FileNotFoundError(
            f"{len(places)} pictures in {folder}, none from number {first} on: pass --photos FOLDER"
        )
    for place in places[first::every]:
        yield Recipe("photos", place.stem, partial(photo_case, place))


def speed() -> Iterator[Recipe]:
    """The sizes and holes that people meet, and the ones that the limits of time and memory are promised for."""
    yield Recipe("speed", "640x480-6%", partial(timed_case, 640, 480, 0.06), pictures=False)
    for width, height in ((816, 612), (1152, 864), (1632, 1224)):
        for percent in (1, 3, 10):
            name = f"{width}x{height}-{percent}%"
            yield Recipe("speed", name, partial(timed_case, width, height, percent / 100), pictures=False)
    yield Recipe("speed", "4000x3000-1.1M", partial(timed_case, 4000, 3000, 1_100_000), pictures=False)
    for width, height in ((4000, 3000), (8160, 6120), (16320, 12240)):
        name = f"{width}x{height}-120k"
        yield Recipe("speed", name, partial(timed_case, width, height, 120_000), pictures=False, peers=False)


def sweep() -> Iterator[Recipe]:
    """One thing grows while the other stays: picture at a fixed share of hole, hole in a fixed picture."""
    for width, height in ((640, 480), (1024, 768), (1440, 1080), (2000, 1500), (2880, 2160), (4000, 3000)):
        make = partial(timed_case, width, height, 0.03)
        yield Recipe("sweep", f"size-{width}x{height}", make, pictures=False, peers=width <= 2000)
    for pixels in (1_000, 3_000, 10_000, 30_000, 100_000, 200_000, 400_000, 800_000):
        make = partial(timed_case, 2000, 1500, pixels)
        yield Recipe("sweep", f"hole-{pixels}", make, pictures=False, peers=pixels <= 100_000)


def scene_case(name: str, hole: tuple, seed: int) -> Case:
    return covered(render(SCENES[name], WIDTH, HEIGHT, seed), hole, seed)


def sample_photo(name: str) -> Path | None:
    """Path of one of scikit-image's sample photographs, None where it is not installed."""
    spec = importlib.util.find_spec("skimage")
    path = Path(spec.origin).parent / "data" / name if spec and spec.origin else None
    return path if path and path.is_file() else None


def sample_case(place: Path, hole: tuple, seed: int) -> Case:
    from PIL import Image

    return covered(np.asarray(Image.open(place).convert("RGB")), hole, seed)


def photo_case(place: Path) -> Case:
    seed = zlib.crc32(place.stem.encode())  # the same hole, whichever others are filled
    random = np.random.default_rng(seed)
    hole = ("blob", *random.uniform(0.3, 0.7, 2), random.uniform(*PHOTO_HOLE))
    return sample_case(place, hole, seed)


def timed_case(width: int, height: int, hole: float) -> Case:
    """A meadow with a hole of that many pixels, or of that share of the picture when below 1."""
    # a picture beyond 12 megapixels is mirrored: what the hole sees around it is then the same at every size
    image = render(meadow, min(width, 4000), min(height, 3000), seed=0, finer=1)
    pixels = round(hole * width * height) if hole < 1 else int(hole)
    centre = (0.45 * image.shape[1], 0.58 * image.shape[0])
    if image.shape[:2] != (height, width):
        image = np.pad(image, ((0, height - image.shape[0]), (0, width - image.shape[1]), (0, 0)), mode="symmetric")
    return Case(image, drawn_hole("blob", width, height, centre, pixels, np.random.default_rng(0)))


def covered(truth: np.ndarray, hole: tuple, seed: int) -> Case:
    """The truth with an object over it: whoever looks into the hole finds something that does not belong there."""
    shape, across, down, share = hole
    height, width = truth.shape[:2]
    random = np.random.default_rng(1000 + seed)
    inside = drawn_hole(shape, width, height, (across * width, down * height), round(share * width * height), random)
    image = truth.copy()
    object_colour = random.integers(0, 256, 3)
    image[inside] = (object_colour + random.normal(0, 12, (int(inside.sum()), 3))).clip(0, 255).astype(np.uint8)
    return Case(image, inside, truth)


def drawn_hole(
    shape: str, width: int, height: int, centre: tuple[float, float], pixels: int, random: np.random.Generator
) -> np.ndarray:
    """(height, width) bool with exactly `pixels` True, a "blob" or a brush "stroke" about `centre` (x, y) in pixels."""
    reach = int(3.5 * pixels**0.5) + 8
    left, top = max(0, int(centre[0]) - reach), max(0, int(centre[1]) - reach)
    right, bottom = min(width, int(centre[0]) + reach), min(height, int(centre[1]) + reach)
    y, x = np.mgrid[top:bottom, left:right]
    x, y = x - centre[0], y - centre[1]
    if shape == "blob":
        angle, radius = np.arctan2(y, x), np.ones(x.shape)
        for wave in range(2, 6):
            radius += random.uniform(-1, 1) * 0.45 / wave * np.cos(wave * angle + random.uniform(0, 2 * np.pi))
        field = np.hypot(x, y) / radius
    elif shape == "stroke":
        length, angle = 0.85 * pixels**0.5, random.uniform(0, np.pi)
        field = np.full(x.shape, np.inf)
        for t in np.linspace(-1, 1, 41):
            bent = angle + 0.9 * t
            field = np.minimum(field, np.hypot(x - length * t * np.cos(bent), y - length * t * np.sin(bent)))
    else:
        raise ValueError(f"unknown shape {shape}; there are blob, stroke")
    hole = np.zeros((height, width), bool)
    nearest = np.argpartition(field, pixels - 1, axis=None)[:pixels]
    hole[top:bottom, left:right].flat[nearest] = True
    return hole
