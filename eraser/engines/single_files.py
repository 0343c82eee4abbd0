"""Checkpoints in one safetensors file, as other programs keep them: which family one is of, and what describes it.

The file holds numbers only. Which layers they are, and how words are cut, stands in small files that every diffusers
folder of the same family has.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from eraser import hub
from eraser.engines.latent_records import RECORDS
from eraser.errors import EngineError, MissingWeights
from eraser.tensor_files import Tensor, tensors

FIRST_LAYER = "model.diffusion_model.input_blocks.0.0.weight"  # of a U-Net: (channels out, channels in, 3, 3)
# a family as diffusers calls it, and the record whose configs are good for it too
RELATIVES = {
    "inpainting": "sd15",
    "v1": "sd15",
    "inpainting_v2": "sd2",
    "v2": "sd2",
    "xl_inpaint": "sdxl",
    "xl_base": "sdxl",
    "sd35_medium": "sd35",
    "flux-fill": "flux-fill",
    "z-image-turbo": "z-image",
}


def described(file: Path, configs: str = "") -> tuple[Path, str]:
    """(a folder that describes the file, the class that it names). Raises MissingWeights, DamagedWeights, EngineError.

    Looked for: the folder that was named, one beside the file that is called like it, the file's own folder, and in
    the hub's cache the family's repository.
    """
    if configs:
        return Path(configs), str(hub.index(Path(configs))["_class_name"])
    for folder in (file.with_suffix(""), file.parent):
        if (folder / hub.INDEX).is_file():
            return folder, str(hub.index(folder)["_class_name"])
    held = tensors(file)
    family, wanted = _family(file, held)
    for repository in wanted:
        if (found := hub.snapshot(repository)) is not None and (found / hub.INDEX).is_file():
            return found, str(hub.index(found)["_class_name"])
    raise MissingWeights(
        f"nothing on this machine describes {file.name}, which looks like {family}: its configs are in none of "
        f"{file.with_suffix('')}, {file.parent} and the hub's cache",
        hint=f"hf download {wanted[-1]} --include '*.json' '*.txt', or name a folder: configs=FOLDER",
    )


def _family(file: Path, held: dict[str, Tensor]) -> tuple[str, list[str]]:
    """(what diffusers calls the file's family, repositories with its configs)."""
    from diffusers.loaders.single_file_utils import DIFFUSERS_DEFAULT_PIPELINE_PATHS, infer_diffusers_model_type

    if any(".lora_" in name or "lora_down" in name for name in held):
        raise EngineError(
            f"{file.name} is a LoRA, which changes a checkpoint and is none itself",
            hint=f"write latent:CHECKPOINT?lora={file}",
        )
    try:
        family = str(infer_diffusers_model_type(held))
    except (KeyError, IndexError, AttributeError, UnboundLocalError):
        family = ""
    path = DIFFUSERS_DEFAULT_PIPELINE_PATHS.get(family)
    # what is like nothing else is taken for the first Stable Diffusion
    if path is None or (family == "v1" and FIRST_LAYER not in held):
        raise EngineError(
            f"{file.name} holds {len(held)} tensors of no family that is known",
            hint="take the release in diffusers' folder format, or name a folder with its configs: configs=FOLDER",
        )
    record = RECORDS.get(RELATIVES.get(family, ""))
    own = str(path["pretrained_model_name_or_path"])
    return family, [own, record.repository.name] if record and record.repository.name != own else [own]


def load(made: Any, file: Path, folder: Path, settings: dict[str, Any]) -> Any:
    """The pipeline of class `made` with the file's numbers."""
    held = tensors(file)
    with tempfile.TemporaryDirectory(prefix="magic-eraser-") as place:
        if (first := held.get(FIRST_LAYER)) is not None:
            folder = _with_channels(folder, first.shape[1], Path(place))
        # loading_kwargs of from_single_file: no weights are looked for beside the file where it has them
        return made.from_single_file(str(file), config=str(folder), **settings)


def _with_channels(folder: Path, channels: int, place: Path) -> Path:
    """The folder, or a copy of its configs that says how many channels the file's first layer takes: an inpainting
    model's are its base family's but for that."""
    unet = folder / "unet" / "config.json"
    said = json.loads(unet.read_text(encoding="utf-8")) if unet.is_file() else {}
    if said.get("in_channels") in (None, channels):
        return folder
    for path in folder.glob("**/*"):
        if path.is_file() and path.suffix in (".json", ".txt", ".model"):
            target = place / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
    (place / "unet" / "config.json").write_text(json.dumps(said | {"in_channels": channels}), encoding="utf-8")
    return place
