"""`eraser erase` and `eraser extend`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eraser import painting
from eraser.marks import Marks, text_to_size
from eraser.painting import Brush, Writing

if TYPE_CHECKING:
    from eraser.files import Photo
    from eraser.session import Eraser

PHOTO = click.argument("photo", type=click.Path(path_type=Path))


@click.command(
    epilog="""
    \b
    Examples:
      A mask as large as the photo, white where something is to vanish:
        eraser erase beach.jpg mask.png
      A box: left, top, width, height, in pixels or percent:
        eraser erase beach.jpg --box 120,80,200,300
        eraser erase beach.jpg --box 10%,20%,30%,15%
      An outline, and several marks at once (everything marked is erased):
        eraser erase beach.jpg --polygon "500,80 620,90 600,300" --box 0,0,40,40
      A copy of the photo in which the object was painted over in magenta:
        eraser erase painted.png --colour "#ff00ff"
      Another result for the same mask:
        eraser erase beach.jpg mask.png --seed 1 -o second.jpg
      Take three times as long for a better one:
        eraser erase beach.jpg mask.png --tries 3
      Something else in its place, with an engine that takes a prompt:
        eraser erase beach.jpg mask.png --engine latent:sd15 --prompt "a wooden bench"
      Write down what made the result, to make it again with 'eraser redo clean.jpg.json':
        eraser erase beach.jpg mask.png -o clean.jpg --report
    """,
)
@PHOTO
@click.argument("mask", required=False, type=click.Path(path_type=Path))
@click.option("--box", "boxes", multiple=True, metavar="X,Y,W,H", help="Erase a box. May be given several times.")
@click.option(
    "--polygon", "polygons", multiple=True, metavar='"X,Y X,Y X,Y"', help="Erase inside an outline. Repeatable."
)
@click.option(
    "--colour", "--color", "colours", multiple=True, metavar="#RRGGBB", help="Erase what has this colour. Repeatable."
)
@click.option(
    "--tolerance", type=click.IntRange(0, 255), default=10, show_default=True, help="How far a channel may be off."
)
@click.option(
    "--grow",
    default="auto",
    show_default=True,
    metavar="auto|PIXELS",
    help="Widen the hole; auto: by two percent of its size, 0 takes it as it is.",
)
@click.option("--opaque", is_flag=True, help="Make what is painted opaque; otherwise transparency stays.")
@painting.brush
@painting.writing
def erase(
    photo: Path,
    mask: Path | None,
    boxes: Sequence[str],
    polygons: Sequence[str],
    colours: Sequence[str],
    tolerance: int,
    grow: str,
    opaque: bool,
    brush: Brush,
    writing: Writing,
) -> None:
    """Make what MASK marks vanish from PHOTO.

    MASK is an image of the photo's size: white (or painted, when it has transparency) is erased.
    Instead of it, or besides, mark the object with --box, --polygon or --colour.
    The result is PHOTO-erased beside the photo unless -o says otherwise; format and quality stay.
    """
    from eraser import files

    marks = Marks(tuple(boxes), tuple(polygons), tuple(colours), tolerance, grow)
    start = time.perf_counter()
    path = painting.output_path(photo, "erased", writing)
    picture = files.read(photo)
    if mask is None and not (boxes or polygons or colours):
        raise click.UsageError("nothing says what to erase: give a mask file, --box, --polygon or --colour")
    # widened here rather than by `erase`, so that the sidecar holds the sum of what was really painted
    hole = marks.hole(picture, mask)

    def work(session: Eraser, **hearing: Any) -> Photo:
        result: Photo = session.erase(picture, hole, grow=0, make_opaque=opaque, **brush.asked, **hearing)
        return result

    painted = painting.run(brush.engine, work, writing, start)
    report = replace(painted.report, options=painted.report.options | {"grow": grow})
    inputs = {"mask": mask, "marks": asdict(marks), "hole": hole}
    painting.finish(replace(painted, report=report), path, writing, source=photo, inputs=inputs)


@click.command(
    epilog="""
    \b
    Examples:
      A fifth more on the left, 100 pixels on the right:
        eraser extend beach.jpg --left 20% --right 100
      To a shape, the photo in the middle:
        eraser extend beach.jpg --aspect 16:9
        eraser extend portrait.jpg --size 1920x1080 -o wide.jpg
    """,
)
@PHOTO
@click.option("--left", metavar="PIXELS|PERCENT", help="How far to extend on the left, as 100 or 20%.")
@click.option("--right", metavar="PIXELS|PERCENT", help="How far on the right.")
@click.option("--top", metavar="PIXELS|PERCENT", help="How far at the top.")
@click.option("--bottom", metavar="PIXELS|PERCENT", help="How far at the bottom.")
@click.option("--aspect", metavar="W:H", help="Extend to this shape, the photo in the middle.")
@click.option("--size", metavar="WxH", help="Extend to this size in pixels, the photo in the middle.")
@painting.brush
@painting.writing
def extend(
    photo: Path,
    left: str | None,
    right: str | None,
    top: str | None,
    bottom: str | None,
    aspect: str | None,
    size: str | None,
    brush: Brush,
    writing: Writing,
) -> None:
    """Paint more picture round PHOTO.

    Percent are of the photo's width (left, right) or height (top, bottom). The photo itself is not changed.
    The result is PHOTO-extended beside the photo unless -o says otherwise; format and quality stay.
    """
    from eraser import files

    sides = {"left": left, "right": right, "top": top, "bottom": bottom}
    shape: dict[str, Any] = {name: amount for name, amount in sides.items() if amount is not None}
    if aspect is not None:
        shape["aspect"] = aspect
    if size is not None:
        shape["size"] = text_to_size(size)
    if not shape:
        raise click.UsageError("nothing says how far: give --left, --right, --top or --bottom, or --aspect, or --size")

    start = time.perf_counter()
    path = painting.output_path(photo, "extended", writing)
    picture = files.read(photo)

    def work(session: Eraser, **hearing: Any) -> Photo:
        result: Photo = session.outpaint(picture, **shape, **brush.asked, **hearing)
        return result

    painted = painting.run(brush.engine, work, writing, start)
    painting.finish(painted, path, writing, source=photo, inputs={"shape": shape})
