"""Erase what disturbs from photographs, and continue them beyond their frame.

    import eraser
    eraser.erase("beach.jpg", "mask.png").save("beach-empty.jpg")

An image with a hole is a *canvas*, an *engine* fills the hole, and every pixel outside it keeps its exact bits.
"""

from __future__ import annotations

from typing import Any, Literal

from eraser import errors
from eraser.background import MATCH
from eraser.engines.base import EngineInfo, Progress
from eraser.engines.heap import share_one_arena
from eraser.engines.registry import engines
from eraser.errors import Cancelled, EngineError, EraserError, InputError, OutputError
from eraser.geometry import Box, Size
from eraser.margins import Amount
from eraser.report import OnReport, Report
from eraser.session import Eraser, OnStep, Way

__version__ = "0.1.0"
__all__ = [
    "Box",
    "Cancelled",
    "EngineError",
    "EngineInfo",
    "Eraser",
    "EraserError",
    "InputError",
    "OutputError",
    "Progress",
    "Report",
    "Size",
    "engines",
    "erase",
    "errors",
    "outpaint",
    "replace_background",
    "variations",
]

share_one_arena()  # only where the environment asks for it, and then before there are threads


def erase(
    image: Any,
    mask: Any,
    *,
    engine: str = "auto",
    seed: int = 0,
    tries: int = 1,
    grow: Literal["auto"] | float = "auto",
    prompt: str | None = None,
    make_opaque: bool = False,
    on_step: OnStep | None = None,
    on_report: OnReport | None = None,
) -> Any:
    """The image without what the mask marks: same kind, mode, dtype and size, other pixels bit for bit the same.

    image   Pillow image, numpy array (H, W[, 1 to 4]), path, or `eraser.files.Photo`; a path comes back as a Photo
            (`photo.save(path)` writes it with everything the file carried). Never changed.
    mask    of the image's size, any of the same kinds: white, True or painted alpha is erased, soft edges included;
            or a `Box`. Areas enclosed by a painted ring are erased too.
    seed    0 to 2**63 - 1; the same seed, image, mask and version give the same pixels on a machine
    tries   1 to 16: paint with so many seeds from this one on, and keep what fits its surroundings best; each costs
            the time of one
    grow    pixels to widen the mask by, so that the object's soft rim goes as well; "auto" is a few percent of its
            size, 0 takes the mask as it is
    prompt  only for engines that take one
    make_opaque  make alpha opaque where something was painted; otherwise alpha stays
    on_step called with a Progress at least at every step; return False to cancel
    on_report  called once with the Report of what made the result, before it is returned: `on_report=reports.append`

    Raises InputError (and its kinds: SizeMismatch, EmptyHole, NothingKnown, UnsupportedImage, DamagedImage,
    OutOfRange), EngineError (UnknownEngine ...), Cancelled.
    """
    session = Eraser(engine)
    return session.erase(
        image,
        mask,
        seed=seed,
        tries=tries,
        grow=grow,
        prompt=prompt,
        make_opaque=make_opaque,
        on_step=on_step,
        on_report=on_report,
    )


def outpaint(
    image: Any,
    *,
    left: Amount = 0,
    top: Amount = 0,
    right: Amount = 0,
    bottom: Amount = 0,
    aspect: str | float | None = None,
    size: tuple[int, int] | None = None,
    engine: str = "auto",
    seed: int = 0,
    tries: int = 1,
    prompt: str | None = None,
    on_step: OnStep | None = None,
    on_report: OnReport | None = None,
) -> Any:
    """The image continued beyond its sides; the original pixels stand bit for bit the same inside the result.

    Sides are pixels or percent of that axis ("20%"). Instead of sides, `aspect` ("16:9", 1.5) or `size` (width,
    height) share what is missing evenly between both sides of an axis. The rest as in `erase`.
    """
    session = Eraser(engine)
    return session.outpaint(
        image,
        left=left,
        top=top,
        right=right,
        bottom=bottom,
        aspect=aspect,
        size=size,
        seed=seed,
        tries=tries,
        prompt=prompt,
        on_step=on_step,
        on_report=on_report,
    )


def replace_background(
    image: Any,
    subject: Any,
    *,
    prompt: str,
    engine: str = "auto",
    seed: int = 0,
    match: float = MATCH,
    soften: float = 0,
    on_step: OnStep | None = None,
    on_report: OnReport | None = None,
) -> Any:
    """The image with its subject before another background, which is drawn from words.

    subject  of the image's size, any kind of mask that `erase` takes: white, True or painted alpha stays. Where it is
             full the image keeps its exact bits; grey is a soft edge, where the subject's own colour is worked out and
             blended with the new background. Rings are not filled: what shows through a handle is background.
    prompt   what is to be behind the subject
    engine   one that takes a prompt, like "latent:sd15"; others are refused, because they continue what is known
    match    0 to 1: how far light and colour of the new background are brought to those of the photo; 0 is as drawn
    soften   pixels, 0 to 64: make a soft edge that wide inside a mask's hard one, whose outermost pixels hold some of
             the old background; those pixels are then blended as well

    The background is drawn at the engine's own size and enlarged, without texture of the photo, which is the
    subject's: on a large photo it is softer than the subject. What was transparent comes out opaque. The rest as in
    `erase`. Raises InputError (and its kinds: SizeMismatch, NothingKnown without a subject, EmptyHole without a
    background, UnsupportedImage, DamagedImage, OutOfRange), EngineError (UnknownEngine ...), Cancelled.
    """
    session = Eraser(engine)
    return session.replace_background(
        image, subject, prompt=prompt, seed=seed, match=match, soften=soften, on_step=on_step, on_report=on_report
    )


def variations(
    image: Any,
    *given: Any,
    count: int = 4,
    way: Way = "erase",
    engine: str = "auto",
    seed: int = 0,
    on_step: OnStep | None = None,
    **asked: Any,
) -> list[Any]:
    """Several results to choose from, 1 to 64: what `erase(image, mask, seed=...)` gives for the seeds from `seed` on.

    way    "erase", "outpaint" or "replace_background"; what that function takes beside these stands in `given` and
           `asked`, as in `variations("beach.jpg", "mask.png", prompt="a bench", engine="latent:sd15")`

    One after the other, or side by side where the engine has several devices: a checkpoint on two GPUs paints two at
    a time. `on_report` is heard once for each, as it comes to its end, with the seed in it. Raises what `way` raises.
    """
    session = Eraser(engine)
    return session.variations(image, *given, count=count, way=way, seed=seed, on_step=on_step, **asked)
