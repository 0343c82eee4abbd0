"""Erase real objects from the photographs that come along, and lay the pictures side by side."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eraser.errors import OutputError, OutputExists

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from eraser.engines.base import Progress

GAP = 12  # pixels between the pictures laid side by side
PAINT = (255, 0, 110)
PARTS = ("before", "mask", "after", "side-by-side")


@dataclass(frozen=True, slots=True)
class Scene:
    name: str
    title: str
    photo: str
    mask: str

    def paths(self, folder: Path) -> dict[str, Path]:
        return {part: folder / f"{self.name}-{part}.png" for part in PARTS}


SCENES = (
    Scene("rocket", "The lightning tower beside the rocket", "rocket.jpg", "rocket-mask.png"),
    Scene("astronaut", "The shuttle model behind the astronaut", "astronaut.webp", "astronaut-mask.png"),
)


def load(scene: Scene) -> tuple[PillowImage, PillowImage]:
    """(photo, mask) as Pillow images; white in the mask is to vanish. `eraser/data/README.md` names the sources."""
    from PIL import Image

    pictures = []
    for name in (scene.photo, scene.mask):
        with (resources.files("eraser") / "data" / name).open("rb") as file:
            picture = Image.open(file)
            picture.load()
            pictures.append(picture)
    return pictures[0], pictures[1]


def prepare(folder: Path, *, force: bool) -> None:
    """Make the folder. Raises OutputExists when a picture of an earlier demo would be replaced, else OutputError."""
    there = [path for scene in SCENES for path in scene.paths(folder).values() if path.exists()]
    if there and not force:
        raise OutputExists(
            f"{there[0]} is there already", hint="add --force to replace it, or choose a folder with --out"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"the folder {folder} cannot be made ({error.strerror})", hint="choose one with --out"
        ) from error


def show(
    scene: Scene,
    folder: Path,
    *,
    engine: str = "auto",
    seed: int = 0,
    on_step: Callable[[Progress], bool | None] | None = None,
) -> dict[str, Any]:
    """Erase the scene's object and write four PNG files into `folder`, which must exist; existing ones are replaced.

    Returns name, size, hole_pixels, seconds (painting alone) and files. Raises what `Eraser.erase` raises, OutputError.
    """
    import eraser
    from eraser.masks import prepare

    reports: list[eraser.Report] = []
    before, mask = load(scene)
    hole = prepare(mask, eraser.Size(*before.size))
    with eraser.Eraser(engine) as session:
        start = time.perf_counter()
        after = session.erase(before, hole, grow=0, seed=seed, on_step=on_step, on_report=reports.append)
        seconds = time.perf_counter() - start
        name = session.info.name
    pictures = {"before": before, "mask": mask, "after": after, "side-by-side": side_by_side(before, mask, after)}
    paths = scene.paths(folder)
    for part, path in paths.items():
        save(pictures[part], path, "" if part in ("before", "mask") else reports[0].source_type)
    return {
        "name": scene.name,
        "engine": name,
        "seed": seed,
        "width": before.width,
        "height": before.height,
        "hole_pixels": int(hole.sum()),
        "seconds": round(seconds, 3),
        "files": [str(path) for path in paths.values()],
    }


def side_by_side(before: PillowImage, mask: PillowImage, after: PillowImage) -> PillowImage:
    """Before, before with the mask painted on it, after, in one row."""
    from PIL import Image

    tinted = Image.blend(before, Image.new("RGB", before.size, PAINT), 0.6)
    marked = Image.composite(tinted, before, mask.convert("L"))
    row = Image.new("RGB", (3 * before.width + 2 * GAP, before.height), "white")
    for i, picture in enumerate((before, marked, after)):
        row.paste(picture, (i * (before.width + GAP), 0))
    if profile := before.info.get("icc_profile"):
        row.info["icc_profile"] = profile
    return row


def save(picture: PillowImage, path: Path, source_type: str = "") -> None:
    """Write a PNG beside its place and move it there, so that a half-written one is never seen. Raises OutputError.

    source_type: what its XMP says of how it came to be, "" for nothing
    """
    from PIL.PngImagePlugin import PngInfo

    from eraser.metadata import XMP_KEYWORD
    from eraser.provenance import marked

    texts = PngInfo()
    if source_type:
        texts.add_itxt(XMP_KEYWORD.decode(), marked(b"", source_type).decode())
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        picture.save(beside, format="PNG", optimize=False, pnginfo=texts)
        beside.replace(path)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error})", hint="choose a folder with --out"
        ) from error
    finally:
        beside.unlink(missing_ok=True)
