"""Where a pipeline's parts lie while it computes, and what is said when memory runs out."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from eraser.errors import OutOfMemory


def move_to_gpu(pipeline: Any) -> str:
    """Bring the pipeline's parts to the GPU, or have them brought in turn; says which."""
    import torch

    size = sum(
        parameter.nbytes
        for part in pipeline.components.values()
        if isinstance(part, torch.nn.Module)
        for parameter in part.parameters()
    )
    # half as much again for what is computed
    if 1.5 * size > torch.cuda.mem_get_info()[0]:
        pipeline.enable_model_cpu_offload()
        return "GPU, its parts in turn"
    pipeline.to("cuda")
    return "GPU"


@contextlib.contextmanager
def memory() -> Iterator[None]:
    """A GPU whose memory runs out is told as OutOfMemory, and what it had left over is given back."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        raise OutOfMemory(
            "the GPU's memory ran out while the model was drawing",
            hint="close other programs on it, ask for a smaller side (latent:NAME?side=768), or set ERASER_DEVICE=cpu",
        ) from error
