"""Weights in fewer bits, through whichever of diffusers' ways has its package installed."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from eraser import hub
from eraser.errors import MissingExtra, OutOfRange

PACKAGES = ("bitsandbytes", "torchao")
SHARES = {"8bit": 0.55, "4bit": 0.32}  # of the 16-bit weights' bytes: the layers that stay, and the scales
STAY = ("vae", "safety_checker", "image_encoder", "feature_extractor")  # small, and the first to show it


def package() -> str:
    """The package that would be used, "" for none."""
    return next((name for name in PACKAGES if importlib.util.find_spec(name) is not None), "")


def config(bits: str, folder: Path, device: str) -> Any:
    """What from_pretrained is given. bits: of loading.QUANTISED. Raises MissingExtra and OutOfRange."""
    import torch
    from diffusers import PipelineQuantizationConfig

    parts = [part for part in hub.components(folder) if part not in STAY and (folder / part / "config.json").is_file()]
    dtype = torch.float32 if device == "cpu" else torch.bfloat16
    match package(), bits:
        case "bitsandbytes", "8bit":
            return PipelineQuantizationConfig("bitsandbytes_8bit", {"load_in_8bit": True}, parts)
        case "bitsandbytes", "4bit":
            # Dettmers et al. 2023 (arXiv:2305.14314): levels that normally distributed weights use equally often
            settings = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": dtype}
            return PipelineQuantizationConfig("bitsandbytes_4bit", settings, parts)
        case "torchao", "8bit":
            from torchao.quantization import Int8WeightOnlyConfig

            return PipelineQuantizationConfig("torchao", {"quant_type": Int8WeightOnlyConfig()}, parts)
        case "torchao", _:
            raise OutOfRange("torchao is used for 8 bits only here", hint="pip install bitsandbytes, or quantised=8bit")
    raise MissingExtra("weights in fewer bits need a package that is not installed", hint="pip install bitsandbytes")
