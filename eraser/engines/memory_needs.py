"""How much memory a pipeline needs: its weights, counted, and what is computed from them, estimated."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

GB = 1 << 30
# Tensors of one layer's size that are alive at once. Measured by the tests on diffusers' own networks: they must not be
# fewer than what is counted there, and not more than three times as many.
UNET_COPIES = 30  # of the first level's features: skips, a residual block, attention with its feed-forward
TRANSFORMER_COPIES = 24  # of the tokens: queries, keys, values and the feed-forward's four widths
DECODER_COPIES = 4  # of the last level's features, twice as many channels as it ends with
TILE = 512  # pixels: the side of what autoencoders decode at once when they are told to use tiles
WORDS = 512  # tokens of a prompt beside those of the picture


@dataclass(frozen=True, slots=True)
class Needs:
    """Bytes."""

    parts: dict[str, int]  # weights, by the pipeline's parts
    layer: int  # the largest single layer's weights
    drawing: int  # computed in a step, at the trained side
    decoding: int  # computed when the picture is decoded
    tile: int  # the same when it is decoded in tiles


def needs(pipeline: Any, side: int = 0) -> Needs:
    """For a drawing of `side` pixels, or of the size that the model was trained at. Guidance doubles every step."""
    parts = parts_of(pipeline)
    weights = {name: sum(tensor.nbytes for tensor in tensors_of(part)) for name, part in parts.items()}
    layers = [
        sum(tensor.nbytes for tensor in module.parameters(recurse=False))
        for part in parts.values()
        for module in part.modules()
    ]
    net = parts.get("unet", parts.get("transformer"))
    factor = int(pipeline.vae_scale_factor)
    size = getattr(net.config, "sample_size", None) if net is not None else None
    side = side or int(size if isinstance(size, int) else 128) * factor
    itemsize = next((tensor.element_size() for tensor in tensors_of(parts["vae"])), 4)
    tiled = min(side, TILE)
    return Needs(
        weights,
        max(layers, default=0),
        drawing(net, side, factor, itemsize),
        decoding(pipeline.vae.config, side, itemsize),
        decoding(pipeline.vae.config, tiled, itemsize),
    )


def drawing(net: Any, side: int, factor: int, itemsize: int, batch: int = 2) -> int:
    """Bytes of what a denoiser computes, at most at a time."""
    config = net.config
    if (blocks := getattr(config, "block_out_channels", None)) is not None:
        return (side // factor) ** 2 * blocks[0] * itemsize * batch * UNET_COPIES
    tokens = (side // factor // 2) ** 2 + WORDS
    return tokens * width(config) * itemsize * batch * TRANSFORMER_COPIES


def width(config: Any) -> int:
    """Numbers per token of a transformer."""
    if getattr(config, "num_attention_heads", None) and getattr(config, "attention_head_dim", None):
        return int(config.num_attention_heads) * int(config.attention_head_dim)
    return int(getattr(config, "dim", 0) or 4096)


def decoding(config: Any, side: int, itemsize: int) -> int:
    """Bytes of what an autoencoder computes for a picture, at most at a time."""
    blocks = getattr(config, "block_out_channels", None)
    channels = blocks[0] if blocks else getattr(config, "base_dim", 128)
    return int(side**2 * 2 * channels * itemsize * DECODER_COPIES)


def parts_of(pipeline: Any) -> dict[str, Any]:
    """The pipeline's networks by their names."""
    import torch

    return {name: part for name, part in pipeline.components.items() if isinstance(part, torch.nn.Module)}


def tensors_of(part: Any) -> list[Any]:
    return [*part.parameters(), *part.buffers()]
