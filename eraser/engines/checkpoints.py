"""Diffusers checkpoints: from a repository in the hub's cache or a folder to a pipeline that inpaints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from eraser.errors import DamagedWeights, EngineError, MissingExtra, MissingWeights


def load(place: str, is_folder: bool, device: str) -> tuple[Any, bool]:
    """The pipeline, in the CPU's memory, and whether it is to run on a GPU."""
    if is_folder and not (Path(place) / "model_index.json").is_file():
        raise MissingWeights(
            f"{place} is no folder with a diffusers checkpoint", hint="it holds a file model_index.json"
        )
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    try:
        import diffusers
        import torch
        import transformers  # what nearly every checkpoint's text encoder is of
    except ImportError as error:
        raise MissingExtra(f"{error.name} is not installed", hint="pip install 'magic-eraser[diffusion]'") from error
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if device == "gpu" and not on_gpu:
        raise EngineError("torch has no GPU here although one was asked for", hint="eraser doctor tells what it has")
    kind_of_numbers = torch.float32
    if on_gpu:
        kind_of_numbers = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
    # no pickles, nothing fetched, no code from the checkpoint
    settings = {"local_files_only": True, "use_safetensors": True, "dtype": kind_of_numbers}
    try:
        config = diffusers.DiffusionPipeline.load_config(place, local_files_only=True)
        kind = str(config.get("_class_name", ""))
        if "Inpaint" in kind or "Fill" in kind:
            pipeline = diffusers.DiffusionPipeline.from_pretrained(place, **settings, **_no_mark(kind))
        else:
            pipeline = diffusers.AutoPipelineForInpainting.from_pretrained(place, **settings, **_no_mark(kind))
    except Exception as error:  # loading raises anything from KeyError to the file formats' own classes
        reason = " ".join(str(error).split())[:160]
        if not is_folder and isinstance(error, OSError):
            raise MissingWeights(
                f"{place} is not on this machine ({reason})", hint=f"fetch it first: hf download {place}"
            ) from error
        if isinstance(error, ValueError) and "AutoPipeline can't find" in str(error):
            raise EngineError(
                f"{place} holds a {kind}, which diffusers has no inpainting pipeline for",
                hint="choose an inpainting checkpoint",
            ) from error
        raise DamagedWeights(
            f"{place} cannot be loaded: {reason}", hint="look whether all of its files are there"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    return pipeline, on_gpu


def _no_mark(kind: str) -> dict[str, bool]:
    # without this a package that happens to be installed would mark the whole picture
    return {"add_watermarker": False} if "XL" in kind else {}
