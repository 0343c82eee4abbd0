"""`eraser erase` and `eraser extend`, and what every command that paints shares."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eraser import __version__
from eraser.console import Watch, paint
from eraser.errors import OutputExists
from eraser.marks import Marks, text_to_size

if TYPE_CHECKING:
    from eraser.files import Photo
    from eraser.report import Report

PHOTO = click.argument("photo", type=click.Path(path_type=Path))
AS_JSON = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object instead of text, also for errors."
)
QUIET = click.option("-q", "--quiet", is_flag=True, help="No progress bar, no message; errors still show.")
FORCE = click.option("-f", "--force", is_flag=True, help="Replace the output file if it exists.")
SIDECAR = click.option(
    "--report", "wants_report", is_flag=True, help="Write what made the result beside it, as OUT.json; see redo."
)
PROVENANCE = click.option(
    "--provenance/--no-provenance",
    default=True,
    help="Say in the file's XMP that it was edited, and how (the default), or not.",
)
OUT = click.option("-o", "--out", type=click.Path(path_type=Path), help="Result file; its ending names the format.")


TRIES = click.option(
    "--tries",
    type=click.IntRange(1, 16),
    default=1,
    show_default=True,
    help="Paint with so many seeds and keep what fits best; each takes as long as one.",
)


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command that paints has."""
    for option in (
        AS_JSON,
        QUIET,
        FORCE,
        PROVENANCE,
        SIDECAR,
        click.option("--engine", default="auto", show_default=True, help="Which engine paints; see 'eraser engines'."),
        click.option("--seed", type=int, default=0, show_default=True, help="Another number, another result."),
        click.option(
            "--quality", type=click.IntRange(1, 100), help="For JPEG, WebP, AVIF; the photo's own if left out."
        ),
        OUT,
    ):
        command = option(command)
    return command


def output_path(photo: Path, out: Path | None, ending: str, *, force: bool, wants_report: bool) -> Path:
    """Where the result goes; refused before any work is done when it, or its report, cannot go there."""
    from eraser import files, sidecar

    # a kind that can only be read becomes PNG, which loses nothing
    suffix = photo.suffix if photo.suffix.lower() in files.FORMATS else ".png"
    path = photo.with_name(f"{photo.stem}-{ending}{suffix}") if out is None else out
    try:
        files.check_output(path, force=force)
        if wants_report:
            sidecar.check_place(path, force=force)
    except OutputExists as error:
        raise OutputExists(error.message, hint="add --force to replace it, or choose a name with -o") from error
    return path


def finish(
    photo: Photo,
    path: Path,
    report: Report,
    *,
    source: Path,
    inputs: dict[str, Any],
    written: dict[str, Any],
    force: bool,
    quiet: bool,
    as_json: bool,
    wants_report: bool,
    start: float,
    painting: float,
    more: dict[str, Any] | None = None,
) -> None:
    """Write the result, and its sidecar where that is wanted, and say so.

    inputs: what a sidecar holds of them beside the photo · written: quality and provenance, as `Photo.save` takes them
    more: what else a script is told
    """
    from eraser import sidecar

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        photo.save(path, force=force, **written)
    beside = None
    if wants_report:
        beside = sidecar.write(path, report, photo, photo=source, written=written, force=force, **inputs)
    notes = [*report.fallbacks, *report.warnings, *(str(warning.message) for warning in caught)]
    seconds = time.perf_counter() - start
    size = photo.size
    if as_json:
        said = {"ok": True, "output": str(path), "width": size.width, "height": size.height}
        said |= {"hole_pixels": report.hole_pixels, "engine": report.engine, "device": report.device}
        said |= {"seed": report.seed, "tries": report.tries, "kept": report.kept, "source_type": report.source_type}
        said |= {"painting_seconds": round(painting, 3), "report": str(beside) if beside else None}
        said |= {"seconds": round(seconds, 3), "warnings": notes, "version": __version__} | (more or {})
        click.echo(json.dumps(said))
        return
    for note in notes:
        click.echo(f"eraser: note: {note}", err=True)
    if not quiet:
        click.echo(f"{path}: {size} pixels, {report.hole_pixels} of them painted, {seconds:.1f} s")


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
    "--grow", default="auto", show_default=True, metavar="auto|PIXELS", help="Widen the hole; 0 takes it as it is."
)
@click.option("--opaque", is_flag=True, help="Make what is painted opaque; otherwise transparency stays.")
@TRIES
@shared
def erase(
    photo: Path,
    mask: Path | None,
    boxes: Sequence[str],
    polygons: Sequence[str],
    colours: Sequence[str],
    tolerance: int,
    grow: str,
    opaque: bool,
    out: Path | None,
    quality: int | None,
    seed: int,
    tries: int,
    engine: str,
    wants_report: bool,
    provenance: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Make what MASK marks vanish from PHOTO.

    MASK is an image of the photo's size: white (or painted, when it has transparency) is erased.
    Instead of it, or besides, mark the object with --box, --polygon or --colour.
    The result is PHOTO-erased beside the photo unless -o says otherwise; format and quality stay.
    """
    import eraser
    from eraser import files

    marks = Marks(tuple(boxes), tuple(polygons), tuple(colours), tolerance, grow)
    start = time.perf_counter()
    path = output_path(photo, out, "erased", force=force, wants_report=wants_report)
    picture = files.read(photo)
    if mask is None and not (boxes or polygons or colours):
        raise click.UsageError("nothing says what to erase: give a mask file, --box, --polygon or --colour")
    # widened here rather than by `erase`, so that the sidecar holds the sum of what was really painted
    hole = marks.hole(picture, mask)
    reports: list[Report] = []

    def work(watch: Watch) -> Photo:
        with eraser.Eraser(engine) as session:
            result: Photo = session.erase(
                picture, hole, seed=seed, tries=tries, grow=0, make_opaque=opaque, on_step=watch,
                on_report=reports.append,
            )  # fmt: skip
            return result

    result, painting = paint(work, quiet=quiet or as_json)
    report = replace(reports[0], options=reports[0].options | {"grow": grow})
    finish(
        result, path, report, source=photo, inputs={"mask": mask, "marks": asdict(marks), "hole": hole},
        written={"quality": quality, "provenance": provenance}, force=force, quiet=quiet, as_json=as_json,
        wants_report=wants_report, start=start, painting=painting,
    )  # fmt: skip


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
@TRIES
@shared
def extend(
    photo: Path,
    left: str | None,
    right: str | None,
    top: str | None,
    bottom: str | None,
    aspect: str | None,
    size: str | None,
    out: Path | None,
    quality: int | None,
    seed: int,
    tries: int,
    engine: str,
    wants_report: bool,
    provenance: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Paint more picture round PHOTO.

    Percent are of the photo's width (left, right) or height (top, bottom). The photo itself is not changed.
    The result is PHOTO-extended beside the photo unless -o says otherwise; format and quality stay.
    """
    import eraser
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
    path = output_path(photo, out, "extended", force=force, wants_report=wants_report)
    picture = files.read(photo)
    reports: list[Report] = []

    def work(watch: Watch) -> Photo:
        with eraser.Eraser(engine) as session:
            result: Photo = session.outpaint(
                picture, **shape, seed=seed, tries=tries, on_step=watch, on_report=reports.append
            )
            return result

    result, painting = paint(work, quiet=quiet or as_json)
    finish(
        result, path, reports[0], source=photo, inputs={"shape": shape},
        written={"quality": quality, "provenance": provenance}, force=force, quiet=quiet, as_json=as_json,
        wants_report=wants_report, start=start, painting=painting,
    )  # fmt: skip
