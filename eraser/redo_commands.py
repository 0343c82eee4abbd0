"""`eraser redo`: a result made again from its sidecar, and what is different where it cannot be the same."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eraser import painting
from eraser.errors import InputError, MissingWeights, OutputError
from eraser.marks import Marks
from eraser.painting import Painted, Writing

if TYPE_CHECKING:
    import numpy as np

    from eraser.files import Photo
    from eraser.report import Report
    from eraser.session import Eraser
    from eraser.sidecar import Sidecar

SHAPES = ("left", "top", "right", "bottom", "aspect", "size")


@click.command(
    epilog="""
    \b
    Examples:
      eraser erase beach.jpg mask.png -o clean.jpg --report
      eraser redo clean.jpg.json                          writes clean-redone.jpg
      The photo and the mask lie elsewhere by now:
        eraser redo clean.jpg.json --photo old/beach.jpg --mask old/mask.png -o again.jpg
      So does the engine's file, of which a sidecar holds the path as it was written:
        eraser redo clean.jpg.json --engine "onnx:models/my-eraser.onnx"
    """,
)
@click.argument("sidecar", type=click.Path(path_type=Path))
@click.option("--photo", type=click.Path(path_type=Path), help="Where the photo is now.")
@click.option("--mask", type=click.Path(path_type=Path), help="Where the mask is now.")
@click.option("--engine", help="The engine's name now, where it holds a path that is another by now.")
@painting.writing
def redo(sidecar: Path, photo: Path | None, mask: Path | None, engine: str | None, writing: Writing) -> None:
    """Make a result again from SIDECAR, the JSON file that --report wrote.

    Photo and mask must be the very files: their sums are checked. Where the machine, a version or a file of the
    engine's (weights, LoRA, adapter, reference picture) is another, that is told, and so is whether the pixels came
    out the same.
    The result is NAME-redone beside the sidecar unless -o says otherwise.
    """
    from eraser import files
    from eraser import sidecar as sidecars

    start = time.perf_counter()
    told = sidecars.read(sidecar)
    if told.report["mode"] not in ("erase", "outpaint", "background"):
        raise InputError(f'{sidecar} is of a result of the kind "{told.report["mode"]}"', hint="redo that by its door")
    folder = sidecar.parent
    source = told.photo.found(folder, photo, "photo", "--photo")
    where = told.mask.found(folder, mask, "mask", "--mask") if told.mask is not None else None
    name = Path(str(told.output.get("path") or source.name)).name
    path = painting.output_path(folder / name, "redone", writing)
    writing = _as_written(told, writing)
    picture = files.read(source)
    hole = _hole(told, picture, where)

    def work(session: Eraser, **hearing: Any) -> Photo:
        return _painted(session, told, picture, hole, where, **hearing)

    painted = _with_engine(str(told.report["engine"]), engine, lambda name: painting.run(name, work, writing, start))
    same = sidecars.sum_of_pixels(painted.photo.pixels) == told.output.get("pixels_sha256")
    others = _differences(told, painted.report, hole)
    inputs = {"mask": where, "marks": told.marks, "shape": told.shape, "hole": hole}
    more = {"same": same, "differences": others}
    painting.finish(painted, path, writing, source=source, inputs=inputs, more=more)
    if not writing.as_json:
        _tell(same, others, quiet=writing.quiet)


def _with_engine(before: str, now: str | None, run: Callable[[str], Painted]) -> Painted:
    if now is not None and now.partition(":")[0] != before.partition(":")[0]:
        raise InputError(
            f'the first result is by the engine "{before}", not by "{now}"',
            hint="name the same engine, or leave it out",
        )
    try:
        return run(now or before)
    except MissingWeights as error:
        if now is not None or ":" not in before:
            raise
        hint = f'{error.hint}; or name the engine with --engine, if the path in "{before}" is another by now'
        raise MissingWeights(error.message, hint=hint.removeprefix("; or ")) from error


def _hole(told: Sidecar, picture: Photo, mask: Path | None) -> np.ndarray | None:
    return Marks.from_json(told.marks).hole(picture, mask) if told.report["mode"] == "erase" else None


def _painted(
    session: Eraser, told: Sidecar, picture: Photo, hole: np.ndarray | None, subject: Path | None, **hearing: Any
) -> Photo:
    report = told.report
    asked: dict[str, Any]
    if report["mode"] == "background":
        if subject is None:
            raise InputError("the sidecar names no mask of the subject", hint="it is damaged: paint a new background")
        asked = {name: report[name] for name in ("seed", "prompt")}
        asked |= {name: report["options"].get(name, 0) for name in ("match", "soften")}
        behind: Photo = session.replace_background(picture, subject, **asked, **hearing)
        return behind
    asked = {name: report[name] for name in ("seed", "tries", "prompt")} | hearing
    if hole is not None:
        opaque = report["options"].get("make_opaque") is True
        erased: Photo = session.erase(picture, hole, grow=0, make_opaque=opaque, **asked)
        return erased
    shape = {name: told.shape[name] for name in SHAPES if name in told.shape}
    extended: Photo = session.outpaint(picture, **shape, **asked)
    return extended


def _as_written(told: Sidecar, asked: Writing) -> Writing:
    """As the first result was written, where nothing else is asked for."""
    quality = told.output.get("quality")
    if quality is not None and (isinstance(quality, bool) or not isinstance(quality, int)):
        raise OutputError(f"the quality is {quality!r:.40}", hint="look at the sidecar")
    said = told.output.get("provenance") is not False
    return replace(asked, quality=asked.quality or quality, provenance=asked.provenance and said)


def _differences(told: Sidecar, report: Report, hole: np.ndarray | None) -> list[str]:
    """What was otherwise when the first result was made, as far as it may change pixels."""
    from eraser.report import plain
    from eraser.sidecar import differences, sum_of_pixels

    before: Mapping[str, Any] = told.report
    found = differences(before["versions"], report.versions)
    found += differences({"device": before.get("device")}, {"device": report.device})
    found += differences(before["facts"], plain(report.facts))
    if hole is not None and told.hole_sha256 and sum_of_pixels(hole) != told.hole_sha256:
        found.append("the marks give another hole")
    return found


def _tell(same: bool, others: list[str], *, quiet: bool) -> None:
    if same:
        if not quiet:
            click.echo("the pixels are those of the first result, bit for bit")
        return
    reason = "; ".join(others) or "nothing that is known to matter: please report it"
    click.echo(f"eraser: note: the pixels are not those of the first result; what differs: {reason}", err=True)
