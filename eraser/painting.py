"""What every command that paints shares: how it is asked, where its result goes, and what it says in the end."""

from __future__ import annotations

import functools
import json
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eraser import __version__
from eraser.console import Watch, paint
from eraser.errors import OutputExists

if TYPE_CHECKING:
    from eraser.files import Photo
    from eraser.report import Report
    from eraser.session import Eraser


@dataclass(frozen=True, slots=True)
class Brush:
    """What paints."""

    engine: str
    seed: int
    tries: int
    prompt: str | None

    @property
    def asked(self) -> dict[str, Any]:
        """As the session takes it."""
        return {"seed": self.seed, "tries": self.tries, "prompt": self.prompt}


@dataclass(frozen=True, slots=True)
class Writing:
    """Where a result goes, and what is said of it."""

    out: Path | None
    quality: int | None
    wants_report: bool
    provenance: bool
    force: bool
    quiet: bool
    as_json: bool


@dataclass(frozen=True, slots=True)
class Painted:
    photo: Photo
    report: Report
    seconds: float  # of painting alone
    start: float  # of the whole command, by time.perf_counter


def packed(kind: type, name: str, *options: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: these options reach the command as one argument of that kind and name."""
    names = [field.name for field in fields(kind)]

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(command)
        def call(**given: Any) -> Any:
            return command(**{name: kind(**{each: given.pop(each) for each in names}), **given})

        for option in reversed(options):
            call = option(call)
        return call

    return decorate


ENGINE = click.option("--engine", default="auto", show_default=True, help="Which engine paints; see 'eraser engines'.")
SEED = click.option("--seed", type=int, default=0, show_default=True, help="Another number, another result.")
brush = packed(
    Brush,
    "brush",
    ENGINE,
    SEED,
    click.option(
        "--tries",
        type=click.IntRange(1, 16),
        default=1,
        show_default=True,
        help="Paint with so many seeds and keep what fits best; each takes as long as one.",
    ),
    click.option("--prompt", help="What is to be there instead, for engines that take one: see 'eraser engines'."),
)
writing = packed(
    Writing,
    "writing",
    click.option("-o", "--out", type=click.Path(path_type=Path), help="Result file; its ending names the format."),
    click.option("--quality", type=click.IntRange(1, 100), help="For JPEG, WebP, AVIF; the photo's own if left out."),
    click.option(
        "--report", "wants_report", is_flag=True, help="Write what made the result beside it, as OUT.json; see redo."
    ),
    click.option(
        "--provenance/--no-provenance",
        default=True,
        help="Say in the file's XMP that it was edited, and how (the default), or not.",
    ),
    click.option("-f", "--force", is_flag=True, help="Replace the output file if it exists."),
    click.option("-q", "--quiet", is_flag=True, help="No progress bar, no message; errors still show."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text, also for errors."),
)


def output_path(photo: Path, ending: str, asked: Writing) -> Path:
    """Where the result goes; refused before any work is done when it, or its report, cannot go there."""
    from eraser import files, sidecar

    # a kind that can only be read becomes PNG, which loses nothing
    suffix = photo.suffix if photo.suffix.lower() in files.FORMATS else ".png"
    path = photo.with_name(f"{photo.stem}-{ending}{suffix}") if asked.out is None else asked.out
    try:
        files.check_output(path, force=asked.force)
        if asked.wants_report:
            sidecar.check_place(path, force=asked.force)
    except OutputExists as error:
        raise OutputExists(error.message, hint="add --force to replace it, or choose a name with -o") from error
    return path


def run(engine: str, work: Callable[..., Photo], asked: Writing, start: float) -> Painted:
    """work(session, on_step=..., on_report=...) with that engine, a bar and Ctrl-C."""
    import eraser

    reports: list[Report] = []

    def watched(watch: Watch) -> Photo:
        session: Eraser
        with eraser.Eraser(engine) as session:
            return work(session, on_step=watch, on_report=reports.append)

    photo, seconds = paint(watched, quiet=asked.quiet or asked.as_json)
    return Painted(photo, reports[0], seconds, start)


def finish(
    painted: Painted,
    path: Path,
    asked: Writing,
    *,
    source: Path,
    inputs: Mapping[str, Any],
    more: Mapping[str, Any] | None = None,
) -> None:
    """Write the result, and its sidecar where that is wanted, and say so.

    inputs: what a sidecar holds beside the photo · more: what else a script is told
    """
    from eraser import sidecar

    photo, report = painted.photo, painted.report
    written = {"quality": asked.quality, "provenance": asked.provenance}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        photo.save(path, force=asked.force, quality=asked.quality, provenance=asked.provenance)
    beside = None
    if asked.wants_report:
        beside = sidecar.write(path, report, photo, photo=source, written=written, force=asked.force, **inputs)
    notes = [*report.fallbacks, *report.warnings, *(str(warning.message) for warning in caught)]
    seconds = time.perf_counter() - painted.start
    size = photo.size
    if asked.as_json:
        said = {"ok": True, "output": str(path), "width": size.width, "height": size.height}
        said |= {"hole_pixels": report.hole_pixels, "engine": report.engine, "device": report.device}
        said |= {"seed": report.seed, "tries": report.tries, "kept": report.kept, "source_type": report.source_type}
        said |= {"painting_seconds": round(painted.seconds, 3), "report": str(beside) if beside else None}
        said |= {"seconds": round(seconds, 3), "warnings": notes, "version": __version__} | dict(more or {})
        click.echo(json.dumps(said))
        return
    for note in notes:
        click.echo(f"eraser: note: {note}", err=True)
    if not asked.quiet:
        click.echo(f"{path}: {size} pixels, {report.hole_pixels} of them painted, {seconds:.1f} s")
