"""From a run's averaged weights to the one file that the engine uses, which needs no torch.

    python -m training.export OUT pocket.onnx

Weights are stored in half precision and computed with in single precision: half the bytes, and as fast on a CPU as any.
Before the file is written, its answers are compared with torch's at several sizes.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import os
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.export import Dim

from training.files import SMALL, read_pieces
from training.model import NetSettings, PocketNet

VERSION = 1  # of the graph's inputs and outputs; the engine refuses others
OPSET = 18
INPUTS = ("noisy", "sigma", "known", "hole")
OUTPUT = "clean"
CHECKED = [(64, 64, 2), (96, 64, 1), (128, 192, 1)]  # height, width, batch
TOLERANCE = 1e-4  # of the answer's largest value: weights are the same, only the order of sums differs


def trained_net(folder: Path) -> tuple[PocketNet, dict[str, Any]]:
    """The net of a run's pieces, ready for use, with weights as they are stored."""
    weights, notes = read_pieces(folder)
    settings = notes["settings"]["net"].items()
    net = PocketNet(NetSettings(**{key: tuple(value) if isinstance(value, list) else value for key, value in settings}))
    net.load_state_dict(weights)
    return net.fold(), notes


def export(net: PocketNet, notes: dict[str, Any], target: Path) -> dict[str, Any]:
    """Write `target` and return what there is to know about it. `net` must be folded; its weights are rounded to half
    precision. Raises SystemExit, and writes nothing, where onnxruntime and torch disagree."""
    import onnx

    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.numel() > SMALL:
                parameter.copy_(parameter.half().float())
    model = to_onnx(net)
    halve_weights(model)
    notes = {"version": VERSION, "stride": net.net.stride, **notes}
    onnx.helper.set_model_props(model, {"pocket": json.dumps(notes)})
    data = model.SerializeToString()
    worst = largest_difference(net, data)
    if not worst < TOLERANCE:
        raise SystemExit(f"onnxruntime and torch differ by {worst:.2g}, more than {TOLERANCE:g}: nothing was written")
    target.write_bytes(data)
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "largest difference": worst}


def example(height: int, width: int, batch: int) -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(height)
    shapes: list[tuple[int, ...]] = [(batch, 3, height, width), (batch,), (batch, 3, height, width)]
    noisy, sigma, known = (torch.randn(shape, generator=random) for shape in shapes)
    hole = (torch.rand(batch, 1, height, width, generator=random) > 0.5).float()
    return dict(zip(INPUTS, (noisy, sigma.exp(), known, hole), strict=True))


def to_onnx(net: PocketNet) -> Any:
    """The net as an ONNX model that takes any batch, height and width (multiples of the stride)."""
    stride = net.net.stride
    batch, rows, columns = Dim("batch", max=256), Dim("rows", min=2, max=256), Dim("columns", min=2, max=256)
    picture = {0: batch, 2: stride * rows, 3: stride * columns}
    shapes = {name: {0: batch} if name == "sigma" else picture for name in INPUTS}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)  # it tells of torchvision, which nothing here needs
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about its own parts, and names of equal axes
        program = torch.onnx.export(
            net,
            tuple(example(4 * stride, 6 * stride, 2).values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=INPUTS,
            output_names=(OUTPUT,),
            dynamic_shapes=shapes,
            verbose=False,
        )
    assert program is not None
    return program.model_proto


def halve_weights(model: Any) -> None:
    """Store large weights in half precision, cast back when the file is loaded (runtimes do it once)."""
    from onnx import TensorProto, helper, numpy_helper

    graph = model.graph
    casts = []
    for weights in list(graph.initializer):
        if weights.data_type != TensorProto.FLOAT or int(np.prod(weights.dims)) <= SMALL:
            continue
        values = numpy_helper.to_array(weights)
        name = weights.name
        graph.initializer.remove(weights)
        graph.initializer.append(numpy_helper.from_array(values.astype(np.float16), f"{name}_half"))
        casts.append(helper.make_node("Cast", [f"{name}_half"], [name], to=TensorProto.FLOAT))
    for cast in reversed(casts):
        graph.node.insert(0, cast)


def session_of(data: bytes | str, threads: int = 1) -> Any:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@torch.no_grad()
def largest_difference(net: PocketNet, data: bytes) -> float:
    """Between onnxruntime's and torch's answers, as a share of the largest value."""
    session = session_of(data)
    worst = 0.0
    for shape in CHECKED:
        inputs = example(*shape)
        (answer,) = session.run(None, {name: value.numpy() for name, value in inputs.items()})
        expected = net(*inputs.values()).numpy()
        worst = max(worst, float(np.abs(answer - expected).max() / np.abs(expected).max()))
    return worst


def milliseconds(path: Path, size: int, threads: int = 2, repeats: int = 7) -> float:
    """The median time of one evaluation."""
    session = session_of(str(path), threads)
    inputs = {name: value.numpy() for name, value in example(size, size, 1).items()}
    times = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        session.run(None, inputs)
        times.append(1000 * (time.perf_counter() - begin))
    return sorted(times[1:])[repeats // 2]


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="a run's OUT")
    parser.add_argument("target", type=Path)
    options = parser.parse_args(arguments)
    net, notes = trained_net(options.run)
    report = export(net, notes, options.target)
    report["parameters"] = sum(parameter.numel() for parameter in net.parameters())
    report["milliseconds on two threads"] = {
        size: round(milliseconds(options.target, size), 1) for size in (64, 128, 192, 256)
    }
    if hasattr(os, "getloadavg"):
        report["load"] = round(os.getloadavg()[0], 2)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
