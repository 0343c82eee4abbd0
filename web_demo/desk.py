"""What one person has on the desk: the photograph as it came, every step since, and variations to choose from."""

from __future__ import annotations

import re
import shutil
import time
import warnings
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eraser import files, masks
from eraser.engines.base import Progress
from eraser.errors import EmptyHole, NothingKnown, UnsupportedImage
from eraser.files import Photo
from eraser.geometry import Size
from eraser.margins import margins
from eraser.serve.jobs import Job
from eraser.session import Eraser
from web_demo import screen

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MOST_STEPS = 40  # kept of a photograph; the oldest ones between the original and the newest are given up


@dataclass(frozen=True, slots=True)
class Settings:
    """The Advanced fold."""

    engine: str = "auto"
    seed: int = 0
    grow: masks.Grow = "auto"
    prompt: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Erasing:
    """What was painted, (H, W) bool of the screen copy's size."""

    mask: np.ndarray
    label = "Erased"
    ending = "erased"

    def check(self) -> None:
        """Raises EmptyHole, NothingKnown."""
        if not self.mask.any():
            raise EmptyHole("nothing is painted yet", hint="paint over what is to vanish, then press Erase")
        if self.mask.all():
            raise NothingKnown(
                "the whole photograph is painted over, so there is nothing left to continue from",
                hint="unpaint a part of it",
            )

    def target(self, size: Size) -> dict[str, float]:
        return {"left": 0, "top": 0, "width": size.width, "height": size.height}

    def steps(self, session: Eraser, photo: Photo, settings: Settings) -> Generator[Progress, None, Photo]:
        hole = screen.scale_mask(self.mask, photo.size)
        return session.erase_steps(photo, hole, seed=settings.seed, grow=settings.grow, prompt=settings.prompt)


@dataclass(frozen=True, slots=True)
class Extending:
    """Pixels to add per side."""

    sides: dict[str, int]
    label = "Extended"
    ending = "extended"

    def check(self) -> None:
        if not any(self.sides.values()):
            raise EmptyHole(
                "the frame is as large as the photograph",
                hint="drag a side of the frame outwards, or choose another shape",
            )

    def target(self, size: Size) -> dict[str, float]:
        """Where the whole result lies, in the photograph's pixels."""
        across, down = self.sides["left"] + self.sides["right"], self.sides["top"] + self.sides["bottom"]
        return {
            "left": -self.sides["left"], "top": -self.sides["top"],
            "width": size.width + across, "height": size.height + down,
        }  # fmt: skip

    def steps(self, session: Eraser, photo: Photo, settings: Settings) -> Generator[Progress, None, Photo]:
        sides = self.sides
        return session.outpaint_steps(
            photo, left=sides["left"], top=sides["top"], right=sides["right"], bottom=sides["bottom"],
            seed=settings.seed, prompt=settings.prompt,
        )  # fmt: skip


Task = Erasing | Extending


def extending(size: Size, *, aspect: Any = None, sides: Any = None) -> Extending:
    """What the browser asks for. Raises OutOfRange."""
    if aspect is not None:
        return Extending(margins(size, aspect=str(aspect)))
    asked = sides if isinstance(sides, dict) else {}
    left, top, right, bottom = (asked.get(name) or 0 for name in ("left", "top", "right", "bottom"))
    return Extending(margins(size, left=left, top=top, right=right, bottom=bottom))


@dataclass(frozen=True, slots=True)
class Step:
    """A picture on the desk: its exact pixels in a file, and copies for the screen."""

    number: int
    label: str
    size: Size
    pixels: Path  # .npy
    copy: Path
    thumb: Path
    seed: int = 0
    seconds: float = 0.0  # that the engine worked
    parent: int | None = None
    task: Task | None = None
    ending: str = ""
    source_type: str = ""  # what the file will say was done to the picture


class Desk:
    """One person's pictures. Used by one thread at a time; `folder` is the desk's own, and removed with it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.last_used = time.time()
        self.job: Job | None = None
        self.steps: dict[int, Step] = {}
        self.variations: list[Step] = []
        self.current = 0
        self.name = ""
        self.facts = ""
        self._shell: Photo | None = None  # all of the photograph but its pixels
        self._count = 0

    @property
    def step(self) -> Step | None:
        return self.steps.get(self.current)

    def open(self, path: Path, name: str, *, most_megapixels: float) -> None:
        """Put another photograph on the desk, whose pictures go. Raises InputError; then all stays as it is."""
        facts = files.probe(path)
        if facts.megapixels > most_megapixels:
            raise UnsupportedImage(
                f"{name} has {facts.megapixels:.0f} megapixels, and this page takes up to {most_megapixels:g}",
                hint="make it smaller first, or use the eraser command on your own machine",
            )
        photo = files.read(path, most_megapixels=most_megapixels)
        self.clear()
        self.name = clean_name(name)
        self.facts = f"{photo.format} · {facts.bits} bit · {photo.size.width} × {photo.size.height}"
        self._shell = photo.with_pixels(photo.pixels[:1, :1].copy())
        step = self._keep(photo, "Original")
        self.steps[step.number] = step
        self.current = step.number

    def photo(self, step: Step) -> Photo:
        """The step's picture with everything that the original file carried."""
        assert self._shell is not None
        return self._shell.with_pixels(np.load(step.pixels)).with_source_type(step.source_type)

    def result(self, photo: Photo, parent: Step, task: Task, seed: int, seconds: float) -> Step:
        """Keep what an engine made; the caller makes it a step or a variation."""
        return self._keep(
            photo, task.label, parent=parent.number, task=task, ending=task.ending, seed=seed, seconds=seconds
        )

    def add(self, step: Step) -> None:
        """Go on from this one."""
        self.steps[step.number] = step
        self.current = step.number
        while len(self.steps) > MOST_STEPS:
            oldest = self.steps.pop(sorted(self.steps)[1])
            self.variations = [each for each in self.variations if each is not oldest]
            self._forget(oldest)

    def take(self, number: int) -> None:
        """Go on from a variation; the others stay to choose from."""
        for step in self.variations:
            if step.number == number:
                self.add(step)

    def drop_variations(self) -> None:
        for step in self.variations:
            if step.number not in self.steps:
                self._forget(step)
        self.variations = []

    def download(self, number: int) -> tuple[Path, list[str]]:
        """The step as a file of the original's kind, and what that kind cannot hold. Raises OutputError."""
        step = self.steps[number]
        assert self._shell is not None
        name = Path(self.name)
        suffix = name.suffix if files.FORMATS.get(name.suffix.lower()) == self._shell.format else ""
        if not suffix:
            known = [ending for ending, kind in files.FORMATS.items() if kind == self._shell.format]
            suffix = known[0] if known else ".png"  # a kind that can only be read
        path = self.folder / f"{step.number}" / f"{name.stem}{'-' + step.ending if step.ending else ''}{suffix}"
        if path.exists():
            return path, []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            files.write(self.photo(step), path)
        return path, [str(warning.message) for warning in caught]

    def clear(self) -> None:
        self.drop_variations()
        for step in self.steps.values():
            self._forget(step)
        self.steps = {}
        self.current = 0

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keep(self, photo: Photo, label: str, **facts: Any) -> Step:
        self._count += 1
        folder = self.folder / f"{self._count}"
        folder.mkdir()
        np.save(folder / "pixels.npy", photo.pixels)
        image = screen.screen_copy(photo)
        copy, thumb = (
            _write(folder / name, what) for name, what in [("screen", image), ("thumb", screen.thumbnail(image))]
        )
        facts["source_type"] = photo.source_type
        return Step(self._count, label, photo.size, folder / "pixels.npy", copy, thumb, **facts)

    def _forget(self, step: Step) -> None:
        shutil.rmtree(step.pixels.parent, ignore_errors=True)


def _write(path: Path, image: PillowImage) -> Path:
    data, ending = screen.encode(image)
    path = path.with_suffix(ending)
    path.write_bytes(data)
    return path


def clean_name(name: str) -> str:
    """A file name without folders and without what some system would not take."""
    plain = re.sub(r'[\x00-\x1f<>:"/\\|?*]+', "_", Path(name.replace("\\", "/")).name).strip(". ")
    return plain[-120:] or "photo.png"
