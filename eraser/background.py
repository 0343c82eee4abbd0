"""A subject stays and what is behind it is painted anew: what an engine is shown, and how its picture comes behind."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from eraser.canvas import Canvas, Scale, View, opaque
from eraser.errors import EmptyHole, NothingKnown, OutOfRange, UnsupportedImage
from eraser.light import gains, relit
from eraser.mattes import unmix
from eraser.pictures import Picture
from eraser.pyramid import push_pull
from eraser.window import tighten

MATCH = 0.5  # how far the new light is brought to the old one's, unless asked otherwise


def canvas_around(picture: Picture, subject: np.ndarray) -> Canvas:
    """The picture as a canvas whose hole is everything that is not subject in full.

    subject (H, W) float32 in [0, 1]. Raises NothingKnown (no subject, or one that cannot be seen), EmptyHole (nothing
    but subject), UnsupportedImage (colours that no new background has).
    """
    colour, alpha, area = picture.colour, picture.alpha, subject.size
    if colour.shape[2] == 4 or picture.is_indexed or colour.dtype == np.bool_:
        kind = "CMYK" if colour.shape[2] == 4 else "drawn with a palette" if picture.is_indexed else "black and white"
        raise UnsupportedImage(
            f"the image is {kind}, which has not the colours of a new background", hint="convert it to RGB first"
        )
    full = subject >= 1
    if not full.any():
        most = float(subject.max(initial=0))
        if most <= 0:
            raise NothingKnown(
                f"the subject's mask marks none of the image's {area} pixels", hint="paint white what is to stay"
            )
        raise NothingKnown(
            f"the subject's mask marks no pixel in full, the strongest of {area} by {most:.0%}",
            hint="paint what is to stay in full white; grey is its soft edge, which soften widens inward",
        )
    if full.all():
        raise EmptyHole(
            f"the subject's mask marks all of the image's {area} pixels, so there is no background to replace",
            hint="leave the background black; white is what stays",
        )
    if alpha is not None and not (alpha[full] > 0).any():
        raise NothingKnown(
            f"all {np.count_nonzero(full)} pixels of the subject are transparent", hint="choose what can be seen"
        )
    return Canvas(colour, ~full, alpha)


def view_of(canvas: Canvas) -> tuple[View, Scale]:
    """What an engine sees: the subject alone, whose texture is none for what is behind it."""
    view, scale = canvas.view(canvas.size.box)
    return replace(view, lends_texture=False), scale


def put_behind(canvas: Canvas, subject: np.ndarray, scale: Scale, drawn: np.ndarray, match: float) -> np.ndarray:
    """What to paint into the canvas's hole: the drawn background in the photo's light, and the subject's soft edge.

    drawn (H, W, C) in [-1, 1]; what it holds outside the hole is not looked at · subject (H, W) in [0, 1] · match from
    0 (as drawn) to 1 (as much of the old light as is allowed; see `light`). Returns (H, W, C) float32 in [-1, 1].
    """
    photo = scale.encode(canvas.colour)
    unseen = ~np.isfinite(photo).all(axis=2)
    if canvas.alpha is not None:
        unseen |= ~(canvas.alpha > 0)
    photo[unseen] = 0
    behind = relit(np.clip(drawn, -1, 1), gains(drawn, ~canvas.hole, photo, unseen, match)) if match > 0 else drawn
    edge = (subject > 0) & canvas.hole
    box = tighten(edge, canvas.size.box)
    if box is None:
        return behind
    box = box.pad(2).clamp(canvas.size.box)
    colours = push_pull(photo[box.slices], (~unseen[box.slices]).astype(np.float32))
    share = subject[box.slices].copy()
    if canvas.alpha is not None:
        # what is transparent already has its own colour, with nothing of a background in it
        share[(canvas.alpha[box.slices] < opaque(canvas.alpha.dtype)) & edge[box.slices]] = 1
    own = unmix(colours, share)[0]
    here = edge[box.slices]
    weight = subject[box.slices][here][:, None]
    painted = behind.copy() if behind is drawn else behind
    painted[box.slices][here] = weight * own[here] + (1 - weight) * painted[box.slices][here]
    return painted


def check_match(match: float) -> None:
    if not 0 <= match <= 1:
        raise OutOfRange(
            f"match is {match}", hint="give 0 (the light as drawn) to 1 (as near to the photo's as it goes)"
        )
