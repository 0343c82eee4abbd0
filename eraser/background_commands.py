"""`eraser background`: another background behind what a mask says is to stay."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from eraser import painting
from eraser.background import MATCH
from eraser.mattes import MOST_REACH
from eraser.paint_commands import PHOTO
from eraser.painting import ENGINE, SEED, Writing

if TYPE_CHECKING:
    from eraser.files import Photo
    from eraser.session import Eraser


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
@ENGINE
@SEED
@painting.writing
def background(
    photo: Path,
    subject: Path,
    prompt: str,
    match: float,
    soften: float,
    engine: str,
    seed: int,
    writing: Writing,
) -> None:
    """Keep what SUBJECT marks in PHOTO, and paint what --prompt says behind it.

    SUBJECT is an image of the photo's size: white (or painted, when it has transparency) stays as it is, bit for bit;
    grey is a soft edge. The engine must take a prompt: see 'eraser engines'.
    The result is PHOTO-background beside the photo unless -o says otherwise; format and quality stay.
    """
    from eraser import files

    start = time.perf_counter()
    path = painting.output_path(photo, "background", writing)
    picture = files.read(photo)

    def work(session: Eraser, **hearing: Any) -> Photo:
        result: Photo = session.replace_background(
            picture, subject, prompt=prompt, seed=seed, match=match, soften=soften, **hearing
        )
        return result

    painted = painting.run(engine, work, writing, start)
    painting.finish(painted, path, writing, source=photo, inputs={"mask": subject})
