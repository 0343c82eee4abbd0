"""As much of GIMP's Python interface as the plug-in uses, for tests without GIMP: 8-bit images, and a log of calls.

`events` holds what was done to an image in order, so that a test can say what must not happen, or only later.
"""

from __future__ import annotations

import sys
import types
from enum import Enum, IntFlag
from typing import Any

import numpy as np

BANDS = {"Y'": 1, "Y'A": 2, "R'G'B'": 3, "R'G'B'A": 4, "Y": 1}


class Names(Enum):
    """Values that are only compared."""

    def __int__(self) -> int:
        return list(type(self)).index(self)


class Format:
    def __init__(self, model: str) -> None:
        self.model = model


class Babl:
    @staticmethod
    def format_get_encoding(format: Format) -> str:
        return f"{format.model} u8"

    @staticmethod
    def format_get_space(format: Format) -> str:
        return "sRGB"

    @staticmethod
    def format_with_space(name: str, space: str) -> str:
        return name

    @staticmethod
    def get_name(format: str) -> str:
        return format


class Rectangle:
    @staticmethod
    def new(x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
        return x, y, width, height


class Buffer:
    """8-bit pixels (H, W, bands), in the drawable's own model."""

    def __init__(self, owner: Drawable) -> None:
        self.owner = owner

    def get(self, box: tuple[int, int, int, int], scale: float, name: str, policy: Any) -> bytes:
        x, y, width, height = box
        bands = BANDS[name.split()[0]]
        found = np.zeros((height, width, bands), np.uint8)
        pixels = self.owner.pixels
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + width, pixels.shape[1]), min(y + height, pixels.shape[0])
        if left < right and top < bottom:
            found[top - y : bottom - y, left - x : right - x] = pixels[top:bottom, left:right, :bands]
        return found.tobytes()

    def set(self, box: tuple[int, int, int, int], name: str, data: Any) -> None:
        x, y, width, height = box
        self.owner.log("write")
        bands = BANDS[name.split()[0]]
        new = np.frombuffer(bytes(data), np.uint8).reshape(height, width, bands)
        self.owner.pixels[y : y + height, x : x + width] = new

    def flush(self) -> None: ...


class Drawable:
    """A layer, unless `kind` says otherwise."""

    def __init__(self, image: Image, name: str, pixels: np.ndarray, offset: tuple[int, int] = (0, 0)) -> None:
        self.image: Image | None = image
        self.owner = image
        self.name, self.pixels, self.offset = name, pixels, offset
        self.kind, self.parent, self.alive = "layer", None, True

    def log(self, what: str) -> None:
        self.owner.events.append((what, self.name))

    def get_name(self) -> str:
        return self.name

    def get_width(self) -> int:
        return self.pixels.shape[1]

    def get_height(self) -> int:
        return self.pixels.shape[0]

    def get_offsets(self) -> tuple[bool, int, int]:
        return (True, *self.offset)

    def set_offsets(self, x: int, y: int) -> None:
        self.offset = (x, y)

    def get_parent(self) -> Any:
        return self.parent

    def get_image(self) -> Any:
        return self.image

    def get_buffer(self) -> Buffer:
        return Buffer(self)

    def get_format(self) -> Format:
        return Format({1: "Y'", 2: "Y'A", 3: "R'G'B'", 4: "R'G'B'A"}[self.pixels.shape[2]])

    def has_alpha(self) -> bool:
        return self.pixels.shape[2] in (2, 4)

    def is_gray(self) -> bool:
        return self.pixels.shape[2] < 3

    def is_indexed(self) -> bool:
        return self.owner.base is Gimp.ImageBaseType.INDEXED

    def is_layer(self) -> bool:
        return self.kind in ("layer", "group")

    def is_layer_mask(self) -> bool:
        return self.kind == "mask"

    def is_group(self) -> bool:
        return self.kind == "group"

    def is_valid(self) -> bool:
        return self.alive and self.owner.alive

    def delete(self) -> None:
        self.log("delete")
        self.alive = False

    def update(self, *_: int) -> None: ...

    def mask_intersect(self) -> tuple[bool, int, int, int, int]:
        x, y = self.offset
        inside = self.owner.selection[max(y, 0) : y + self.get_height(), max(x, 0) : x + self.get_width()]
        rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
        if not rows.size:
            return False, 0, 0, 0, 0
        left, top = columns[0] + max(-x, 0), rows[0] + max(-y, 0)
        return True, int(left), int(top), int(np.ptp(columns)) + 1, int(np.ptp(rows)) + 1


class Image:
    def __init__(self, pixels: np.ndarray) -> None:
        self.events: list[tuple[str, str]] = []
        self.alive, self.takes_layers = True, True
        self.base = Gimp.ImageBaseType.GRAY if pixels.shape[2] < 3 else Gimp.ImageBaseType.RGB
        self.size = pixels.shape[1], pixels.shape[0]
        self.selection = np.zeros(pixels.shape[:2], np.uint8)
        self.layers = [Drawable(self, "photo", pixels)]
        self.chosen = list(self.layers)
        self.floating: Drawable | None = None

    def get_width(self) -> int:
        return self.size[0]

    def get_height(self) -> int:
        return self.size[1]

    def get_layers(self) -> list[Drawable]:
        return list(self.layers)

    def get_selected_layers(self) -> list[Drawable]:
        return list(self.chosen)

    def set_selected_layers(self, layers: list[Drawable]) -> None:
        self.chosen = list(layers)

    def get_floating_sel(self) -> Drawable | None:
        return self.floating

    def get_base_type(self) -> Any:
        return self.base

    def get_selection(self) -> Drawable:
        return Drawable(self, "selection", self.selection[:, :, None])

    def get_item_position(self, item: Drawable) -> int:
        return self.layers.index(item)

    def get_default_new_layer_mode(self) -> Any:
        return Gimp.LayerMode.NORMAL

    def is_valid(self) -> bool:
        return self.alive

    def undo_group_start(self) -> None:
        self.events.append(("undo", "start"))

    def undo_group_end(self) -> None:
        self.events.append(("undo", "end"))

    def convert_rgb(self) -> None:
        self.events.append(("convert", "rgb"))
        self.base = Gimp.ImageBaseType.RGB

    def resize(self, width: int, height: int, x: int, y: int) -> None:
        self.events.append(("resize", f"{width}x{height}"))
        self.size = width, height
        for layer in self.layers:
            layer.offset = layer.offset[0] + x, layer.offset[1] + y

    def insert_layer(self, layer: Drawable, parent: Any, position: int) -> bool:
        if not self.takes_layers:
            return False
        self.events.append(("insert", layer.name))
        self.layers.insert(position, layer)
        self.chosen = [layer]  # as GIMP does
        return True


class Selection:
    @staticmethod
    def is_empty(image: Image) -> bool:
        return not image.selection.any()

    @staticmethod
    def bounds(image: Image) -> tuple[bool, bool, int, int, int, int]:
        rows, columns = np.flatnonzero(image.selection.any(axis=1)), np.flatnonzero(image.selection.any(axis=0))
        return True, True, int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


class Layer:
    room = True  # False: GIMP cannot make another layer

    @staticmethod
    def new(image: Image, name: str, width: int, height: int, kind: Any, opacity: float, mode: Any) -> Any:
        bands = 2 if kind is Gimp.ImageType.GRAYA_IMAGE else 4
        return Drawable(image, name, np.zeros((height, width, bands), np.uint8)) if Layer.room else None

    @staticmethod
    def new_from_visible(image: Image, other: Image, name: str) -> Drawable:
        pixels = image.layers[0].pixels
        alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
        return Drawable(image, name, np.concatenate([pixels[:, :, : pixels.shape[2] // 2 * 2 - 1], alpha], axis=2))


class Values(list):  # type: ignore[type-arg]
    """What a procedure returns; the first is the status."""

    def __init__(self, status: Any, error: Any) -> None:
        super().__init__([status, None, "", 0.0] if error is None else [status])
        self.error = error

    def remove(self, number: int) -> None:
        del self[number]


class AnyProcedure:
    """Takes every description, and makes the values that a run returns."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self

    def new_return_values(self, status: Any, error: Any) -> Values:
        return Values(status, error)


class Config(dict):  # type: ignore[type-arg]
    get_property = dict.__getitem__


class Error(str):
    @classmethod
    def new_literal(cls, domain: Any, message: str, code: int) -> Error:
        return cls(message)


class PlugIn:
    @staticmethod
    def error_quark() -> int:
        return 0


class Gimp:
    PlugIn, Selection, Layer = PlugIn, Selection, Layer
    Procedure = ImageProcedure = types.SimpleNamespace(new=lambda *_: AnyProcedure())
    Choice = types.SimpleNamespace(new=AnyProcedure)
    RunMode = Names("RunMode", "INTERACTIVE NONINTERACTIVE WITH_LAST_VALS")
    PDBProcType = Names("PDBProcType", "PLUGIN")
    PDBStatusType = Names("PDBStatusType", "SUCCESS CANCEL EXECUTION_ERROR")
    ImageBaseType = Names("ImageBaseType", "RGB GRAY INDEXED")
    ImageType = Names("ImageType", "RGB_IMAGE RGBA_IMAGE GRAY_IMAGE GRAYA_IMAGE")
    LayerMode = Names("LayerMode", "NORMAL")
    ProcedureSensitivityMask = IntFlag("ProcedureSensitivityMask", "DRAWABLE DRAWABLES NO_DRAWABLES")
    folder = ""
    progress: list[Any] = []  # noqa: RUF012
    on_progress: Any = None  # called with each text or fraction, as a person who watches

    @classmethod
    def _tell(cls, what: Any) -> None:
        cls.progress.append(what)
        if cls.on_progress is not None:
            cls.on_progress(what)

    @classmethod
    def directory(cls) -> str:
        return cls.folder

    @classmethod
    def progress_init(cls, text: str) -> None:
        cls._tell(text)

    @classmethod
    def progress_set_text(cls, text: str) -> None:
        cls._tell(text)

    @classmethod
    def progress_update(cls, fraction: float) -> None:
        cls._tell(fraction)

    @staticmethod
    def progress_pulse() -> None: ...

    @staticmethod
    def progress_end() -> None: ...

    @staticmethod
    def displays_flush() -> None: ...

    @staticmethod
    def main(kind: Any, arguments: list[str]) -> None: ...


PlugIn.__gtype__ = "type"  # type: ignore[attr-defined]


def modules() -> dict[str, types.ModuleType]:
    """What belongs into sys.modules."""
    gi, repository = types.ModuleType("gi"), types.ModuleType("gi.repository")
    gi.require_version = lambda *_: None  # type: ignore[attr-defined]
    gi.repository = repository  # type: ignore[attr-defined]
    content = {
        "Gimp": Gimp,
        "Babl": Babl,
        "Gegl": types.SimpleNamespace(Rectangle=Rectangle, AbyssPolicy=Names("AbyssPolicy", "NONE")),
        "GLib": types.SimpleNamespace(Error=Error),
        "GObject": types.SimpleNamespace(
            ParamFlags=types.SimpleNamespace(READWRITE=3),
            TYPE_STRING=str,
            TYPE_DOUBLE=float,
            Value=lambda kind, value: value,
        ),
    }
    for name, value in content.items():
        setattr(repository, name, value)
    return {"gi": gi, "gi.repository": repository}


def install() -> None:
    sys.modules.update(modules())
