"""What the page is told: everything that it draws, as JSON."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

from web_demo import screen
from web_demo.desk import Desk, Step
from web_demo.runs import Run
from web_demo.tasks import Erasing

View = dict[str, Any]
PICTURES = "/pictures/"


def picture_url(path: Path) -> str:
    """Of a file on a desk: the desk's secret name, the step's number, the file's name."""
    return PICTURES + "/".join(quote(part) for part in path.parts[-3:])


def desk_view(desk: Desk) -> View:
    """The picture, the steps, the variations."""
    view: View = {
        "key": desk.folder.name,
        "photo": _photo(desk),
        "steps": [_thumb(each) for each in sorted(desk.steps.values(), key=lambda each: each.number)],
        "variations": [_thumb(each) | {"part": _part(each)} for each in desk.variations],
        "current": desk.current,
    }
    return view


def _photo(desk: Desk) -> View | None:
    step = desk.step
    if step is None:
        return None
    parent = desk.steps.get(step.parent or 0)
    copy = screen.screen_size(step.size)
    return {
        "url": picture_url(step.copy),
        "before": picture_url(parent.copy) if parent is not None and parent.size == step.size else "",
        "width": step.size.width,
        "height": step.size.height,
        "copyWidth": copy.width,
        "copyHeight": copy.height,
        "name": desk.name,
        "facts": desk.facts,
    }


def _thumb(step: Step) -> View:
    label = step.label if not step.seconds else f"{step.label}, seed {step.seed}, {step.seconds:.1f} s"
    return {
        "number": step.number,
        "label": label,
        "title": step.label,
        "thumb": picture_url(step.thumb),
        "url": picture_url(step.copy),
    }


def _part(step: Step) -> View:
    """What to show of a variation, in shares of the picture."""
    if not isinstance(step.task, Erasing):
        return {"x": 0, "y": 0, "width": 1, "height": 1}
    height, width = step.task.mask.shape
    part = step.task.part()
    return {"x": part.x / width, "y": part.y / height, "width": part.width / width, "height": part.height / height}


def busy_view(run: Run) -> View:
    """How far the work is."""
    news = run.news
    text = news.note or "starting"
    if news.ahead:
        text = f"waiting, {news.ahead} {'job comes' if news.ahead == 1 else 'jobs come'} first"
    return {
        "text": f"{run.words}: {text}" if run.words else f"{text[:1].upper()}{text[1:]}",
        "fraction": news.fraction,
        "ahead": news.ahead,
        "ticket": run.ticket,
        "preview": None,
    }


async def preview_view(run: Run) -> View | None:
    """What the fill looks like by now, and where it lies, in shares of the whole result."""
    if run.preview is None:
        return None
    values, box = run.preview
    whole = run.whole
    x, y, width, height = (box.x, box.y, box.width, box.height) if box else (0, 0, whole.width, whole.height)
    return {
        "url": await asyncio.to_thread(screen.preview_url, values),
        "x": x / whole.width, "y": y / whole.height,
        "width": width / whole.width, "height": height / whole.height,
    }  # fmt: skip
