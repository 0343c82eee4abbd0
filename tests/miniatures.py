"""Miniature ONNX erasers with the signatures of the real ones: they blur what is known into the hole."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from eraser.engines.onnx_records import LAMA, MIGAN, Convention

REACH = 31  # pixels of the blur, whose three rounds fill a hole of some 90 pixels
_ENDS = {"start": 0, "end": 1 << 31, "axis": 3}
SIZE: dict[str, tuple[Any, Any]] = {"fixed": (96, 96), "any": ("height", "width")}


def eraser(
    path: Path,
    convention: Convention,
    *,
    size: str = "fixed",
    bytes_in: bool = False,
    drift: tuple[float, float, float] = (0, 0, 0),
    half: bool = False,
    copies: int = 0,
) -> Path:
    """Write a graph of this convention, and the convention beside it.

    drift   is added to the channels of what is drawn, in the range [-1, 1]
    copies  where what lies so many pixels to the left (around the border) is known, that is drawn, not the blur
    What it draws in place of known pixels is of no use: an engine must not look at it.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    height, width = SIZE[size]
    kind = TensorProto.UINT8 if bytes_in else TensorProto.FLOAT16 if half else TensorProto.FLOAT
    low, span = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 2.0), "0..255": (0.0, 255.0)}[convention.image]
    out_low, out_span = {"0..1": (0.0, 1.0), "-1..1": (-1.0, 2.0), "0..255": (0.0, 255.0)}[convention.drawn]
    top = 255.0 if bytes_in else 1.0

    constants: list[Any] = []
    nodes: list[Any] = []

    def constant(name: str, value: Any) -> str:
        constants.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    node("Cast", ["image"], "image_float", to=TensorProto.FLOAT)
    node("Cast", ["mask"], "mask_float", to=TensorProto.FLOAT)
    node("Sub", ["image_float", constant("low", low)], "from_low")
    node("Div", ["from_low", constant("span", span)], "unit")
    share = node("Div", ["mask_float", constant("top", top)], "share")
    known = share if convention.hole == "low" else node("Sub", [constant("one", 1.0), share], "known")
    values, weights = node("Mul", ["unit", known], "values"), known
    for turn in range(3):
        blur = {"kernel_shape": [REACH, REACH], "pads": [REACH // 2] * 4, "count_include_pad": 1}
        values = node("AveragePool", [values], f"values{turn}", **blur)
        weights = node("AveragePool", [weights], f"weights{turn}", **blur)
    node("Max", [weights, constant("least", 1e-9)], "some")
    smooth = node("Div", [values, "some"], "smooth")
    if copies:
        whole = {name: numpy_helper.from_array(np.array([value]), name) for name, value in _ENDS.items()}
        constants.extend([*whole.values(), numpy_helper.from_array(np.array([-copies]), "edge")])

        def moved(name: str) -> str:
            node("Slice", [name, "edge", "end", "axis"], f"{name}_last")
            node("Slice", [name, "start", "edge", "axis"], f"{name}_first")
            return node("Concat", [f"{name}_last", f"{name}_first"], f"{name}_moved", axis=3)

        there = node("Greater", [moved(known), constant("middle", 0.5)], "there")
        smooth = node("Where", [there, moved("unit"), smooth], "copied")
    node("Mul", [smooth, constant("out_span", out_span)], "scaled")
    shift = np.asarray(drift, np.float32).reshape(1, 3, 1, 1) * out_span / 2 + out_low
    node("Add", ["scaled", constant("drift", shift)], "shifted")
    bounds = [constant("least_out", out_low), constant("most_out", out_low + out_span)]
    node("Clip", ["shifted", *bounds], "clipped")
    node(
        "Mul", ["clipped", node("Sub", [constant("all", 1.0), known], "inside")], "drawn"
    )  # known pixels come out black
    node("Cast", ["drawn"], "result", to=kind)
    graph = helper.make_graph(
        nodes,
        "eraser",
        [
            helper.make_tensor_value_info("image", kind, ["batch", 3, height, width]),
            helper.make_tensor_value_info("mask", kind, ["batch", 1, height, width]),
        ],
        [helper.make_tensor_value_info("result", kind, ["batch", 3, height, width])],
        constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, path)
    path.with_suffix(".json").write_text(json.dumps(asdict(convention)))
    return path


def lama(path: Path, **options: Any) -> Path:
    """LaMa's signature: one fixed size, floats, 0..1 in and 0..255 out, the mask 1 in the hole."""
    return eraser(path, LAMA.convention, size="fixed", **options)


def migan(path: Path, **options: Any) -> Path:
    """MI-GAN's: any size, bytes, the mask 0 in the hole."""
    return eraser(path, MIGAN.convention, size="any", bytes_in=True, **options)
