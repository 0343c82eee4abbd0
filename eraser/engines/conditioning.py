"""What is known, kept at every step for models that are not told the hole: near its rim latents are let go later.

diffusers puts the known latents, renoised to the step's level, back outside the hole after every step. On top of that
latents inside the hole but near its rim follow the picture that the drawing starts from (the emptied scene, or a smooth
continuation) for the first steps, the longer the nearer they are: the mask shrinks to what is known, as in differential
diffusion (Levin & Fried 2023, arXiv 2306.00950), so that what is drawn grows out of what is there.
"""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Any

import numpy as np

LATEST = 0.3  # of the steps, after which all of the hole is free
BAND = 3.0  # latents from the rim, within which it is not free from the start
VARIABLES = ("image_latents", "noise", "mask", "timesteps")  # of diffusers' inpainting loops


@dataclass(frozen=True, slots=True)
class Keeping:
    """hold (h, w) float32: the share of the steps through which a latent follows what was there, 0 for none."""

    hold: np.ndarray

    def after(self, pipeline: Any, index: int, tensors: dict[str, Any]) -> Any:
        """The latents after step `index`, those still held being what was there at the next step's noise level."""
        import torch

        latents, timesteps = tensors["latents"], tensors["timesteps"]
        share = (index + 1) / len(timesteps)
        held = self.hold > share
        if index + 1 == len(timesteps) or not held.any():
            return latents
        level = timesteps[index + 1].reshape(1)
        scheduler = pipeline.scheduler
        if hasattr(scheduler, "scale_noise"):
            there = scheduler.scale_noise(tensors["image_latents"], level, tensors["noise"])
        else:
            there = scheduler.add_noise(tensors["image_latents"], tensors["noise"], level)
        where = torch.from_numpy(held).to(latents.device)[None, None]
        if latents.ndim == 3:
            where = packed(where, latents.shape[2] // 4)
        return torch.where(where, there.to(latents.dtype), latents)


def is_blind(pipeline: Any) -> bool:
    """Whether the pipeline's network is not told the hole, and its loop can be told what to keep."""
    loop = inspect.unwrap(type(pipeline).__call__)
    if not set(VARIABLES) <= set(loop.__code__.co_varnames):
        return False
    network = getattr(pipeline, "unet", None) or pipeline.transformer
    own = getattr(pipeline.vae.config, "latent_channels", None) or getattr(pipeline.vae.config, "z_dim", None)
    return own is not None and int(network.config.in_channels) in (own, 4 * own)  # 4: packed


def let_variables_out(pipeline: Any) -> list[str]:
    """Has a copy of a pipeline hand these to its callback, besides the latents; returns their names."""
    names = ["latents", *VARIABLES]
    object.__setattr__(pipeline, "_callback_tensor_inputs", [*type(pipeline)._callback_tensor_inputs, *VARIABLES])
    return names


def in_latents(hole: np.ndarray, factor: int) -> np.ndarray:
    """(H, W) bool -> (H / factor, W / factor): latents of which any pixel is to be drawn."""
    height, width = hole.shape
    latents: np.ndarray = np.any(hole.reshape(height // factor, factor, width // factor, factor), axis=(1, 3))
    return latents


def hold(hole: np.ndarray) -> np.ndarray:
    """For how long to hold each latent of the hole (h, w): LATEST at the rim, falling to 0 within BAND latents, or
    within the depth of its part of the hole where that is less."""
    from scipy import ndimage

    if hole.all():
        return np.zeros(hole.shape, np.float32)
    beyond = ndimage.distance_transform_edt(hole) - 1
    labels, count = ndimage.label(hole, np.ones((3, 3)))
    deepest = np.concatenate([[0], ndimage.maximum(beyond, labels, np.arange(1, count + 1))]) if count else np.zeros(1)
    band = np.minimum(BAND, deepest)[labels]
    share = np.where(band > 0, 1 - beyond / np.maximum(band, 1e-6), 0)
    return np.where(hole, LATEST * np.clip(share, 0, 1), 0).astype(np.float32)


def packed(where: Any, channels: int) -> Any:
    """(1, 1, h, w) -> (1, h/2 * w/2, 4 * channels), as FLUX and its like lay latents out."""
    height, width = where.shape[2:]
    blocks = where.expand(1, channels, height, width).reshape(1, channels, height // 2, 2, width // 2, 2)
    return blocks.permute(0, 2, 4, 1, 3, 5).reshape(1, height // 2 * (width // 2), 4 * channels)
