"""A studio without a server, and what a page sends it."""

from __future__ import annotations

import base64
import io
from collections.abc import AsyncGenerator
from typing import Any

import numpy as np
from PIL import Image

from web_demo.studio import Studio


def mask_png(alpha: np.ndarray, x: int = 0, y: int = 0) -> dict[str, Any]:
    memory = io.BytesIO()
    Image.merge("LA", [Image.new("L", alpha.shape[::-1], 255), Image.fromarray(alpha)]).save(memory, "PNG")
    return {"x": x, "y": y, "png": "data:image/png;base64," + base64.b64encode(memory.getvalue()).decode()}


async def last(views: AsyncGenerator[Any, None]) -> Any:
    return [view async for view in views][-1]


def send(studio: Studio, pixels: np.ndarray, name: str = "photo.png") -> dict[str, Any]:
    """An upload, as the page tells of it."""
    folder = studio.folders.new_answer()
    Image.fromarray(pixels).save(folder / name)
    return {"path": str(folder / name), "name": name}


SPOT = {"mask": mask_png(np.full((4, 4), 255, np.uint8), 9, 9)}
LARGE = {"mask": mask_png(np.full((200, 200), 255, np.uint8), 100, 100)}
