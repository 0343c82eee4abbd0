"""The `eraser` command: reads arguments, calls the library, speaks to people (and, with --json, to scripts).

Exit codes
0    done
1    a defect of this program (with a traceback, please report it)
2    the caller can mend it: bad arguments, bad picture or mask, unknown engine, a place that cannot be written
3    the engine cannot do it: an optional package or a model is missing or damaged, memory ran out
4    an engine process is running already (serve)
130  cancelled by Ctrl-C; no file was written
"""

from __future__ import annotations

import json
import re
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from eraser import __version__, door
from eraser.errors import (
    Cancelled,
    EmptyHole,
    EngineError,
    EngineRunning,
    EraserError,
    OutOfMemory,
    OutOfRange,
    OutputExists,
    UnknownEngine,
)
from eraser.geometry import Box, Size
from eraser.gimp_commands import gimp
from eraser.models_commands import lines as lines_of_weights
from eraser.models_commands import models, state
from eraser.serve_commands import serve
from eraser.web_commands import web

if TYPE_CHECKING:
    import numpy as np

    from eraser.engines.base import Progress
    from eraser.files import Photo

OK, DEFECT, BAD_INPUT, ENGINE_CANNOT, RUNNING, CANCELLED = 0, 1, 2, 3, door.RUNNING, 130

NUMBER = re.compile(r"\s*(-?\d+(?:\.\d+)?)\s*(%?)\s*")


# -- running one command line ------------------------------------------------------------------------------------------


def run(arguments: Sequence[str]) -> int:
    """Run one command line; returns the exit code. Only a defect of this program raises."""
    as_json = "--json" in arguments
    try:
        code = commands.main(args=list(arguments), prog_name="eraser", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.ctx.get_help(), err=True)
        return BAD_INPUT
    except click.UsageError as error:
        hint = f"see '{error.ctx.command_path} --help'" if error.ctx else ""
        return complain(EraserError(error.format_message().rstrip("."), hint=hint), BAD_INPUT, as_json, kind="Usage")
    except (click.Abort, KeyboardInterrupt, Cancelled):
        return complain(Cancelled("cancelled", hint="nothing half-done was written"), CANCELLED, as_json)
    except MemoryError:
        short = OutOfMemory("memory ran out", hint="close other programs, or take a smaller photo")
        return complain(short, exit_code(short), as_json)
    except EraserError as error:
        return complain(error, exit_code(error), as_json)
    return code if isinstance(code, int) else OK


def exit_code(error: EraserError) -> int:
    if isinstance(error, EngineError) and not isinstance(error, UnknownEngine):
        return ENGINE_CANNOT
    return RUNNING if isinstance(error, EngineRunning) else BAD_INPUT


def complain(error: EraserError, code: int, as_json: bool, kind: str = "") -> int:
    """Say what went wrong, as one line on stderr or as JSON on stdout; returns `code`."""
    if as_json:
        report = {"class": kind or type(error).__name__, "message": error.message, "hint": error.hint}
        click.echo(json.dumps({"ok": False, "error": report, "exit_code": code}))
    else:
        click.echo(f"eraser: {' '.join(str(error).split())}", err=True)
    return code


# -- progress and Ctrl-C -----------------------------------------------------------------------------------------------


class Watch:
    """Draws a bar on a terminal, and turns Ctrl-C into an answer that the engine hears at its next step.

    A second Ctrl-C does not wait for the step. `watch(progress)` is an `on_step`.
    """

    def __init__(self, *, quiet: bool) -> None:
        self.quiet = quiet
        self.stopped = False
        self._bar: Any = None
        self._previous: Any = None

    def __enter__(self) -> Watch:
        try:
            self._previous = signal.signal(signal.SIGINT, self._stop)
        except ValueError:  # not the main thread: whoever owns that thread owns its signals
            self._previous = None
        if not self.quiet and sys.stderr.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=1.0,
                file=sys.stderr,
                leave=False,
                smoothing=0.1,
                bar_format="{desc:<24.24} {percentage:3.0f}% |{bar}| {elapsed}, {remaining} left",
            )
        return self

    def __call__(self, progress: Progress) -> bool:
        if self._bar is not None:
            self._bar.set_description_str(progress.note, refresh=False)
            self._bar.update(max(0.0, progress.fraction - self._bar.n))
        return not self.stopped

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.close()
        if self._previous is not None:
            signal.signal(signal.SIGINT, self._previous)

    def _stop(self, *_: object) -> None:
        if self.stopped:
            raise KeyboardInterrupt
        self.stopped = True


def paint(work: Callable[[Watch], Any], *, quiet: bool) -> tuple[Any, float]:
    """(what `work` returns, the seconds it took), with a bar, stopping at Ctrl-C."""
    start = time.perf_counter()
    with Watch(quiet=quiet) as watch:
        result = work(watch)
        if watch.stopped:
            raise Cancelled("cancelled", hint="nothing half-done was written")
    return result, time.perf_counter() - start


# -- arguments ---------------------------------------------------------------------------------------------------------


def length(text: str, whole: int) -> float:
    """Pixels from "120", "12.5" or "10%" of `whole`."""
    match = NUMBER.fullmatch(text)
    if match is None:
        raise OutOfRange(f"'{text.strip()}' is neither pixels nor percent", hint="write 120 or 10%")
    number, percent = float(match[1]), match[2]
    if percent and not 0 <= number <= 100:
        raise OutOfRange(f"{text.strip()} is outside 0% to 100%", hint=f"the photo has {whole} pixels along this side")
    return number * whole / 100 if percent else number


def text_to_box(text: str, size: Size) -> Box:
    """Whole pixels from "X,Y,WIDTH,HEIGHT", each in pixels or percent of the photo; both edges are rounded."""
    parts = text.split(",")
    if len(parts) != 4:
        raise OutOfRange(f"the box '{text}' has {len(parts)} numbers instead of 4", hint="write X,Y,WIDTH,HEIGHT")
    x, y, width, height = (length(part, size.width if i % 2 == 0 else size.height) for i, part in enumerate(parts))
    box = Box.between(round(x), round(y), round(x + width), round(y + height))
    if box.width < 1 or box.height < 1:
        raise OutOfRange(
            f"the box '{text}' is {box.width}x{box.height} pixels", hint="width and height must be positive"
        )
    if not size.box.contains(box):
        raise OutOfRange(
            f"the box '{text}' reaches from {box.x},{box.y} to {box.right},{box.bottom}, the photo has {size} pixels",
            hint="X,Y is the top left corner, then come width and height",
        )
    return box


def text_to_points(text: str, size: Size) -> list[tuple[float, float]]:
    """Corners from "x,y x,y x,y ...", each in pixels or percent of the photo."""
    points = []
    for corner in text.split():
        parts = corner.split(",")
        if len(parts) != 2:
            raise OutOfRange(f"the corner '{corner}' is not x,y", hint='write "x,y x,y x,y" with three corners or more')
        points.append((length(parts[0], size.width), length(parts[1], size.height)))
    if len(points) < 3:
        raise OutOfRange(f"a polygon has three corners or more, '{text}' has {len(points)}", hint='"x,y x,y x,y"')
    return points


def text_to_size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*(\d+)\s*[xX×]\s*(\d+)\s*", text)
    if match is None:
        raise OutOfRange(f"'{text}' is no size", hint="write WIDTHxHEIGHT, as in 1920x1080")
    return int(match[1]), int(match[2])


def text_to_grow(text: str) -> Literal["auto"] | float:
    if text == "auto":
        return "auto"
    match = NUMBER.fullmatch(text)
    if match is None or match[2]:
        raise OutOfRange(f"'{text}' is neither auto nor pixels", hint="write --grow auto, --grow 0 or --grow 12")
    return float(match[1])


def painted(photo: Photo, text: str, tolerance: int) -> np.ndarray:
    """(H, W) bool: where the photo has the colour "#ff00ff" or "magenta", each channel within the tolerance of 255."""
    from PIL import ImageColor

    from eraser import masks
    from eraser.pictures import Picture

    try:
        colour = ImageColor.getrgb(text)[:3]
    except ValueError:
        raise OutOfRange(f"'{text}' is no colour", hint="write it like #ff00ff, or a name like magenta") from None
    hole = masks.from_colour(Picture.open(photo).colour, colour, tolerance)
    if not hole.any():
        raise EmptyHole(
            f"none of the photo's {photo.size.area} pixels has the colour {text} within {tolerance} of 255",
            hint="paint with a hard brush, or raise --tolerance",
        )
    return hole


def gather_hole(
    photo: Photo,
    mask: Path | None,
    boxes: Iterable[str],
    polygons: Iterable[str],
    colours: Iterable[str],
    tolerance: int,
) -> np.ndarray:
    """(H, W) bool: everything that any of the ways to mark an object marks."""
    from eraser import masks

    size = photo.size
    holes = [masks.to_hole(mask, size)] if mask is not None else []
    holes += [masks.from_box(text_to_box(text, size), size) for text in boxes]
    holes += [masks.from_polygon(text_to_points(text, size), size) for text in polygons]
    holes += [painted(photo, colour, tolerance) for colour in colours]
    if not holes:
        raise click.UsageError("nothing says what to erase: give a mask file, --box, --polygon or --colour")
    hole = holes[0]
    for other in holes[1:]:
        hole = hole | other
    return hole


def output_path(photo: Path, out: Path | None, ending: str, force: bool) -> Path:
    """Where the result goes; refused before any work is done when it cannot go there."""
    from eraser import files

    # a kind that can only be read becomes PNG, which loses nothing
    suffix = photo.suffix if photo.suffix.lower() in files.FORMATS else ".png"
    path = photo.with_name(f"{photo.stem}-{ending}{suffix}") if out is None else out
    try:
        files.check_output(path, force=force)
    except OutputExists as error:
        raise OutputExists(error.message, hint="add --force to replace it, or choose a name with -o") from error
    return path


# -- commands ----------------------------------------------------------------------------------------------------------

PHOTO = click.argument("photo", type=click.Path(path_type=Path))


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that every command that paints has."""
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text, also for errors."),
        click.option("-q", "--quiet", is_flag=True, help="No progress bar, no message; errors still show."),
        click.option("-f", "--force", is_flag=True, help="Replace the output file if it exists."),
        click.option("--engine", default="auto", show_default=True, help="Which engine paints; see 'eraser engines'."),
        click.option("--seed", type=int, default=0, show_default=True, help="Another number, another result."),
        click.option(
            "--tries",
            type=click.IntRange(1, 16),
            default=1,
            show_default=True,
            help="Paint with so many seeds and keep what fits best; each takes as long as one.",
        ),
        click.option(
            "--quality", type=click.IntRange(1, 100), help="For JPEG, WebP, AVIF; the photo's own if left out."
        ),
        click.option("-o", "--out", type=click.Path(path_type=Path), help="Result file; its ending names the format."),
    ):
        command = option(command)
    return command


def finish(
    photo: Photo,
    path: Path,
    *,
    quality: int | None,
    force: bool,
    quiet: bool,
    as_json: bool,
    start: float,
    **facts: Any,
) -> None:
    """Write the result and say so."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        photo.save(path, force=force, quality=quality)
    losses = [str(warning.message) for warning in caught]
    seconds = time.perf_counter() - start
    size = photo.size
    if as_json:
        report = {"ok": True, "output": str(path), "width": size.width, "height": size.height, **facts}
        report |= {"seconds": round(seconds, 3), "warnings": losses, "version": __version__}
        click.echo(json.dumps(report))
        return
    for loss in losses:
        click.echo(f"eraser: note: {loss}", err=True)
    if not quiet:
        click.echo(f"{path}: {size} pixels, {facts['hole_pixels']} of them painted, {seconds:.1f} s")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""
    \b
    Examples:
      eraser demo                                  see it work, with nothing else at hand
      eraser erase beach.jpg mask.png              writes beach-erased.jpg
      eraser erase beach.jpg --box 120,80,200,300 -o clean.jpg
      eraser extend beach.jpg --left 20% --right 20%
      eraser erase --help                          all options, with examples

    \b
    Exit codes: 0 done, 2 input or output you can mend, 3 the engine cannot, 130 cancelled.
    """,
)
@click.version_option(__version__, prog_name="eraser")
def commands() -> None:
    """Erase objects from photographs and extend their borders.

    Every pixel outside the hole keeps its exact value, at any depth, with profile and metadata.
    """


@commands.command(
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
    from eraser.masks import prepare

    start = time.perf_counter()
    path = output_path(photo, out, "erased", force)
    picture = files.read(photo)
    # widened here rather than by `erase`, so that the report counts what was really painted
    hole = prepare(gather_hole(picture, mask, boxes, polygons, colours, tolerance), picture.size, text_to_grow(grow))

    def work(watch: Watch) -> tuple[Photo, str]:
        with eraser.Eraser(engine) as session:
            result = session.erase(picture, hole, seed=seed, tries=tries, grow=0, make_opaque=opaque, on_step=watch)
            return result, session.info.name

    (result, name), painting = paint(work, quiet=quiet or as_json)
    finish(
        result, path, quality=quality, force=force, quiet=quiet, as_json=as_json, start=start,
        hole_pixels=int(hole.sum()), engine=name, seed=seed, tries=tries,
        painting_seconds=round(painting, 3),
    )  # fmt: skip


@commands.command(
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
    path = output_path(photo, out, "extended", force)
    picture = files.read(photo)

    def work(watch: Watch) -> tuple[Photo, str]:
        with eraser.Eraser(engine) as session:
            result = session.outpaint(picture, **shape, seed=seed, tries=tries, on_step=watch)
            return result, session.info.name

    (result, name), painting = paint(work, quiet=quiet or as_json)
    finish(
        result, path, quality=quality, force=force, quiet=quiet, as_json=as_json, start=start,
        hole_pixels=result.size.area - picture.size.area, engine=name, seed=seed, tries=tries,
        painting_seconds=round(painting, 3),
    )  # fmt: skip


@commands.command()
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default=Path("eraser-demo"),
    show_default=True,
    help="Folder to write to.",
)
@click.option("--engine", default="auto", show_default=True, help="Which engine paints; see 'eraser engines'.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another number, another result.")
@click.option("-f", "--force", is_flag=True, help="Replace what an earlier demo wrote.")
@click.option("-q", "--quiet", is_flag=True, help="No progress bar, no message; errors still show.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text, also for errors.")
def demo(out: Path, engine: str, seed: int, force: bool, quiet: bool, as_json: bool) -> None:
    """Erase real objects from two photographs that come along.

    Writes before, mask, after and a side-by-side picture for each, and says how long it took.
    """
    from eraser import demo as demonstration

    demonstration.prepare(out, force=force)
    reports = []
    for scene in demonstration.SCENES:

        def work(watch: Watch, scene: demonstration.Scene = scene) -> dict[str, Any]:
            return demonstration.show(scene, out, engine=engine, seed=seed, on_step=watch)

        report, _ = paint(work, quiet=quiet or as_json)
        reports.append(report)
        if not quiet and not as_json:
            click.echo(f"{scene.title}: {report['hole_pixels']} pixels painted in {report['seconds']:.2f} s")
            for path in report["files"]:
                click.echo(f"  {path}")
    if as_json:
        click.echo(json.dumps({"ok": True, "scenes": reports, "version": __version__}))


@commands.command(short_help="List the engines and what they need.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def engines(as_json: bool) -> None:
    """List the engines, what they need and under which licence they come."""
    from dataclasses import asdict

    import eraser

    infos = eraser.engines()
    if as_json:
        facts = [asdict(info) | {"files": state(info.name)} for info in infos]
        click.echo(json.dumps({"ok": True, "engines": facts}))
        return
    for info in infos:
        click.echo(f"{info.name}: {info.summary}")
        files = lines_of_weights(info.name)
        weights = f"; {info.weights}" if info.weights and not files else ""
        click.echo(f"  licence {info.licence}; runs on {info.needs}{weights}")
        if info.extra:
            click.echo(f"  first: pip install 'magic-eraser[{info.extra}]'")
        for line in files:
            click.echo(f"  {line}")


@commands.command(short_help="Check what works on this machine.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
def doctor(as_json: bool) -> int:
    """Check what works on this machine: packages, devices, cache folders, memory, and one small fill.

    Devices are tried, not asked. Exit code 3 when something is in trouble.
    """
    from eraser import doctor as examination

    findings = examination.examine()
    if as_json:
        click.echo(json.dumps(examination.to_json(findings)))
    else:
        click.echo(examination.to_text(findings))
    return ENGINE_CANNOT if examination.in_trouble(findings) else OK


commands.add_command(gimp)
commands.add_command(models)
commands.add_command(serve)
commands.add_command(web)
