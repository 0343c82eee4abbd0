"""What is tried in a real GIMP: pictures, selections and calls by name. Read by pytest and by the script in GIMP.

Nothing but data: GIMP's Python has no numpy, and pytest's has no GIMP.
"""

from __future__ import annotations

from typing import Any

PRECISIONS = {
    "u8": "U8_NON_LINEAR",
    "u8-linear": "U8_LINEAR",
    "u8-perceptual": "U8_PERCEPTUAL",
    "u16": "U16_NON_LINEAR",
    "u16-linear": "U16_LINEAR",
    "u32": "U32_NON_LINEAR",
    "u32-linear": "U32_LINEAR",
    "half": "HALF_NON_LINEAR",
    "half-linear": "HALF_LINEAR",
    "float": "FLOAT_NON_LINEAR",
    "float-linear": "FLOAT_LINEAR",
    "double": "DOUBLE_NON_LINEAR",
    "double-linear": "DOUBLE_LINEAR",
}
# how the plug-in is expected to read each: (primes, depth)
READ_AS = {
    "u8": ("'", "u8"),
    "u8-linear": ("~", "float"),
    "u8-perceptual": ("~", "u8"),
    "u16": ("'", "u16"),
    "u16-linear": ("~", "float"),
    "u32": ("'", "double"),
    "u32-linear": ("~", "double"),
    "half": ("'", "half"),
    "half-linear": ("~", "float"),
    "float": ("'", "float"),
    "float-linear": ("~", "float"),
    "double": ("'", "double"),
    "double-linear": ("~", "double"),
}
# how far a value may be from Python's once it has been stored: half a step of the type, seen as perceptual
STORED = {
    "u8-linear": 12.92 / 255,
    "u16-linear": 12.92 / 65535,
    "u32-linear": 1e-6,
    "half-linear": 2e-3,
    "float-linear": 1e-5,
    "double-linear": 1e-6,
    "u32": 1e-7,  # GIMP's own conversion goes through single precision
}

CANVAS = (120, 90)
OFF_ORIGIN = (("rectangle", 33, 41, 22, 14),)


def case(**changes: Any) -> dict[str, Any]:
    """One call of the erase procedure: an image, a selection, options."""
    return {
        "base": "RGB",
        "precision": "u8",
        "alpha": False,
        "profile": None,
        "canvas": CANVAS,
        "layer": CANVAS,
        "offset": (0, 0),
        "select": OFF_ORIGIN,
        "setting": None,  # what surrounds the layer: group, mask, text, indexed, above, quick-mask
        "options": {"grow-auto": False, "grow": 0, "seed": 3},
    } | changes


CASES: dict[str, dict[str, Any]] = {}
for precision in PRECISIONS:
    CASES[f"rgb {precision}"] = case(precision=precision)
    CASES[f"gray {precision} with alpha"] = case(precision=precision, base="GRAY", alpha=True)
CASES |= {
    "rgb u8 with alpha": case(alpha=True),
    "rgb u16 with alpha": case(precision="u16", alpha=True),
    "gray u8": case(base="GRAY"),
    "wide gamut u8": case(profile="adobe"),
    "wide gamut u16 with alpha": case(profile="adobe", precision="u16", alpha=True),
    "wide gamut float": case(profile="adobe", precision="float"),
    "wide gamut float-linear": case(profile="adobe", precision="float-linear"),
    "gray profile u8": case(base="GRAY", profile="gray"),
    "layer off the origin": case(layer=(70, 50), offset=(17, 23)),
    "layer partly outside the canvas": case(layer=(150, 100), offset=(-21, -13), alpha=True),
    "selection partly outside the layer": case(
        layer=(40, 30), offset=(20, 20), select=(("rectangle", 10, 35, 30, 40),)
    ),
    "selection at the corner": case(select=(("rectangle", 0, 0, 25, 20),)),
    "two selections": case(select=(("rectangle", 12, 50, 14, 9), ("rectangle", 80, 8, 9, 20))),
    "soft selection": case(select=(("ellipse", 40, 30, 36, 28), ("feather", 12))),
    "soft selection, 16 bits": case(precision="u16", select=(("ellipse", 40, 30, 36, 28), ("feather", 12))),
    "soft selection, float": case(precision="float-linear", select=(("ellipse", 40, 30, 36, 28), ("feather", 12))),
    "ring": case(select=(("ellipse", 30, 20, 50, 44), ("border", 4))),
    "grown by itself": case(options={"seed": 1}),
    "grown by five": case(options={"grow-auto": False, "grow": 5}),
    "soft and grown": case(
        select=(("ellipse", 40, 30, 30, 24), ("feather", 8)), options={"grow-auto": False, "grow": 4}
    ),
    "another seed": case(options={"grow-auto": False, "seed": 2**31 - 1}),
    "good quality": case(options={"grow-auto": False, "seed": 2, "quality": "good"}),
    "best quality, 16 bits": case(precision="u16", options={"grow-auto": False, "quality": "best"}),
    "layer in a group": case(setting="group", layer=(90, 70), offset=(11, 9)),
    "layer with a mask": case(setting="mask"),
    "text layer": case(setting="text", alpha=True, select=(("rectangle", 24, 24, 14, 8),)),
    "indexed": case(setting="indexed"),
    "after Quick Mask": case(setting="quick-mask"),
    "all that is visible": case(setting="above", options={"grow-auto": False, "sample-merged": True}),
    "all that is visible, 16 bits, gray": case(
        setting="above", base="GRAY", precision="u16", options={"grow-auto": False, "sample-merged": True}
    ),
}

EXTENSIONS: dict[str, dict[str, Any]] = {
    "sides in pixels": case(options={"unit": "pixels", "left": 21, "bottom": 13, "seed": 2}),
    "sides in percent": case(options={"unit": "percent", "right": 25, "top": 10}),
    "good quality": case(options={"unit": "pixels", "left": 21, "quality": "good"}),
    "to a shape": case(options={"shape": "16:9"}),
    "gray, 16 bits": case(base="GRAY", precision="u16", options={"unit": "pixels", "top": 17}),
    "float": case(precision="float", options={"unit": "pixels", "right": 15, "left": 4}),
    "wide gamut": case(profile="adobe", options={"unit": "pixels", "right": 15}),
    "indexed": case(setting="indexed", options={"unit": "pixels", "right": 15}),
    "layers off the origin": case(
        layer=(150, 100), offset=(-21, -13), setting="above", options={"unit": "pixels", "left": 16}
    ),
}

# what is refused: (how the image is made, options, what the sentence must say)
REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "nothing selected": ("no selection", {}, r"^Nothing is selected: select .*\.$"),
    "selection outside the layer": ("outside", {}, r"^The selection lies outside the layer “photo”: choose .*\.$"),
    "too faint": ("faint", {}, r"^What is selected is too faint to be erased: .*\.$"),
    "several layers": ("several", {}, r"^2 layers are selected: choose the one .*\.$"),
    "no layer": ("none", {}, r"^No layer is selected: choose .*\.$"),
    "group": ("group", {}, r"^“group” is a layer group: choose a layer in it.*\.$"),
    "layer mask": ("mask", {}, r"^The mask “.*” is active: click the layer's own picture .*\.$"),
    "channel": ("channel", {}, r"^The channel “Qmask” is active: leave Quick Mask .*\.$"),
    "floating selection": ("floating", {}, r"^There is a floating selection: anchor it first.*\.$"),
    "everything selected": ("all", {}, r"^The selection leaves no pixel .*: leave more .*\.$"),
    "unknown engine": ("plain", {"engine": "no-such"}, r"^There is no engine “?\"?no-such\"?”?: choose one of .*\.$"),
    "not a number": ("nan", {}, r"pixels are NaN or infinite outside the hole.*\.$"),
}
EXTENSION_REFUSALS: dict[str, tuple[str, dict[str, Any], str]] = {
    "no side": ("plain", {"unit": "pixels"}, r"^No side of the canvas grows: give .*\.$"),
    "the shape it has": ("square", {"shape": "1:1"}, r"^The canvas of 60 x 60 pixels has the shape 1:1 already: .*\.$"),
    "too far": (
        "plain",
        {"unit": "pixels", "left": 65535},
        r"^The canvas would be 65655 x 90 pixels: stay within .*\.$",
    ),
    "no layers": ("empty", {"unit": "pixels", "left": 5}, r"^The image has no layer that could be continued: .*\.$"),
}
