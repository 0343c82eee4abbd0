"""What the menu entries do: look at the image, ask the engine, add one layer. Every refusal is one sentence.

The image is not touched before the engine has answered, so whatever goes wrong, and GIMP's Cancel (which kills this
process), leaves it as it was.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import gi

gi.require_version("Gimp", "3.0")
import client  # noqa: E402
import pixels  # noqa: E402
import sides  # noqa: E402
from gi.repository import Gimp  # noqa: E402

Box = tuple[int, int, int, int]


class Refusal(Exception):
    """A sentence for the person: what is in the way, and what to do about it."""


QUALITIES = {"quick": 1, "good": 3, "best": 6}  # how often it is painted, of which the best is kept


@dataclass(frozen=True)
class Erasing:
    """What the dialog asks; the defaults are the library's."""

    engine: str = "auto"
    quality: str = "quick"
    grow_auto: bool = True
    grow: int = 0
    seed: int = 0
    sample_merged: bool = False


@dataclass(frozen=True)
class Extending:
    shape: str = "sides"  # or one of sides.SHAPES
    left: float = 0
    top: float = 0
    right: float = 0
    bottom: float = 0
    unit: str = "percent"  # or "pixels"
    engine: str = "auto"
    quality: str = "quick"
    seed: int = 0


@dataclass(frozen=True)
class Done:
    layer: Any
    engine: str
    seconds: float  # the engine's own


Reach = Callable[[client.OnProgress], client.Engine]


def erase(image: Any, drawables: list[Any], asked: Erasing, reach: Reach) -> Done:
    """Fill what is selected, on a new layer. Raises Refusal, client.ClientError, pixels.NotWritten."""
    layer = the_layer(image, drawables)
    if layer.is_group() and not asked.sample_merged:
        raise Refusal(f"“{layer.get_name()}” is a layer group: choose a layer in it, or tick Sample merged.")
    if asked.sample_merged:
        x, y, size = 0, 0, (image.get_width(), image.get_height())
        _, _, left, top, right, bottom = Gimp.Selection.bounds(image)
        box = (left, top, right - left, bottom - top)
    else:
        hit, *inside = layer.mask_intersect()
        if not hit:
            raise Refusal(
                f"The selection lies outside the layer “{layer.get_name()}”: choose the layer that shows what should "
                "vanish, or tick Sample merged."
            )
        _, x, y = layer.get_offsets()
        box, size = tuple(inside), (layer.get_width(), layer.get_height())
    mask = pixels.read_selection(image, (box[0] + x, box[1] + y, box[2], box[3]))
    if not any(mask):
        raise Refusal("What is selected is too faint to be erased: select it more firmly.")

    Gimp.progress_init("Erase selection")
    tell = Bar(image, layer)
    engine = reach(tell)
    plan = engine.plan(size, box, mask, grow="auto" if asked.grow_auto else asked.grow)
    encoding, boxes = look(image, None if asked.sample_merged else layer, plan, (0, 0))
    result = engine.fill(
        plan, boxes.pop, bands=encoding.bands, depth=encoding.depth, engine=asked.engine, seed=asked.seed,
        tries=QUALITIES[asked.quality], on_progress=tell,
    )  # fmt: skip

    still_there(image, layer)
    if asked.sample_merged:
        parent, position, name = None, 0, "Erased from all that is visible"
    else:
        _, x, y = layer.get_offsets()  # it may have been moved meanwhile
        parent, position = layer.get_parent(), image.get_item_position(layer)
        name = f"Erased from {layer.get_name()}"
    place = (result.box[0] + x, result.box[1] + y, result.box[2], result.box[3])
    new = add(image, name, place, result.pixels, encoding, parent, position)
    return Done(new, result.engine, result.seconds)


def check_extendable(image: Any) -> None:
    """Raises Refusal."""
    if image.get_floating_sel() is not None:
        raise Refusal("There is a floating selection: anchor it first (Layer > Anchor Floating Selection).")
    if not image.get_layers():
        raise Refusal("The image has no layer that could be continued: add one first.")


def extend(image: Any, asked: Extending, reach: Reach) -> Done:
    """Enlarge the canvas and paint the new area, on a new layer. Raises what `erase` raises."""
    check_extendable(image)
    width, height = image.get_width(), image.get_height()
    try:
        more = sides.margins(
            (width, height),
            {"left": asked.left, "top": asked.top, "right": asked.right, "bottom": asked.bottom},
            percent=asked.unit == "percent",
            shape="" if asked.shape == "sides" else asked.shape,
        )
    except sides.TooFar as trouble:
        raise Refusal(str(trouble)) from None
    size = (width + more["left"] + more["right"], height + more["top"] + more["bottom"])

    Gimp.progress_init("Extend canvas")
    tell = Bar(image)
    engine = reach(tell)
    plan = engine.plan_extend(size, (more["left"], more["top"], width, height))
    encoding, boxes = look(image, None, plan, (more["left"], more["top"]))
    result = engine.fill(
        plan, boxes.pop, bands=encoding.bands, depth=encoding.depth, engine=asked.engine, seed=asked.seed,
        tries=QUALITIES[asked.quality], on_progress=tell,
    )  # fmt: skip

    still_there(image)
    if (image.get_width(), image.get_height()) != (width, height):
        raise Refusal("The canvas was resized while its surroundings were painted: extend it again.")
    new = add(
        image, f"Extended to {size[0]} x {size[1]}", result.box, result.pixels, encoding, None, 0,
        canvas=(*size, more["left"], more["top"]),
    )  # fmt: skip
    return Done(new, result.engine, result.seconds)


def the_layer(image: Any, drawables: list[Any]) -> Any:
    """The one layer to work on, in an image with a selection. Raises Refusal."""
    if not drawables:
        raise Refusal("No layer is selected: choose the layer to erase from in the Layers dialog.")
    if len(drawables) > 1:
        raise Refusal(f"{len(drawables)} layers are selected: choose the one to erase from in the Layers dialog.")
    layer = drawables[0]
    name = layer.get_name()
    if layer.is_layer_mask():
        raise Refusal(f"The mask “{name}” is active: click the layer's own picture in the Layers dialog, then erase.")
    if not layer.is_layer():
        raise Refusal(
            f"The channel “{name}” is active: leave Quick Mask (Shift+Q) or choose a layer in the Layers dialog."
        )
    if image.get_floating_sel() is not None:
        raise Refusal("There is a floating selection: anchor it first (Layer > Anchor Floating Selection).")
    if Gimp.Selection.is_empty(image):
        raise Refusal("Nothing is selected: select what should vanish, then erase it.")
    return layer


def look(
    image: Any, layer: Any, plan: client.Plan, origin: tuple[int, int]
) -> tuple[pixels.Encoding, dict[Box, bytes]]:
    """What the engine wants to see of a layer, or of all that is visible: every box of the plan, read now.

    origin: where the canvas of the plan has the top left corner of what is read.
    """
    shown = layer if layer is not None else Gimp.Layer.new_from_visible(image, image, "all that is visible")
    if shown is None:
        raise Refusal("GIMP could not merge what is visible: close other images, and try again.")
    try:
        encoding = pixels.encoding_of(shown)
        read = {
            (x, y, width, height): pixels.read(shown, encoding, (x - origin[0], y - origin[1], width, height))
            for x, y, width, height in plan.boxes
        }
    finally:
        if layer is None:
            shown.delete()
    return encoding, read


def still_there(image: Any, layer: Any = None) -> None:
    """Raises Refusal where the person has closed the image, or removed the layer, while it was worked on."""
    if not image.is_valid():
        raise Refusal("The image was closed while it was worked on: nothing was changed.")
    if layer is not None and (not layer.is_valid() or layer.get_image() is None):
        raise Refusal("The layer was removed while it was worked on: nothing was changed.")


def add(
    image: Any,
    name: str,
    place: Box,
    data: Any,
    encoding: pixels.Encoding,
    parent: Any,
    position: int,
    *,
    canvas: tuple[int, int, int, int] | None = None,
) -> Any:
    """Put the answer into the image as one step of its history; the selected layers stay selected.

    canvas: its new width and height, and where the old one lies in it.
    """
    indexed = image.get_base_type() == Gimp.ImageBaseType.INDEXED
    selected = image.get_selected_layers()
    # ready before the history knows of it, except where the image cannot hold its colours yet
    layer = None if indexed else pixels.new_layer(image, name, place, data, encoding)
    image.undo_group_start()
    try:
        if layer is None:
            image.convert_rgb()
            layer = pixels.new_layer(image, name, place, data, encoding)
        if canvas is not None:
            image.resize(*canvas)
        if not image.insert_layer(layer, parent, position):
            raise pixels.NotWritten("GIMP did not take the new layer: see whether its place is locked, and try again.")
        if selected:
            image.set_selected_layers(selected)
    finally:
        image.undo_group_end()
    Gimp.displays_flush()
    return layer


class Bar:
    """GIMP's progress bar; told only what is new, because every word of it is a call into GIMP.

    Raises Refusal, which ends the engine's work, once what it works for is gone.
    """

    def __init__(self, image: Any, layer: Any = None) -> None:
        self.image, self.layer = image, layer
        self.looked = time.monotonic()
        self.note = ""
        self.fraction = -1.0

    def __call__(self, progress: client.Progress) -> None:
        if time.monotonic() - self.looked > 0.5:
            still_there(self.image, self.layer)
            self.looked = time.monotonic()
        if progress.note != self.note:
            self.note = progress.note
            Gimp.progress_set_text(progress.note[:1].upper() + progress.note[1:])
        if progress.fraction <= 0:
            Gimp.progress_pulse()
        elif progress.fraction - self.fraction >= 0.005 or progress.fraction >= 1:
            self.fraction = progress.fraction
            Gimp.progress_update(min(1.0, progress.fraction))
