"""Weights in fewer bits, through whichever of diffusers' ways has its package installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from eraser import hub
from eraser.errors import MissingExtra, OutOfRange

PACKAGES = {"bitsandbytes": ("cuda", "xpu"), "torchao": ("cuda", "xpu", "mps", "cpu")}  # and where they compute
SHARES = {"8bit": 0.55, "4bit": 0.32}  # of the 16-bit weights' bytes: the layers that stay, and the scales
STAY = ("vae", "safety_checker", "image_encoder", "feature_extractor")  # small, and the first to show it


def package(device: str) -> str:
    """The package that would be used on a device as torch calls it, "" for none."""
    kind = device.partition(":")[0]
    usable = [name for name, kinds in PACKAGES.items() if kind in kinds]
    return next((name for name in usable if importlib.util.find_spec(name) is not None), "")


def config(bits: str, folder: Path, device: str) -> Any:
    """What from_pretrained is given. bits: of loading.QUANTISED. Raises MissingExtra and OutOfRange."""
    import diffusers

    used = package(device)
    if not used:
        advice = "torchao" if device == "cpu" else "bitsandbytes"
        raise MissingExtra(f"{bits} weights need a package that is not installed", hint=f"pip install {advice}")
    settings = _settings(used, bits)
    # each library has a class of its own for the same settings
    kinds = {part: _kind(library, used) for part, library in _parts(folder).items()}
    return diffusers.PipelineQuantizationConfig(quant_mapping={part: kind(**settings) for part, kind in kinds.items()})


def _settings(used: str, bits: str) -> dict[str, Any]:
    import torch

    if used == "bitsandbytes" and bits == "8bit":
        return {"load_in_8bit": True}
    if used == "bitsandbytes":
        # Dettmers et al. 2023 (arXiv:2305.14314): levels that normally distributed weights use equally often
        return {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}
    if bits != "8bit":
        raise OutOfRange("torchao is used for 8 bits only here", hint="quantised=8bit, or pip install bitsandbytes")
    from torchao.quantization import Int8WeightOnlyConfig

    return {"quant_type": Int8WeightOnlyConfig()}


def _parts(folder: Path) -> dict[str, str]:
    """{part: library that loads it}, of those that are quantised."""
    index = hub.index(folder)
    return {
        part: index[part][0]
        for part in hub.components(folder)
        if part not in STAY and (folder / part / "config.json").is_file()
    }


def _kind(library: str, used: str) -> Any:
    import diffusers
    import transformers

    name = {"bitsandbytes": "BitsAndBytesConfig", "torchao": "TorchAoConfig"}[used]
    return getattr(transformers if library == "transformers" else diffusers, name)
