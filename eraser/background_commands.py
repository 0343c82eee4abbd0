"""`eraser background`: another background behind what a mask says is to stay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eraser.background import MATCH
from eraser.console import Watch, paint
from eraser.mattes import MOST_REACH
from eraser.paint_commands import PHOTO, finish, output_path, shared

if TYPE_CHECKING:
    from eraser.files import Photo
    from eraser.report import Report


@click.command(
    epilog="""
    \b
    Examples:
      A mask as large as the photo, white where the subject is, grey along its soft edge:
        eraser background anna.jpg anna-mask.png --prompt "a beach in the evening" --engine latent:sd15
      A mask with a hard edge:
        eraser background anna.jpg anna-mask.png --soften 2 --prompt "a park" --engine latent:sd15
      A cut-out, which is its own mask:
        eraser background cup.png cup.png --prompt "a wooden table" --engine latent:sd15
      The light as it was drawn:
        eraser background anna.jpg anna-mask.png --prompt "a street at night" --engine latent:sd15 --match 0
    """,
    short_help="Paint another background behind a subject.",
)
@PHOTO
@click.argument("subject", type=click.Path(path_type=Path))
@click.option("--prompt", required=True, help="What is to be behind the subject.")
@click.option(
    "--match",
    type=click.FloatRange(0, 1),
    default=MATCH,
    show_default=True,
    help="How far the new light is brought to the photo's; 0 leaves it as drawn.",
)
@click.option(
    "--soften",
    type=click.FloatRange(0, MOST_REACH),
    default=0,
    show_default=True,
    help="Make a soft edge so many pixels wide inside a hard one.",
)
@shared
def background(
    photo: Path,
    subject: Path,
    prompt: str,
    match: float,
    soften: float,
    out: Path | None,
    quality: int | None,
    seed: int,
    engine: str,
    wants_report: bool,
    provenance: bool,
    force: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Keep what SUBJECT marks in PHOTO, and paint what --prompt says behind it.

    SUBJECT is an image of the photo's size: white (or painted, when it has transparency) stays as it is, bit for bit;
    grey is a soft edge. The engine must take a prompt: see 'eraser engines'.
    The result is PHOTO-background beside the photo unless -o says otherwise; format and quality stay.
    """
    import eraser
    from eraser import files

    start = time.perf_counter()
    path = output_path(photo, out, "background", force=force, wants_report=wants_report)
    picture = files.read(photo)
    reports: list[Report] = []

    def work(watch: Watch) -> Any:
        with eraser.Eraser(engine) as session:
            result: Photo = session.replace_background(
                picture, subject, prompt=prompt, seed=seed, match=match, soften=soften, on_step=watch,
                on_report=reports.append,
            )  # fmt: skip
            return result

    result, painting = paint(work, quiet=quiet or as_json)
    finish(
        result, path, reports[0], source=photo, inputs={"mask": subject},
        written={"quality": quality, "provenance": provenance}, force=force, quiet=quiet, as_json=as_json,
        wants_report=wants_report, start=start, painting=painting,
    )  # fmt: skip
