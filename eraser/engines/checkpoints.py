"""Diffusers checkpoints: from a repository in the cache, a folder or a single file to a pipeline that inpaints."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from eraser import hub
from eraser.engines import attachments, quantising, single_files
from eraser.engines.latent_records import RECORDS
from eraser.engines.loading import Loading
from eraser.errors import DamagedWeights, EngineError, EraserError, MissingExtra, MissingWeights, OutOfRange
from eraser.tensor_files import tensors


def load(loading: Loading, dtype: Any, *, device: str = "cpu") -> Any:
    """The pipeline, in the CPU's memory, with everything put onto it that was asked for.

    dtype   of the weights, a torch.dtype
    device  where quantised weights are made; others stay with the CPU
    Nothing is fetched. Raises MissingExtra, MissingWeights, DamagedWeights, and EngineError for a checkpoint that does
    not inpaint or that something asked for does not fit.
    """
    diffusers = library()
    place = Path(loading.place)
    if loading.kind == "file":
        if loading.quantised:
            raise OutOfRange("single files are not loaded in fewer bits", hint="take the release as a folder")
        tensors(place)
        folder, kind = single_files.described(place, loading.configs)
    else:
        folder = folder_of(loading)
        kind = str(hub.index(folder)["_class_name"])
        hub.check(folder)
    settings: dict[str, Any] = {"local_files_only": True, "dtype": dtype}
    if not loading.safety:
        settings |= {"safety_checker": None, "requires_safety_checker": False} if carries_checker(folder) else {}
    if "XL" in kind:
        # without this a package that happens to be installed would mark the whole picture
        settings["add_watermarker"] = False
    try:
        made = inpainting(diffusers, kind)
        if loading.kind == "file":
            pipeline = single_files.load(made, place, folder, settings)
        else:
            settings |= {"use_safetensors": True, "variant": hub.variant(folder) or None}
            if loading.quantised:
                settings["quantization_config"] = quantising.config(loading.quantised, folder, device)
            pipeline = made.from_pretrained(str(folder), **settings)
    except (EraserError, MemoryError):
        raise
    except Exception as error:  # loading raises anything from KeyError to the file formats' own classes
        if _is_memory(error):
            raise
        reason = " ".join(str(error).split())[:160] or type(error).__name__
        raise DamagedWeights(
            f"{loading.place} cannot be loaded: {reason}", hint="look whether all of its files are of one checkpoint"
        ) from error
    pipeline.set_progress_bar_config(disable=True)
    attachments.attach(pipeline, loading, folder)
    return pipeline


def library() -> Any:
    """diffusers, quiet and forbidden to call anywhere. Raises MissingExtra."""
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_PROGRESS_BARS"):
        os.environ.setdefault(name, "1")
    for name in ("TRANSFORMERS_VERBOSITY", "DIFFUSERS_VERBOSITY"):
        os.environ.setdefault(name, "error")
    try:
        import diffusers
        import torch  # noqa: F401  # diffusers imports without it, and is of no use then
        import transformers  # what nearly every checkpoint's text encoder is of
    except ImportError as error:
        raise MissingExtra(
            f"{error.name} is not installed", hint="pip install -e '.[diffusion]' in the clone"
        ) from error
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    return diffusers


def folder_of(loading: Loading) -> Path:
    """Where the files of a folder or a repository are. Raises MissingWeights."""
    if loading.kind == "folder":
        return Path(loading.place)
    folder = hub.snapshot(loading.place, loading.revision)
    if folder is None:
        known = next((key for key, record in RECORDS.items() if record.repository.name == loading.place), None)
        size = f" ({RECORDS[known].repository.gigabytes:g} GB)" if known else ""
        raise MissingWeights(
            f"{loading.place}{size} is not on this machine: it is in neither {hub.cache()} nor the folders of weights",
            hint=f"eraser models fetch {known}" if known else f"hf download {loading.place}",
        )
    return folder


def files_of(loading: Loading) -> dict[str, Path]:
    """What is read to load a checkpoint and its LoRAs, by names that do not tell where it lies: weights, and what
    describes them. Raises what finding them raises."""
    found: dict[str, Path] = {}
    if loading.kind == "file":
        file = Path(loading.place)
        found[file.name] = file
        folder, _ = single_files.described(file, loading.configs)
    else:
        folder = folder_of(loading)
    for part in hub.components(folder):
        weights = [] if loading.kind == "file" else hub.files(folder, part)
        for path in [*weights, *hub.descriptions(folder, part)]:
            found[f"{part}/{path.name}"] = path
    for number, lora in enumerate(loading.loras):
        name = f"lora/{Path(lora.file).name}"
        found[name if name not in found else f"{name} ({number + 1})"] = Path(lora.file)
    return found


def revision_of(loading: Loading) -> str:
    """The commit of a repository that is loaded, "" for what is none."""
    return folder_of(loading).name if loading.kind == "repository" else ""


def inpainting(diffusers: Any, kind: str) -> Any:
    """The class that inpaints with a checkpoint of class `kind`. Raises EngineError."""
    if "Inpaint" in kind or "Fill" in kind:
        made = getattr(diffusers, kind, None)
    else:
        from diffusers.pipelines.auto_pipeline import AUTO_INPAINT_PIPELINES_MAPPING, _get_task_class

        made = _get_task_class(AUTO_INPAINT_PIPELINES_MAPPING, kind, throw_error_if_not_exist=False)
    if made is None:
        raise EngineError(
            f"the checkpoint is a {kind}, which diffusers {diffusers.__version__} has no inpainting pipeline for",
            hint="choose an inpainting checkpoint, or a base model of a family that diffusers inpaints with",
        )
    return made


def carries_checker(folder: Path) -> bool:
    return "safety_checker" in hub.components(folder)


def _is_memory(error: BaseException) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError)
