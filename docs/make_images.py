"""Draw the pictures of README and docs/how-it-works.md anew with the installed engine: `python docs/make_images.py`.

Everything is made from the photographs that the package carries (eraser/data/README.md) and one drawn scene of the
benchmarks, so that the pictures show what the present code does.
"""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

import eraser
from benchmarks.suites import SCENE_HOLES, scene_case
from eraser import demo
from eraser.canvas import Canvas, View
from eraser.engines import registry
from eraser.engines.base import Progress
from eraser.engines.edges import draw_edges
from eraser.engines.lending import lend
from eraser.engines.patch import PatchEngine, Scale
from eraser.engines.patch_denoiser import Recipe, sharpness_of
from eraser.engines.patch_fields import Painting, sharpest_sources
from eraser.engines.patch_levels import Workers
from eraser.engines.patch_progress import State, Tracker, shown
from eraser.engines.repeats import find_repeats
from eraser.geometry import Box
from eraser.masks import to_hole
from eraser.pictures import Picture
from eraser.pyramid import halve
from eraser.window import Window, windows

IMAGES = Path(__file__).parent / "images"
GAP = 8
BADGE = (123, 341, 218, 437)  # the round badge on the astronaut's suit and its stitching, as left, top, right, bottom
CORNERS = np.array([[(225, 60, 60), (240, 200, 40)], [(60, 90, 230), (50, 190, 90)]], np.float32)


@dataclass
class Descent:
    """One walk over scales: each as it stood at the end, and how well the last one agrees."""

    cost: float
    scales: list[State]


@dataclass
class Record:
    """What happened while a hole was filled."""

    descents: list[Descent] = field(default_factory=list)
    painting: Painting | None = None

    @property
    def starts(self) -> list[Descent]:
        return self.descents[:-1]


class WatchedEngine(PatchEngine):
    """The patch engine, and a record of what it does."""

    def __init__(self) -> None:
        super().__init__(registry.ENTRIES["patch"].info, threads=1)  # so that starts come one after the other
        self.record = Record()

    def _descend(
        self, scales: Iterator[Scale], painting: Painting | None, rng: np.random.Generator, workers: Workers
    ) -> Generator[State, None, Painting]:
        states = super()._descend(scales, painting, rng, workers)
        last: dict[int, State] = {}
        while True:
            try:
                state = next(states)
            except StopIteration as finished:
                self.record.descents.append(Descent(finished.value.mean_cost, list(last.values())))
                return finished.value
            if state.values is not None:
                last[state.index] = state
            yield state

    def _finish(self, painting: Painting, tracker: Tracker) -> Generator[Progress, None, np.ndarray]:
        self.record.painting = painting
        return (yield from super()._finish(painting, tracker))


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    save(erased_tower(), "erase")
    save(extended_sky(), "extend")
    steps()
    for path in sorted(IMAGES.iterdir()):
        print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


def erased_tower() -> Image.Image:
    """Before, mask, after, as `eraser demo` lays them side by side."""
    scene = demo.SCENES[0]
    with tempfile.TemporaryDirectory() as folder:
        demo.show(scene, Path(folder))
        return Image.open(scene.paths(Path(folder))["side-by-side"]).convert("RGB")


def extended_sky() -> Image.Image:
    """The middle of the rocket photograph, in the place it has in the wider picture, and that picture."""
    photo, _ = demo.load(demo.SCENES[0])
    middle = photo.crop((95, 0, 550, photo.height))
    wider = eraser.outpaint(middle, aspect="16:9")
    before = Image.new("RGB", wider.size, (235, 235, 235))
    before.paste(middle, ((wider.width - middle.width) // 2, 0))
    return grid([before, wider], 2)


def steps() -> None:
    """The pictures of docs/how-it-works.md."""
    photo, _ = demo.load(demo.SCENES[1])
    mask = Image.new("L", photo.size)
    ImageDraw.Draw(mask).ellipse(BADGE, fill=255)
    picture = Picture.open(photo)
    canvas = Canvas(picture.colour, to_hole(mask, picture.size))
    (window,) = windows(canvas.hole)
    view, _ = canvas.view(window.box)
    engine = WatchedEngine()
    filled = run(engine.fill(view, seed=0))
    record = engine.record
    assert record.painting is not None
    best = min(record.starts, key=lambda descent: descent.cost)
    close = window.target.relative_to(window.box).pad(32).clamp(view.size.box)

    save(canvas_and_window(photo, canvas.hole, window), "window")
    scales = best.scales + record.descents[-1].scales
    save(grid([crop(show(view, scale), close, 2) for scale in scales], 3), "scales")
    starts = [crop(show(view, descent.scales[-1]), close, 1) for descent in record.starts]
    ImageDraw.Draw(starts[record.starts.index(best)]).rectangle(
        (0, 0, *(n - 1 for n in starts[0].size)), None, demo.PAINT, 3
    )
    save(grid(starts, 4), "starts")
    save(sources(view, record.painting, engine, close), "sources")
    level = record.painting.level
    voted = view.pixels.copy()
    voted.reshape(-1, level.colours)[level.pixels] = record.painting.values[:, : level.colours]
    final = np.where(view.hole[:, :, None], filled, view.pixels)
    save(grid([crop(array, close, 2) for array in (voted, 6 * (final - voted), final)], 3), "seams")
    after = Image.fromarray(picture.colour)
    after.paste(to_image(final), (window.box.x, window.box.y))
    save(grid([photo, after], 2), "badge")
    save(road(), "edges")
    save(bricks(), "repeats")


def road() -> Image.Image:
    """A drawn road with a hole over its edge line: the hole, what is drawn in it first, without that, and with it."""
    number = list(SCENE_HOLES).index("road")
    case = scene_case("road", SCENE_HOLES["road"], number)
    (window,) = windows(case.hole)
    view, _ = Canvas(case.image, case.hole).view(window.box)
    half, hole = halve(view.pixels, view.hole)
    paint = np.array(demo.PAINT) / 127.5 - 1
    half[hole] = paint
    drawn, half = draw_edges(half, hole, 3)
    print(f"edges: {drawn.sum()} pixels of the road are drawn first")
    fillings = [
        run(PatchEngine(registry.ENTRIES["patch"].info, recipe=recipe).fill(view, seed=0))
        for recipe in (Recipe(edge_targets=0), Recipe())
    ]
    close = window.target.relative_to(window.box).pad(24).clamp(view.size.box)
    shown = [np.where(view.hole[:, :, None], filling, view.pixels) for filling in (paint, *fillings)]
    shown.insert(1, half.repeat(2, axis=0).repeat(2, axis=1))
    return grid([crop(values, close, 1) for values in shown], 4)


def bricks() -> Image.Image:
    """A drawn wall with a hole: the hole, the first warped picture, the filling without it, and with it."""
    number = list(SCENE_HOLES).index("bricks")
    case = scene_case("bricks", SCENE_HOLES["bricks"], number)
    (window,) = windows(case.hole)
    view, _ = Canvas(case.image, case.hole).view(window.box)
    maps = find_repeats(view.pixels, view.hole, Recipe().repeats)
    print(f"repeats: {len(maps)} in the wall of bricks")
    lent = lend(view.pixels, view.hole, maps, scales=1)
    assert lent is not None, "the wall repeats itself"
    paint = np.array(demo.PAINT) / 127.5 - 1
    y, x = np.nonzero(view.hole)
    warped = np.where(view.hole[:, :, None], paint, view.pixels)
    pictures = [warped.copy()]
    warped[y, x] = np.where(lent.unknown[y + lent.offset, x, None], paint, lent.pixels[y + lent.offset, x])
    pictures.append(warped)
    for repeats in (0, Recipe().repeats):
        engine = PatchEngine(registry.ENTRIES["patch"].info, recipe=Recipe(repeats=repeats))
        pictures.append(np.where(view.hole[:, :, None], run(engine.fill(view, seed=0)), view.pixels))
    close = window.target.relative_to(window.box).pad(24).clamp(view.size.box)
    return grid([crop(values, close, 1) for values in pictures], 4)


def show(view: View, state: State) -> np.ndarray:
    assert state.values is not None
    return shown(view, state.level, state.values)


def run(steps: Generator[Progress, None, np.ndarray]) -> np.ndarray:
    while True:
        try:
            next(steps)
        except StopIteration as finished:
            return finished.value


def canvas_and_window(photo: Image.Image, hole: np.ndarray, window: Window) -> Image.Image:
    """The photo, the hole on it, and what the engine sees of it: the rest is faded."""
    tinted = Image.blend(photo, Image.new("RGB", photo.size, demo.PAINT), 0.6)
    marked = Image.composite(tinted, photo, Image.fromarray(hole))
    seen = Image.blend(photo, Image.new("RGB", photo.size, "white"), 0.75)
    box = (window.box.x, window.box.y, window.box.right, window.box.bottom)
    cut = np.asarray(photo).copy()
    cut[hole] = 0
    seen.paste(Image.fromarray(cut).crop(box), box)
    ImageDraw.Draw(seen).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), None, demo.PAINT, 2)
    return grid([marked, seen], 2)


def sources(view: View, painting: Painting, engine: WatchedEngine, close: Box) -> Image.Image:
    """The surroundings coloured by place, and each painted pixel in the colour of the place it was copied from."""
    recipe, level = Recipe(), painting.level
    label = sharpest_sources(
        level,
        painting.field,
        engine._workers,
        decay=recipe.rim_decay,
        sharpness=sharpness_of(recipe.last_sharpness, level.typical_cost),
    )
    height, width = view.hole.shape
    place = np.stack(np.divmod(np.arange(height * width), width), axis=1).astype(np.float32)
    low, high = np.quantile(place[label], [0.02, 0.98], axis=0)
    down, across = np.clip((place - low) / (high - low), 0, 1).T[:, :, None]
    colours = (1 - down) * ((1 - across) * CORNERS[0, 0] + across * CORNERS[0, 1])
    colours += down * ((1 - across) * CORNERS[1, 0] + across * CORNERS[1, 1])
    colours = colours.reshape(height, width, 3) / 127.5 - 1
    grey = view.pixels.mean(axis=2, keepdims=True)
    key = np.where(view.hole[:, :, None], 1, 0.5 * grey + 0.5 * colours)
    told = np.repeat(grey, 3, axis=2)
    told.reshape(-1, 3)[level.pixels] = colours.reshape(-1, 3)[label]
    right = crop(told, close, 2)
    return grid(
        [to_image(key).resize((round(width * right.height / height), right.height), Image.Resampling.LANCZOS), right], 2
    )


def to_image(values: np.ndarray) -> Image.Image:
    """(H, W, 3) in [-1, 1], clipped."""
    return Image.fromarray(np.uint8(np.rint((np.clip(values, -1, 1) + 1) * 127.5)))


def crop(values: np.ndarray, box: Box, times: int) -> Image.Image:
    """A part of an array in [-1, 1], every pixel as a square of `times` x `times`."""
    return to_image(values[box.slices].repeat(times, axis=0).repeat(times, axis=1))


def grid(pictures: list[Image.Image], columns: int) -> Image.Image:
    """Pictures in rows, with white between them; a row is as high as its highest."""
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)]
    widths = [sum(picture.width for picture in row) + GAP * (len(row) - 1) for row in rows]
    heights = [max(picture.height for picture in row) for row in rows]
    sheet = Image.new("RGB", (max(widths), sum(heights) + GAP * (len(rows) - 1)), "white")
    y = 0
    for row, height in zip(rows, heights, strict=True):
        x = 0
        for picture in row:
            sheet.paste(picture, (x, y))
            x += picture.width + GAP
        y += height + GAP
    return sheet


def save(picture: Image.Image, name: str) -> None:
    picture.save(IMAGES / f"{name}.webp", quality=92, method=6)


if __name__ == "__main__":
    main()
