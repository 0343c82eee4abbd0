"""What one person has on the desk: the photograph as it came, every step since, and variations to choose from."""

from __future__ import annotations

import itertools
import re
import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from eraser import files
from eraser.errors import EraserError, OutOfRange, UnsupportedImage
from eraser.files import Photo
from eraser.geometry import Box, Size
from web_demo import screen
from web_demo.folders import FILE
from web_demo.tasks import Task
from web_demo.words import disk_full

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

MOST_STEPS = 40  # kept of a photograph; the oldest ones between the original and the newest are given up


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
    file: Path | None = None  # the photograph as it came


class Desk:
    """One person's pictures. Used by one thread at a time; `folder` is the desk's own, and removed with it.

    room: called with the bytes that are to be kept, raises OutputError where that is too much
    most_bytes: beyond these, old steps are given up
    """

    def __init__(
        self, folder: Path, *, room: Callable[[float], None] = lambda _: None, most_bytes: float = 4e9
    ) -> None:
        self.folder = folder
        self.steps: dict[int, Step] = {}
        self.variations: list[Step] = []
        self.current = 0
        self.name = ""
        self.facts = ""
        self._shell: Photo | None = None  # all of the photograph but its pixels
        self._losses: dict[int, list[str]] = {}  # of steps that were downloaded
        self._count = itertools.count(1)
        self._room = room
        self._most_bytes = most_bytes

    @property
    def step(self) -> Step | None:
        return self.steps.get(self.current)

    def open(self, path: Path, name: str, *, most_megapixels: float) -> None:
        """Put another photograph on the desk, whose pictures go. Raises InputError, OutputError; then all stays as it
        is."""
        facts = files.probe(path)
        if facts.megapixels > most_megapixels:
            raise UnsupportedImage(
                f"{name} has {facts.megapixels:.0f} megapixels, and this page takes up to {most_megapixels:g}",
                hint="make it smaller first, or use the eraser command on your own machine",
            )
        photo = files.read(path, most_megapixels=most_megapixels)
        step = self._keep(photo, "Original", file=path, name=clean_name(name))
        self.clear()
        self.name = clean_name(name)
        self.facts = f"{photo.format} · {facts.bits} bit · {photo.size.width} × {photo.size.height}"
        self._shell = photo.with_pixels(photo.pixels[:1, :1].copy())
        self.steps = {step.number: step}
        self.current = step.number

    def photo(self, step: Step) -> Photo:
        """The step's picture with everything that the original file carried."""
        assert self._shell is not None
        return self._shell.with_pixels(np.load(step.pixels)).with_source_type(step.source_type)

    def part(self, number: int, box: Box) -> tuple[bytes, str]:
        """A part of a step's own pixels for the screen, as a file, and its ending. Raises OutOfRange."""
        step = self.steps.get(number)
        if step is None or not step.size.box.contains(box) or min(box.width, box.height) < 1:
            raise OutOfRange(f"there is no step {number} with {box}")
        assert self._shell is not None
        pixels = np.ascontiguousarray(np.load(step.pixels, mmap_mode="r")[box.slices])
        return screen.encode(screen.screen_copy(self._shell.with_pixels(pixels)))

    def result(self, photo: Photo, parent: Step, task: Task, seed: int, seconds: float) -> Step:
        """Keep what an engine made; the caller makes it a step or a variation. Raises OutputError."""
        return self._keep(
            photo, task.label, parent=parent.number, task=task, ending=task.ending, seed=seed, seconds=seconds
        )

    def add(self, step: Step) -> None:
        """Go on from this one."""
        self.steps[step.number] = step
        self.current = step.number
        while len(self.steps) > MOST_STEPS and self._give_up_oldest(step.parent):
            pass

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
        if step.file is not None:
            return step.file, []
        assert self._shell is not None
        name = Path(self.name)
        suffix = name.suffix if files.FORMATS.get(name.suffix.lower()) == self._shell.format else ""
        if not suffix:
            known = [ending for ending, kind in files.FORMATS.items() if kind == self._shell.format]
            suffix = known[0] if known else ".png"  # a kind that can only be read
        # not among the step's own files: a photo may be called screen.jpg
        path = self.folder / f"{step.number}{FILE}" / f"{name.stem}{'-' + step.ending if step.ending else ''}{suffix}"
        if path.exists():
            return path, self._losses.get(number, [])
        self._room(step.pixels.stat().st_size)
        path.parent.mkdir(exist_ok=True)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", UserWarning)
            files.write(self.photo(step), path)
        self._losses[number] = [str(warning.message) for warning in caught]
        return path, self._losses[number]

    def clear(self) -> None:
        self.drop_variations()
        for step in self.steps.values():
            self._forget(step)
        self.steps = {}
        self.current = 0

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def _keep(self, photo: Photo, label: str, *, file: Path | None = None, name: str = "", **facts: Any) -> Step:
        """file: the photograph itself, which is kept as it is under this name."""
        self._make_room(photo.pixels.nbytes + (file.stat().st_size if file else 0), facts.get("parent"))
        number = next(self._count)
        folder, beside = self.folder / f"{number}", self.folder / f"{number}{FILE}"
        try:
            folder.mkdir()
            if file is not None:
                beside.mkdir()
                facts["file"] = Path(shutil.copyfile(file, beside / name))
            np.save(folder / "pixels.npy", photo.pixels)
            image = screen.screen_copy(photo)
            copy, thumb = (
                _write(folder / name, what) for name, what in [("screen", image), ("thumb", screen.thumbnail(image))]
            )
        except BaseException as error:
            shutil.rmtree(folder, ignore_errors=True)
            shutil.rmtree(beside, ignore_errors=True)
            if isinstance(error, OSError) and not isinstance(error, EraserError):
                raise disk_full(error) from error
            raise
        facts["source_type"] = photo.source_type
        return Step(number, label, photo.size, folder / "pixels.npy", copy, thumb, **facts)

    def _make_room(self, more: int, needed: int | None) -> None:
        """Raises OutputError. needed: the step that the new one goes on from; None for another photograph, for which
        no step is given up that it may yet not replace."""
        while needed and self.bytes + more > self._most_bytes and self._give_up_oldest(needed):
            pass
        self._room(more)

    @property
    def bytes(self) -> int:
        """Of the pixels that are kept."""
        kept = {step.number: step for step in (*self.steps.values(), *self.variations)}
        return sum(step.pixels.stat().st_size for step in kept.values() if step.pixels.exists())

    def _give_up_oldest(self, needed: int | None) -> bool:
        """Of the steps between the original and the present one; whether there was one."""
        first = min(self.steps, default=0)
        old = [number for number in sorted(self.steps) if number not in (first, self.current, needed)]
        if not old:
            return False
        step = self.steps.pop(old[0])
        self.variations = [each for each in self.variations if each is not step]
        self._forget(step)
        return True

    def _forget(self, step: Step) -> None:
        shutil.rmtree(step.pixels.parent, ignore_errors=True)
        shutil.rmtree(self.folder / f"{step.number}{FILE}", ignore_errors=True)


def _write(path: Path, image: PillowImage) -> Path:
    data, ending = screen.encode(image)
    path = path.with_suffix(ending)
    path.write_bytes(data)
    return path


def clean_name(name: str) -> str:
    """A file name without folders and without what some system would not take."""
    plain = re.sub(r'[\x00-\x1f<>:"/\\|?*]+', "_", Path(name.replace("\\", "/")).name).strip(". ")
    return plain[-120:] or "photo.png"
