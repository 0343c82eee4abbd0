"""What driving a diffusion model costs over diffusers alone: time of a step and peak memory.

    python -m benchmarks.overhead [--side 256] [--steps 5] [--rounds 3] [--channels 9]

The U-Net is Stable Diffusion 1.5's at full size with random weights, on the CPU; its words and its autoencoder, which
no step uses, are miniatures. Every measurement has a process of its own, diffusers alone and ours in turn. The
processor's time is told beside the clock's, because other work on the machine does not add to it.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

WAYS = "diffusers", "diffusers, memory kept", "ours", "ours, looking away"
PROMPT = "empty scene", "object"


def build(folder: Path, channels: int) -> None:
    import torch
    from diffusers import AutoencoderKL, StableDiffusionInpaintPipeline, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    from tests.miniature_pipelines import scheduler, tokenizer

    torch.manual_seed(0)
    words = tokenizer(folder.with_name("words"))
    kind = StableDiffusionInpaintPipeline if channels == 9 else StableDiffusionPipeline
    kind(
        vae=AutoencoderKL(
            block_out_channels=(16, 16, 32, 32),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            latent_channels=4,
            norm_num_groups=8,
        ),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(vocab_size=len(words), hidden_size=768, num_hidden_layers=1, num_attention_heads=12)
        ),
        tokenizer=words,
        unet=UNet2DConditionModel(sample_size=64, in_channels=channels, cross_attention_dim=768),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


def measure(way: str, folder: str, side: int, steps: int) -> dict[str, Any]:
    """Seconds of every step but the first, by the clock and by the processor, and the most memory, in bytes."""
    if way != "diffusers":
        from eraser.engines.heap import KEEP, keep_freed_memory, share_one_arena

        os.environ.setdefault(KEEP, "1")  # as the command does
        share_one_arena()
        keep_freed_memory()
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    picture = np.random.default_rng(0).uniform(-1, 1, (side, side, 3)).astype(np.float32)
    hole = np.zeros((side, side), bool)
    hole[side // 4 : 3 * side // 4, side // 4 : 3 * side // 4] = True
    marks = []

    def mark() -> None:
        marks.append((time.perf_counter(), time.process_time()))

    if way.startswith("diffusers"):
        alone(folder, picture, hole, steps, mark)
    else:
        driven(folder, picture, hole, steps, mark, redirect=0.51 if "away" in way else 0.0)
    spans = np.diff(np.array(marks), axis=0)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return {"clock": spans[:, 0].tolist(), "processor": spans[:, 1].tolist(), "memory": peak}


def alone(folder: str, picture: np.ndarray, hole: np.ndarray, steps: int, mark: Any) -> None:
    import torch
    from diffusers import AutoPipelineForInpainting
    from PIL import Image

    pipeline = AutoPipelineForInpainting.from_pretrained(folder, local_files_only=True, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)

    def at_step(_: Any, __: int, ___: Any, tensors: dict[str, Any]) -> dict[str, Any]:
        mark()
        return tensors

    pipeline(
        prompt=PROMPT[0],
        negative_prompt=PROMPT[1],
        image=Image.fromarray(np.rint((picture + 1) * 127.5).astype(np.uint8)),
        mask_image=Image.fromarray(hole.astype(np.uint8) * 255),
        height=hole.shape[0],
        width=hole.shape[1],
        num_inference_steps=steps,
        strength=1.0,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
        callback_on_step_end=at_step,
    )


def driven(folder: str, picture: np.ndarray, hole: np.ndarray, steps: int, mark: Any, *, redirect: float) -> None:
    from eraser.engines.base import EngineInfo
    from eraser.engines.latent import load
    from eraser.engines.latent_records import Options
    from eraser.engines.painter import Scene, Wish

    engine = load(EngineInfo(name="latent", summary="", licence=""), folder)
    wish = Wish(*PROMPT, (0,), 1.0, redirect)
    reached = 0
    for done, latents in engine._painter.steps(Scene(picture, hole, *hole.shape), wish, Options(steps=steps)):
        if latents is not None and done > reached:
            reached = done
            mark()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--channels", type=int, default=9, choices=(4, 9))
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--folder", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.way:
        print(json.dumps(measure(asked.way, asked.folder, asked.side, asked.steps)))
        return
    found: dict[str, dict[str, list[float]]] = {way: {"clock": [], "processor": [], "memory": []} for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "checkpoint"
        build(folder, asked.channels)
        for _ in range(asked.rounds):
            for way in WAYS:
                told = ["--side", str(asked.side), "--steps", str(asked.steps), "--way", way, "--folder", str(folder)]
                command = [sys.executable, "-W", "ignore", "-m", "benchmarks.overhead", *told]
                output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
                result = json.loads(output.splitlines()[-1])
                found[way]["clock"] += result["clock"]
                found[way]["processor"] += result["processor"]
                found[way]["memory"].append(result["memory"])
    print(f"{asked.side}x{asked.side}, {asked.channels} channels, {asked.rounds} rounds of {asked.steps} steps")
    print(f"load average {os.getloadavg()[0]:.1f}, {len(os.sched_getaffinity(0))} processors\n")
    print("| | step, clock | step, processor | over diffusers | memory | over diffusers |\n|---|---|---|---|---|---|")
    base = {name: statistics.median(values) for name, values in found[WAYS[0]].items()}
    for way, values in found.items():
        clock, processor, memory = (statistics.median(values[name]) for name in ("clock", "processor", "memory"))
        over = (
            f"{processor / base['processor'] - 1:+.1%} | {memory / 2**30:.2f} GiB | {memory / base['memory'] - 1:+.1%}"
        )
        print(f"| {way} | {clock:.2f} s | {processor:.2f} s | {over} |")


if __name__ == "__main__":
    main()
