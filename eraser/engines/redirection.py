"""Self-attention that looks away from the hole, so that a removal continues the picture there and not the hole itself.

Sun et al. 2024 (arXiv 2412.12974), from the idea: in the later layers of a U-Net no place takes anything from what lies
in the hole, places in the hole attend more evenly at first, and guidance leads from the network left alone to the one
that looks away. Guidance has both in one batch already, so this costs no call of the network: the half that follows the
words looks away, the half that shuns them does not.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import numpy as np

EVEN = 0.3  # what similarities of places in the hole are multiplied by at first
EVEN_UNTIL = 0.18  # of the steps


class Redirection:
    """What one run's attention looks away from.

    hole  (h, w) bool, of latents · share  of the self-attention layers, counted from the last
    guided  whether the first half of the batch is to be left alone
    """

    def __init__(self, hole: np.ndarray, share: float, guided: Callable[[], bool]) -> None:
        self.share, self.guided = share, guided
        self.done = 0.0  # of the steps
        self._hole = hole
        self._places: dict[tuple[int, str], tuple[Any, Any] | None] = {}

    def places(self, tokens: int, device: Any) -> tuple[Any, Any] | None:
        """(indices of places that may be looked at, indices of the others) for a layer of so many places; None where
        nothing is to be looked away from, or nothing else is there."""
        key = tokens, str(device)
        if key not in self._places:
            self._places[key] = self._split(tokens, device)
        return self._places[key]

    def _split(self, tokens: int, device: Any) -> tuple[Any, Any] | None:
        import torch

        hole = at_resolution(self._hole, tokens)
        if hole is None or hole.all() or not hole.any():
            return None
        flat = torch.from_numpy(hole.ravel()).to(device)
        return (~flat).nonzero()[:, 0], flat.nonzero()[:, 0]


class RedirectedAttention:
    """A processor of diffusers' that has the one it replaces do the work, told where to look by the thread's run.

    Threads that share a network do not disturb each other: a thread without a Redirection gets what it always got.
    """

    def __init__(self, stock: Any = None, here: threading.local | None = None, depth: float = 0.0) -> None:
        """depth: the layer's place, up to 1 for the last."""
        if stock is None:  # diffusers makes processors anew by their class when an adapter is loaded
            from diffusers.models.attention_processor import AttnProcessor2_0

            stock = AttnProcessor2_0()
        self.stock, self.here, self.depth = stock, here, depth

    def __call__(
        self,
        attn: Any,
        hidden_states: Any,
        encoder_hidden_states: Any = None,
        attention_mask: Any = None,
        temb: Any = None,
        *rest: Any,
        **more: Any,
    ) -> Any:
        run: Redirection | None = getattr(self.here, "redirection", None)
        last = (temb, *rest) if temb is not None or rest else ()  # which the processors of slices do not take
        places = None
        if run is not None and encoder_hidden_states is None and attention_mask is None and hidden_states.ndim == 3:
            places = run.places(hidden_states.shape[1], hidden_states.device) if self.depth > 1 - run.share else None
        if run is None or places is None:
            return self.stock(attn, hidden_states, encoder_hidden_states, attention_mask, *last, **more)
        batch = len(hidden_states)
        alone = batch // 2 if run.guided() and batch % 2 == 0 else 0
        looking = hidden_states[alone:]
        # keys and values of the places outside the hole alone: the others cannot have any weight
        outside = looking[:, places[0]]
        if run.done < EVEN_UNTIL and attn.to_q.bias is None and attn.norm_q is None:
            looking = looking.clone()
            looking[:, places[1]] *= EVEN  # queries are linear in it, and similarities in queries
        away = self.stock(attn, looking, outside, None, *last, **more)
        if not alone:
            return away
        import torch

        left = self.stock(attn, hidden_states[:alone], None, None, *last, **more)
        return torch.cat([left, away])


def install(network: Any, here: threading.local) -> int:
    """Have a U-Net's self-attention ask `here.redirection` where to look; the number of layers that do.

    May be called again, as loading an adapter or slicing attention puts other processors in.
    """
    layers = self_attention(network)
    for number, layer in enumerate(layers):
        processor = layer.processor
        if not isinstance(processor, RedirectedAttention):
            layer.set_processor(RedirectedAttention(processor, here, (number + 1) / len(layers)))
        elif processor.here is not here:
            layer.set_processor(RedirectedAttention(processor.stock, here, (number + 1) / len(layers)))
    return len(layers)


def self_attention(network: Any) -> list[Any]:
    """A U-Net's self-attention layers in the order in which they compute."""
    from diffusers.models.attention_processor import Attention

    parts = "down_blocks", "mid_block", "up_blocks"
    found = [
        (parts.index(name.split(".")[0]), layer)
        for name, layer in network.named_modules()
        if name.endswith("attn1") and name.split(".")[0] in parts and isinstance(layer, Attention)
    ]
    return [layer for _, layer in sorted(found, key=lambda pair: pair[0])]


def at_resolution(hole: np.ndarray, tokens: int) -> np.ndarray | None:
    """hole (h, w) bool at the resolution that has so many places, halved as strided convolutions do; None if none has.

    A place that holds any of the hole is of it.
    """
    while hole.size > tokens:
        height, width = hole.shape
        even = np.pad(hole, ((0, height % 2), (0, width % 2)))
        hole = np.asarray(np.any(even.reshape(-(-height // 2), 2, -(-width // 2), 2), axis=(1, 3)))
    return hole if hole.size == tokens else None
