"""Runs in GIMP (python-fu-eval): makes every picture of cases.py, calls the plug-in, leaves what happened in a folder.

Nothing is judged here but what only GIMP can tell; the numbers are judged outside, where the library is.
"""

import json
import os
import sys
import time
import traceback
from pathlib import Path

import gi

gi.require_version("Babl", "0.1")
gi.require_version("Gegl", "0.4")
gi.require_version("Gimp", "3.0")
from gi.repository import Babl, Gegl, Gimp  # noqa: E402

sys.path.insert(0, os.environ["ERASER_TEST_CASES"])
from cases import CASES, EXTENSION_REFUSALS, EXTENSIONS, PRECISIONS, READ_AS, REFUSALS  # noqa: E402

OUT = Path(os.environ["ERASER_TEST_OUT"])
ERASE, EXTEND = "plug-in-magic-eraser-erase", "plug-in-magic-eraser-extend"
AGAIN, SET_UP = "plug-in-magic-eraser-again", "plug-in-magic-eraser-set-up"
REPLACE, ADD = Gimp.ChannelOps.REPLACE, Gimp.ChannelOps.ADD
NONE = Gegl.AbyssPolicy.NONE


def call(name, **values):
    """(status succeeded, returned values, last message, seconds)"""
    procedure = Gimp.get_pdb().lookup_procedure(name)
    config = procedure.create_config()
    config.set_property("run-mode", Gimp.RunMode.NONINTERACTIVE)
    for key, value in values.items():
        if key == "drawables":
            config.set_core_object_array(key, value)
        else:
            config.set_property(key, value)
    start = time.monotonic()
    result = procedure.run(config)
    seconds = time.monotonic() - start
    returned = [result.index(i) for i in range(1, result.length())]
    return result.index(0) == Gimp.PDBStatusType.SUCCESS, returned, Gimp.get_pdb().get_last_error() or "", seconds


# -- pictures ----------------------------------------------------------------------------------------------------------


def quadrants(width, height):
    """RGBA bytes, every quadrant with a pattern of its own that changes from pixel to pixel."""
    data = bytearray()
    for y in range(height):
        for x in range(width):
            speck = (x * 7919 + y * 104729) % 23
            if y < height // 2 and x < width // 2:
                colour = (40 + x, 60 + y, 90 + speck)
            elif y < height // 2:
                colour = (200 - speck, 60 + 60 * (x // 3 % 2), 30 + y)
            elif x < width // 2:
                colour = (30 + speck, 120 + x // 2, 220 if (x // 4 + y // 4) % 2 else 90)
            else:
                colour = (90 + (x + y) % 60, 200 - y // 2, 140 + speck)
            data += bytes((*colour, 255 - (x + 3 * y) % 40))
    return bytes(data)


PROFILES = {
    None: lambda: None,
    "adobe": Gimp.ColorProfile.new_rgb_adobe,
    "gray": Gimp.ColorProfile.new_d50_gray_lab_trc,
}


def new_image(case):
    base = getattr(Gimp.ImageBaseType, case["base"])
    image = Gimp.Image.new_with_precision(*case["canvas"], base, getattr(Gimp.Precision, PRECISIONS[case["precision"]]))
    if profile := PROFILES[case["profile"]]():
        image.set_color_profile(profile)
    return image


def new_layer(image, case, parent=None, name="photo"):
    gray = case["base"] == "GRAY"
    kinds = Gimp.ImageType
    plain, clear = (kinds.GRAY_IMAGE, kinds.GRAYA_IMAGE) if gray else (kinds.RGB_IMAGE, kinds.RGBA_IMAGE)
    width, height = case["layer"]
    kind = clear if case["alpha"] else plain
    layer = Gimp.Layer.new(image, name, width, height, kind, 100.0, Gimp.LayerMode.NORMAL)
    layer.set_offsets(*case["offset"])
    put(layer, quadrants(width, height))
    image.insert_layer(layer, parent, 0)
    return layer


def put(layer, data):
    buffer = layer.get_buffer()
    space = Babl.format_get_space(layer.get_format())
    name = Babl.get_name(Babl.format_with_space("R'G'B'A u8", space))
    buffer.set(Gegl.Rectangle.new(0, 0, layer.get_width(), layer.get_height()), name, data)
    buffer.flush()
    layer.update(0, 0, layer.get_width(), layer.get_height())


def make(case):
    """An image as the case wants it, and the layer to work on."""
    image = new_image(case)
    setting = case["setting"]
    parent = None
    if setting == "group":
        parent = Gimp.GroupLayer.new(image, "group")
        image.insert_layer(parent, None, 0)
    if setting == "text":
        font = Gimp.Font.get_by_name(Gimp.context_get_font().get_name())
        layer = Gimp.TextLayer.new(image, "iiii Wg\niiii Wg", font, 30, Gimp.Unit.pixel())
        image.insert_layer(layer, None, 0)
        layer.set_offsets(13, 11)
    else:
        layer = new_layer(image, case, parent)
    if setting == "mask":
        mask = layer.create_mask(Gimp.AddMaskType.BLACK)
        layer.add_mask(mask)
        layer.set_edit_mask(False)
    if setting == "above":
        other = new_layer(image, {**case, "alpha": True, "layer": (50, 60), "offset": (28, 30)}, name="above")
        other.set_opacity(40)
    if setting == "indexed":
        image.convert_indexed(Gimp.ConvertDitherType.NONE, Gimp.ConvertPaletteType.GENERATE, 200, False, False, "")
    image.set_selected_layers([layer])
    select(image, case["select"])
    if setting == "quick-mask":
        channel = Gimp.Selection.save(image)
        Gimp.Selection.none(image)
        image.select_item(REPLACE, channel)
        image.remove_channel(channel)
        image.set_selected_layers([layer])
    return image, layer


def select(image, steps):
    for number, (what, *numbers) in enumerate(steps):
        operation = ADD if number else REPLACE
        if what == "rectangle":
            image.select_rectangle(operation, *numbers)
        elif what == "ellipse":
            image.select_ellipse(operation, *numbers)
        elif what == "feather":
            Gimp.Selection.feather(image, *numbers)
        elif what == "border":
            Gimp.Selection.border(image, *numbers)


# -- looking at them ---------------------------------------------------------------------------------------------------


def native(drawable):
    box = Gegl.Rectangle.new(0, 0, drawable.get_width(), drawable.get_height())
    return drawable.get_buffer().get(box, 1.0, None, NONE)


def encoded(drawable, primes, depth, alpha, box=None):
    """A drawable's pixels in its own colour space, as the named type."""
    p = primes
    model = f"Y{p}" if drawable.is_gray() else f"R{p}G{p}B{p}"
    space = Babl.format_get_space(drawable.get_format())
    name = Babl.get_name(Babl.format_with_space(f"{model}{'A' if alpha else ''} {depth}", space))
    box = box or (0, 0, drawable.get_width(), drawable.get_height())
    return drawable.get_buffer().get(Gegl.Rectangle.new(*box), 1.0, name, NONE)


def selection(image):
    box = Gegl.Rectangle.new(0, 0, image.get_width(), image.get_height())
    return image.get_selection().get_buffer().get(box, 1.0, "Y u8", NONE)


def visible(image):
    return Gimp.Layer.new_from_visible(image, image, "seen")


def ids(items):
    return [item.get_id() for item in items]


def state(image, layer):
    """Everything that a refused call must leave as it was."""
    profile = image.get_color_profile()
    return {
        "layers": ids(image.get_layers()),
        "channels": ids(image.get_channels()),
        "chosen": ids(image.get_selected_layers()),
        "selection": selection(image).hex(),
        "pixels": native(layer).hex() if layer is not None else "",
        "size": (image.get_width(), image.get_height()),
        "base": int(image.get_base_type()),
        "profile": profile.get_icc_profile().hex()[:4000] if profile else "",
        "dirty": image.is_dirty(),
    }


def write(folder, name, data):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


# -- the cases ---------------------------------------------------------------------------------------------------------


def erase_case(name, case):
    image, layer = make(case)
    folder = OUT / "erase" / name
    merged = bool(case["options"].get("sample-merged"))
    indexed = case["setting"] == "indexed"
    primes, depth = READ_AS[case["precision"]]
    source = visible(image) if merged else layer
    alpha = source.has_alpha()
    write(folder, "source", encoded(source, primes, depth, alpha))
    size, (_, x, y) = (source.get_width(), source.get_height()), source.get_offsets()
    if merged:
        source.delete()
        x = y = 0
    write(folder, "selection", selection(image))
    before = state(image, layer)
    colours = encoded(layer, "'", "u8", layer.has_alpha())
    position, parent = image.get_item_position(layer), layer.get_parent()
    image.clean_all()
    good, returned, message, seconds = call(ERASE, image=image, drawables=[layer], **case["options"])
    report = {"good": good, "message": message, "seconds": seconds, "alpha": alpha, "size": size, "offset": (x, y)}
    if good:
        new = returned[0]
        _, nx, ny = new.get_offsets()
        write(folder, "new", encoded(new, primes, depth, True))
        write(folder, "new-alpha", encoded(new, primes, "u8", True))
        after = state(image, layer)
        siblings = parent.get_children() if parent else image.get_layers()
        report |= {
            "box": (nx, ny, new.get_width(), new.get_height()),
            "stored": Babl.format_get_encoding(new.get_format()),
            "like": Babl.format_get_encoding(image.get_layers()[-1].get_format()),
            "space": Babl.get_name(Babl.format_get_space(new.get_format()))
            == Babl.get_name(Babl.format_get_space(layer.get_format())),
            "name": new.get_name(),
            "layer_name": layer.get_name(),
            "position": image.get_item_position(new),
            "layer_position": image.get_item_position(layer),
            "was_at": position,
            "same_parent": (new.get_parent() and new.get_parent().get_id()) == (parent and parent.get_id()),
            "siblings": len(siblings),
            "engine": returned[1],
            "engine_seconds": returned[2],
            "same": {key: before[key] == after[key] for key in ("chosen", "selection", "pixels", "size", "profile")},
            "same_colours": colours == encoded(layer, "'", "u8", layer.has_alpha()),
            "base": int(image.get_base_type()) if indexed else None,
            "rgb": int(Gimp.ImageBaseType.RGB),
        }
    image.delete()
    return report


def extend_case(name, case):
    image, layer = make(case)
    folder = OUT / "extend" / name
    primes, depth = READ_AS[case["precision"]]
    seen = visible(image)
    write(folder, "source", encoded(seen, primes, depth, True))
    was = (seen.get_width(), seen.get_height())
    seen.delete()
    before = native(layer)
    colours = encoded(layer, "'", "u8", layer.has_alpha())
    _, old_x, old_y = layer.get_offsets()
    kept_selection = selection(image)
    good, returned, message, seconds = call(EXTEND, image=image, drawables=[layer], **case["options"])
    report = {"good": good, "message": message, "seconds": seconds, "was": was}
    if good:
        new = returned[0]
        _, nx, ny = new.get_offsets()
        _, x, y = layer.get_offsets()
        write(folder, "new", encoded(new, primes, depth, True))
        moved = (x - old_x, y - old_y)
        box = Gegl.Rectangle.new(*moved, *was)
        report |= {
            "size": (image.get_width(), image.get_height()),
            "box": (nx, ny, new.get_width(), new.get_height()),
            "moved": moved,
            "stored": Babl.format_get_encoding(new.get_format()),
            "top": image.get_item_position(new) == 0 and new.get_parent() is None,
            "chosen": ids(image.get_selected_layers()) == ids([layer]),
            "same_pixels": case["setting"] == "indexed" or native(layer) == before,
            "same_colours": encoded(layer, "'", "u8", layer.has_alpha()) == colours,
            "same_selection": image.get_selection().get_buffer().get(box, 1.0, "Y u8", NONE) == kept_selection,
            "name": new.get_name(),
        }
    image.delete()
    return report


PLAIN = next(iter(CASES.values()))


def bad_image(kind):
    """(image, drawables, the layer to watch)"""
    case = dict(PLAIN)
    if kind == "outside":
        case |= {"layer": (20, 20), "offset": (5, 5)}
    if kind == "square":
        case |= {"canvas": (60, 60), "layer": (60, 60)}
    if kind in ("nan", "faint"):
        case |= {"precision": "float"}
    if kind == "empty":
        image = new_image(case)
        return image, [], None
    image, layer = make(case)
    drawables = [layer]
    if kind == "no selection":
        Gimp.Selection.none(image)
    elif kind == "all":
        Gimp.Selection.all(image)
    elif kind == "faint":
        buffer = image.get_selection().get_buffer()
        buffer.set(Gegl.Rectangle.new(0, 0, *case["canvas"]), "Y u8", bytes(case["canvas"][0] * case["canvas"][1]))
        buffer.set(Gegl.Rectangle.new(50, 50, 1, 1), "Y float", b"\x00\x00\x80\x3a")  # 1/1024: below half a step
        buffer.flush()
        image.get_selection().update(0, 0, *case["canvas"])
    elif kind == "several":
        other = new_layer(image, case, name="other")
        image.set_selected_layers([layer, other])
        drawables = [layer, other]
    elif kind == "none":
        drawables = []
    elif kind == "group":
        group = Gimp.GroupLayer.new(image, "group")
        image.insert_layer(group, None, 0)
        image.reorder_item(layer, group, 0)
        image.set_selected_layers([group])
        drawables = [group]
    elif kind == "mask":
        mask = layer.create_mask(Gimp.AddMaskType.WHITE)
        layer.add_mask(mask)
        drawables = [mask]
    elif kind == "channel":
        channel = Gimp.Channel.new(image, "Qmask", *case["canvas"], 50.0, Gegl.Color.new("red"))
        image.insert_channel(channel, None, 0)
        drawables = [channel]
    elif kind == "floating":
        Gimp.Selection.float(image, [layer], 3, 3)
        drawables = [layer]
    elif kind == "nan":
        buffer = layer.get_buffer()
        buffer.set(Gegl.Rectangle.new(2, 3, 1, 1), "R'G'B' float", b"\x00\x00\xc0\x7f" * 3)
        buffer.flush()
    return image, drawables, layer


def refusal(procedure, kind, options):
    image, drawables, layer = bad_image(kind)
    image.clean_all()
    before = state(image, layer)
    good, _, message, _ = call(procedure, image=image, drawables=drawables, **options)
    after = state(image, layer)
    image.delete()
    return {"good": good, "message": message, "changed": [key for key in before if before[key] != after[key]]}


def again_case():
    """Values that a dialog left, used by the procedure without one."""
    image, layer = make(PLAIN)
    last = Path(Gimp.directory()) / "magic-eraser-last.json"
    found = {}
    for name, text in (
        ("none", None),
        ("seven", json.dumps({"grow_auto": False, "grow": 0, "seed": 7, "engine": "patch", "quality": "good"})),
        ("damaged", '{"seed": "x", "gro'),
    ):
        last.unlink(missing_ok=True)
        if text is not None:
            last.write_text(text, encoding="utf-8")
        good, returned, message, _ = call(AGAIN, image=image, drawables=[layer])
        found[name] = {"good": good, "message": message}
        if good:
            write(OUT / "again", name, encoded(returned[0], "'", "u8", True))
            _, x, y = returned[0].get_offsets()
            found[name]["box"] = (x, y, returned[0].get_width(), returned[0].get_height())
    last.unlink(missing_ok=True)
    write(OUT / "again", "source", encoded(layer, "'", "u8", False))
    write(OUT / "again", "selection", selection(image))
    image.delete()
    return found


def large_case():
    """12 megapixels with a one-percent hole; warm, so that what GIMP adds can be told from what the engine needs."""
    image = Gimp.Image.new(4000, 3000, Gimp.ImageBaseType.RGB)
    layer = Gimp.Layer.new(image, "photo", 4000, 3000, Gimp.ImageType.RGB_IMAGE, 100.0, Gimp.LayerMode.NORMAL)
    row = bytes((x * 7919 % 251 + speck) % 256 for x in range(4000) for speck in (0, 40, 90))
    buffer = layer.get_buffer()
    buffer.set(
        Gegl.Rectangle.new(0, 0, 4000, 3000), "R'G'B' u8", b"".join(row[y % 97 :] + row[: y % 97] for y in range(3000))
    )
    buffer.flush()
    image.insert_layer(layer, None, 0)
    image.select_rectangle(REPLACE, 1700, 1300, 400, 300)
    found = []
    for _ in range(3):
        good, returned, message, seconds = call(ERASE, image=image, drawables=[layer], **{"grow-auto": False})
        found.append({"good": good, "message": message, "seconds": seconds, "engine": returned[2]})
        if good:
            image.remove_layer(returned[0])
    image.delete()
    return found


def set_up_case():
    """Without a dialog: what the present choice is, and that a wrong one is refused and not kept."""
    path = Path(Gimp.directory()) / "magic-eraser.json"
    before = path.read_text(encoding="utf-8")
    good, returned, message, _ = call(SET_UP)
    wrong, _, complaint, _ = call(SET_UP, python="/no/such/python")
    bare, _, other, _ = call(SET_UP, python="/usr/bin/python3")
    return {
        "good": good,
        "report": returned[0] if good else message,
        "wrong": wrong,
        "complaint": complaint,
        "bare": bare,
        "other": other,
        "kept": path.read_text(encoding="utf-8") == before,
    }


def cold_case():
    """The plug-in starts the engine itself, in a Python that is not GIMP's."""
    path = Path(Gimp.directory()) / "magic-eraser.json"
    kept = path.read_text(encoding="utf-8")
    image, layer = make(PLAIN)
    path.write_text('{"python": "/no/such/python"}', encoding="utf-8")
    image.clean_all()
    good, _, message, _ = call(ERASE, image=image, drawables=[layer], **PLAIN["options"])
    missing = {"good": good, "message": message, "dirty": image.is_dirty()}
    path.unlink()
    good, _, message, _ = call(ERASE, image=image, drawables=[layer], **PLAIN["options"])
    unset = {"good": good, "message": message, "dirty": image.is_dirty()}
    path.write_text((OUT / "cold.json").read_text(encoding="utf-8"), encoding="utf-8")
    found = []
    for _ in range(2):
        good, returned, message, seconds = call(ERASE, image=image, drawables=[layer], **PLAIN["options"])
        found.append({"good": good, "message": message, "seconds": seconds, "engine": returned[2]})
    path.write_text(kept, encoding="utf-8")
    image.delete()
    return {"runs": found, "missing": missing, "unset": unset}


def everything():
    yield "version", lambda: Gimp.version()
    for name, case in CASES.items():
        yield f"erase {name}", lambda name=name, case=case: erase_case(name, case)
    for name, case in EXTENSIONS.items():
        yield f"extend {name}", lambda name=name, case=case: extend_case(name, case)
    for name, (kind, options, _) in REFUSALS.items():
        yield f"refused {name}", lambda kind=kind, options=options: refusal(ERASE, kind, options)
    for name, (kind, options, _) in EXTENSION_REFUSALS.items():
        yield f"extension refused {name}", lambda kind=kind, options=options: refusal(EXTEND, kind, options)
    yield "again", again_case
    yield "large", large_case
    yield "set up", set_up_case
    yield "cold", cold_case


results = {}
for title, act in everything():
    try:
        results[title] = act()
    except Exception:
        results[title] = {"good": False, "message": traceback.format_exc()}
(OUT / "results.json").write_text(json.dumps(results), encoding="utf-8")
