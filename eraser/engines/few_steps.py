"""Checkpoints that were taught to draw in few steps, known by their names and schedulers, and what they want."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from eraser import hub
from eraser.engines.latent_records import RECORDS, Options, given
from eraser.engines.loading import Loading


@dataclass(frozen=True, slots=True)
class FewSteps:
    """What a distilled model is to be asked for. guidance up to 1 leaves the negative words out."""

    method: str
    steps: int
    guidance: float | None  # None: as for the model that it was made from
    sampler: str = ""  # of attachments.SAMPLERS; "" for the checkpoint's own


# Luo et al. 2023 (arXiv:2310.04378, 2311.05556) · Sauer et al. 2023 (2311.17042) · Lin et al. 2024 (2402.13929) ·
# Ren et al. 2024 (2404.13686) · Zheng et al. 2024 (2402.19159) · Yin et al. 2024 (2405.14867)
METHODS = {
    "lcm": FewSteps("LCM", 6, 1.5, "lcm"),
    "turbo": FewSteps("Turbo", 4, 0.0),
    "lightning": FewSteps("Lightning", 4, 0.0, "euler-trailing"),
    "hyper": FewSteps("Hyper", 8, 0.0, "ddim-trailing"),
    "tcd": FewSteps("TCD", 4, 0.0, "tcd"),
    "dmd2": FewSteps("DMD2", 4, 0.0, "lcm"),
    "schnell": FewSteps("schnell", 4, 0.0),
}
# words by themselves: a look called "hyperrealistic" or "turbocharged" is none of these
WORD = re.compile(r"(?<![a-z])(lcm|turbo|lightning|hyper(?=[-_ ]?(?:sd|flux|\d))|tcd|dmd2|schnell)(?![a-z])")
STEPS = re.compile(r"(?<!\d)(\d{1,2})[-_ ]?steps?(?![a-z])")
CONFIGS = (
    ("scheduler/scheduler_config.json",),
    ("unet/config.json", "transformer/config.json"),
    (hub.INDEX,),
)
SCHEDULERS = {"LCMScheduler": "lcm", "TCDScheduler": "tcd"}
EMBEDDED = 7.5
Z_IMAGE_STEPS = 9


def applied(what: str, loading: Loading, options: Options) -> tuple[Loading, Options, FewSteps | None]:
    """What to load and how to draw, turned to what a distilled checkpoint or LoRA wants where nobody chose otherwise.

    what: as written behind latent:, which tells what somebody chose
    """
    few = _found(what, loading)
    if few is None:
        return loading, options, None
    chosen = given(what)
    wanted = {"steps": few.steps, "guidance": few.guidance}
    changes: dict[str, Any] = {
        name: value for name, value in wanted.items() if value is not None and name not in chosen
    }
    if few.sampler and not loading.sampler:
        loading = replace(loading, sampler=few.sampler)
    return loading, replace(options, **changes), few


def recognised(names: Iterable[str], scheduler: str = "") -> FewSteps | None:
    """What the names of a checkpoint and of its LoRA files say, or its scheduler's class; None for an ordinary one."""
    for name in names:
        text = name.lower()
        if (found := WORD.search(text)) is None:
            continue
        method = METHODS[found[1]]
        told = STEPS.search(text)
        return replace(method, steps=int(told[1])) if told and 1 <= int(told[1]) <= 16 else method
    return METHODS.get(SCHEDULERS.get(scheduler, ""))


def _found(what: str, loading: Loading) -> FewSteps | None:
    name = Path(loading.place).stem if loading.kind == "file" else Path(loading.place).name
    # a record of ours has its numbers already
    names = [] if what.partition("?")[0] in RECORDS else [name]
    names += [Path(lora.file).stem for lora in loading.loras]
    scheduler, denoiser, kind = (_said(loading, file) for file in CONFIGS)
    few = recognised(names, str(scheduler.get("_class_name", "")))
    if few is None:
        return None
    if "ZImage" in str(kind.get("_class_name", "")) and few.method == "Turbo":
        return replace(few, steps=Z_IMAGE_STEPS)
    if denoiser.get("time_cond_proj_dim"):  # a consistency model that is no LoRA takes guidance as an input
        few = replace(few, guidance=EMBEDDED)
    if denoiser.get("guidance_embeds"):  # so does FLUX, whatever its steps
        few = replace(few, guidance=None)
    flows = str(scheduler.get("_class_name", "")).startswith("FlowMatch")
    return replace(few, sampler="") if flows else few


def _said(loading: Loading, names: tuple[str, ...]) -> dict[str, Any]:
    """A config of the checkpoint, {} where there is none to read."""
    folder = hub.snapshot(loading.place, loading.revision) if loading.kind == "repository" else Path(loading.place)
    for name in names:
        with contextlib.suppress(OSError, ValueError):
            if folder is not None and isinstance(said := json.loads((folder / name).read_text(encoding="utf-8")), dict):
                return said
    return {}
