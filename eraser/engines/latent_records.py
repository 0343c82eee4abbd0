"""Latent diffusion checkpoints that are known by name, and what can be turned for one."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from eraser.engines.loading import NAMES, Loading, Weighted, unpickled
from eraser.errors import OutOfRange
from eraser.hub import Repository
from eraser.weights import folders

MOST_SIDE = 2048
REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


@dataclass(frozen=True, slots=True)
class Options:
    """Behind a question mark, as in latent:sdxl?steps=30&guidance=6; what is left out is the checkpoint's."""

    side: int = 0  # pixels of the window that the model draws; 0 for the size it was trained at
    steps: int = 30
    guidance: float = 7.5
    negative: str = ""  # what a prompted fill should not show
    strength: float = 0.99  # of the noise when something is removed: below 1 the emptied scene shines through
    tries: int = 3  # drawings of a removal, at most, until one fits its surroundings
    reference: str = ""  # a picture whose look a prompted fill takes over, through an IP-Adapter
    redirect: float = (
        0.51  # share of a U-Net's self-attention layers that look away from what is removed, the last ones
    )
    prefill: str = "patch"  # the engine that empties the scene: patch, lama, migan or onnx:FILE

    def __post_init__(self) -> None:
        for name, low, high in (
            ("side", 0, MOST_SIDE),
            ("steps", 1, 1000),
            ("guidance", 0, 100),
            ("strength", 0.01, 1),
            ("tries", 1, 16),
            ("redirect", 0, 1),
        ):
            if not low <= getattr(self, name) <= high:
                raise OutOfRange(f"{name} is {getattr(self, name)}", hint=f"give a number from {low} to {high}")

    def turned(self, pairs: list[tuple[str, str]]) -> Options:
        """These options with those of a query string. Raises OutOfRange."""
        kinds: dict[str, Any] = {field.name: type(getattr(self, field.name)) for field in fields(self)}
        changes: dict[str, Any] = {}
        for name, value in pairs:
            if name not in kinds:
                raise OutOfRange(f'"{name}" cannot be turned', hint=f"choose from {', '.join([*kinds, *NAMES])}")
            try:
                changes[name] = kinds[name](value)
            except ValueError:
                raise OutOfRange(f'{name} is "{value}", not a number') from None
        return replace(self, **changes)


@dataclass(frozen=True, slots=True)
class Record:
    repository: Repository
    options: Options
    needs: str  # of a GPU's memory: placement's own estimate for the architecture
    summary: str


OPENRAIL = "not for the uses that its list forbids, which whoever passes results or the model on must forbid too"
# A commit is pinned where several public projects name the same one as what they run; none was run here. Sizes are of
# the files that are fetched, as far as they are known: `eraser models fetch` asks the hub and tells before it starts.
RECORDS = {
    "sd15": Record(
        Repository(
            "stable-diffusion-v1-5/stable-diffusion-inpainting",
            "8a4288a76071f7280aedbdb3253bdb9e9d5d84bb",
            "CreativeML OpenRAIL-M",
            OPENRAIL,
            gigabytes=2.8,
            variant="fp16",
        ),
        Options(side=512, steps=30, guidance=7.5),
        "4 GB of GPU memory, or patience",
        "small and quick, trained for inpainting; the most LoRA files are for it",
    ),
    "sd2": Record(
        Repository(
            "sd2-community/stable-diffusion-2-inpainting",
            "",
            "CreativeML OpenRAIL++-M",
            OPENRAIL,
            gigabytes=2.6,
            variant="fp16",
        ),
        Options(side=512, steps=30, guidance=7.5),
        "4 GB of GPU memory, or patience",
        "as small as sd15, trained for inpainting; withdrawn by its makers, kept by others",
    ),
    "sdxl": Record(
        Repository(
            "diffusers/stable-diffusion-xl-1.0-inpainting-0.1",
            "115134f363124c53c7d878647567d04daf26e41e",
            "CreativeML OpenRAIL++-M",
            OPENRAIL,
            gigabytes=7.0,
            variant="fp16",
        ),
        Options(side=1024, steps=30, guidance=7.5),
        "10 GB of GPU memory, or 8 GB with its parts in turn",
        "sharper than sd15, trained for inpainting",
    ),
    "sd35": Record(
        Repository(
            "stabilityai/stable-diffusion-3.5-medium",
            "b940f670f0eda2d07fbb75229e779da1ad11eb80",
            "Stability AI Community License",
            "free below a yearly revenue of one million US dollars, registered above; asks for an account at the hub",
            gigabytes=16.5,
            gated=True,
        ),
        Options(side=1024, steps=40, guidance=4.5),
        "20 GB of GPU memory, or 12 GB with its parts in turn",
        "follows long prompts; a base model, whose known latents are put back at every step",
    ),
    "flux-fill": Record(
        Repository(
            "black-forest-labs/FLUX.1-Fill-dev",
            "358293da0354175698b67ec8299acf928313a78a",
            "FLUX.1 [dev] Non-Commercial License",
            "the model is not for commercial use; asks for an account at the hub",
            gigabytes=33.7,
            gated=True,
        ),
        Options(side=1024, steps=50, guidance=30.0),
        "40 GB of GPU memory, or 28 GB with its parts in turn",
        "the largest of these that was trained for inpainting",
    ),
    "qwen-image": Record(
        Repository(
            "Qwen/Qwen-Image",
            "75e0b4be04f60ec59a75f475837eced720f823b6",
            "Apache-2.0",
            "none",
            gigabytes=57.7,
        ),
        Options(side=1024, steps=50, guidance=4.0),
        "64 GB of GPU memory, or 48 GB with its parts in turn",
        "writes legible text; a base model, whose known latents are put back at every step",
    ),
    "z-image": Record(
        Repository(
            "Tongyi-MAI/Z-Image-Turbo",
            "f332072aa78be7aecdf3ee76d5c247082da564a6",
            "Apache-2.0",
            "none",
            gigabytes=33.0,
        ),
        Options(side=1024, steps=9, guidance=0.0),
        "24 GB of GPU memory, or 16 GB with its parts in turn",
        "nine steps without guidance, so quick for its size; a base model, whose known latents are put back",
    ),
}


def parsed(text: str) -> tuple[Loading, Options]:
    """What stands behind latent: as what to load and how to draw with it. Raises OutOfRange and InputError."""
    name, _, query = text.partition("?")
    pairs = parse_qsl(query, keep_blank_values=True)
    record = RECORDS.get(name)
    loading = _placed(name, record).turned([pair for pair in pairs if pair[0] in NAMES])
    options = (record.options if record else Options()).turned([pair for pair in pairs if pair[0] not in NAMES])
    if options.reference and loading.adapter is None:
        loading = replace(loading, adapter=Weighted(""))
    if loading.adapter is not None and not options.reference:
        raise OutOfRange("an adapter is given without a picture for it", hint="add reference=IMAGE")
    return loading, options


def given(text: str) -> set[str]:
    """The names of the options that somebody chose."""
    return {name for name, _ in parse_qsl(text.partition("?")[2], keep_blank_values=True)}


def _placed(name: str, record: Record | None) -> Loading:
    if record is not None:
        for folder in folders():  # brought along by `eraser models add`
            if (folder / name / "model_index.json").is_file():
                return Loading(str(folder / name), "folder")
        return Loading(record.repository.name, "repository", record.repository.revision)
    path = Path(name).expanduser()
    if path.is_dir():
        return Loading(str(path), "folder")
    if path.is_file() or path.suffix.lower() == ".safetensors":
        return Loading(unpickled(path), "file")
    if REPOSITORY.fullmatch(name):
        return Loading(name, "repository")
    return Loading(str(path), "folder")
