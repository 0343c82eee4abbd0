"""The page: Gradio carries what people do to the studio, and what the studio shows back."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from importlib import resources
from typing import Any

import eraser
from eraser import masks
from eraser.errors import EraserError, InputError, OutOfRange
from web_demo.desk import Settings
from web_demo.folders import Folders
from web_demo.studio import EXAMPLES, Limits, Studio, engine_choices
from web_demo.work import sentence

# before gradio is imported: it reads them then
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import gradio as gr

TITLE = "Magic eraser"
# gradio keeps rules given as css inside the page; these are about what lies round it
ROUND = """<style>
.gradio-container { max-width: 1180px !important; margin: 0 auto !important; padding: 4px !important; }
.gradio-container .main.app { padding: 12px !important; }
</style>"""
FONTS = ["system-ui", "sans-serif"]


def page_text(name: str) -> str:
    return (resources.files("web_demo") / name).read_text(encoding="utf-8")


def build(studio: Studio) -> gr.Blocks:
    """The page and its API. Nothing starts yet."""
    infos = eraser.engines()
    with_prompt = [info.name for info in infos if info.takes_prompt]
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        gr.HTML(
            "<h1>Magic eraser</h1><p>Paint over what disturbs, and it is gone. Your photo stays on the machine that "
            "runs this page.</p>",
            elem_id="title",
        )
        bench = gr.HTML(
            None,
            elem_id="bench",
            html_template="<div class='bench'></div>",
            js_on_load=page_text("bench.js"),
            apply_default_css=False,
            limits={"megabytes": studio.limits.megabytes},
            examples=[{"title": example.title, "credit": example.credit} for example in EXAMPLES],
            thumbs=[example_thumb(example.file) for example in EXAMPLES],
        )
        with gr.Accordion("Advanced", open=False, elem_id="advanced"), gr.Row():
            engine = gr.Dropdown(
                engine_choices(infos), value=studio.engine, label="Engine", info="Which program paints.", min_width=220
            )
            seed = gr.Number(
                0, label="Seed", info="Another number, another result.", precision=0, minimum=0, min_width=140
            )
            grow = gr.Textbox(
                "auto",
                label="Widen by",
                info="auto: a little, so that soft edges go as well. Or pixels; 0 is exactly what you painted.",
                max_length=8,
                min_width=220,
            )
            prompt = gr.Textbox(
                label="What is to be there instead", visible=studio.engine in with_prompt, max_length=500, min_width=220
            )
        if with_prompt:
            engine.change(
                lambda name: gr.Textbox(visible=name in with_prompt), engine, prompt, show_progress="hidden",
                api_visibility="private",
            )  # fmt: skip
        _wire(studio, page, bench, [engine, seed, grow, prompt])
        _api(studio)
    page.queue(default_concurrency_limit=None)  # the studio has the line
    return page


def _wire(studio: Studio, page: gr.Blocks, bench: Any, advanced: list[Any]) -> None:
    quietly: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple", "concurrency_limit": None,
    }  # fmt: skip

    async def open_photo(event: gr.EventData, request: gr.Request) -> Any:
        said = _said(event)
        return await studio.open(request.session_hash, said.get("path"), said.get("name"))

    async def take_example(event: gr.EventData, request: gr.Request) -> Any:
        return await studio.example(request.session_hash, _said(event).get("number"))

    async def go_to_step(event: gr.EventData, request: gr.Request) -> Any:
        return studio.go_to(request.session_hash, _said(event).get("number"))

    async def take_variation(event: gr.EventData, request: gr.Request) -> Any:
        return studio.take(request.session_hash, _said(event).get("number"))

    async def fetch_step(event: gr.EventData, request: gr.Request) -> Any:
        return await studio.download(request.session_hash, _said(event).get("number"))

    async def stop_work(request: gr.Request) -> None:
        studio.stop(request.session_hash)

    async def run_erase(
        engine: Any, seed: Any, grow: Any, prompt: Any, event: gr.EventData, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        views = studio.erase(request.session_hash, _said(event), lambda: _settings(engine, seed, grow, prompt))
        async with contextlib.aclosing(views):
            async for view in views:
                yield view

    async def run_extend(
        engine: Any, seed: Any, grow: Any, prompt: Any, event: gr.EventData, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        views = studio.extend(request.session_hash, _said(event), lambda: _settings(engine, seed, "auto", prompt))
        async with contextlib.aclosing(views):
            async for view in views:
                yield view

    async def leave(request: gr.Request) -> None:
        studio.left(request.session_hash)

    for name, work in [
        ("open_photo", open_photo), ("take_example", take_example), ("go_to_step", go_to_step),
        ("take_variation", take_variation), ("fetch_step", fetch_step),
    ]:  # fmt: skip
        getattr(bench, name)(work, None, bench, queue=False, **quietly)
    bench.stop_work(stop_work, None, None, queue=False, **quietly)
    bench.run_erase(run_erase, advanced, bench, **quietly)
    bench.run_extend(run_extend, advanced, bench, **quietly)
    page.unload(leave)


def _api(studio: Studio) -> None:
    """The endpoints /erase and /extend, which take files as they are and give files as they should be."""

    async def erase(
        image: str, mask: str, engine: str, seed: int, grow: str, prompt: str, progress: Any = gr.Progress()  # noqa: B008
    ) -> str:  # fmt: skip
        def make(session: eraser.Eraser, photo: Any) -> Any:
            if not mask:
                raise InputError("there is no mask", hint="send one as mask: white is erased")
            hole = masks.to_hole(mask, photo.size)
            return session.erase_steps(photo, hole, seed=seed, grow=_grow(grow), prompt=prompt or None)

        return await _answer(studio, image, make, engine, "erased", progress)

    async def extend(
        image: str, left: str, top: str, right: str, bottom: str, aspect: str, engine: str, seed: int, prompt: str,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> str:  # fmt: skip
        def make(session: eraser.Eraser, photo: Any) -> Any:
            return session.outpaint_steps(
                photo, left=left or 0, top=top or 0, right=right or 0, bottom=bottom or 0, aspect=aspect or None,
                seed=seed, prompt=prompt or None,
            )  # fmt: skip

        return await _answer(studio, image, make, engine, "extended", progress)

    with gr.Row(visible=False):
        image = gr.File(label="image", type="filepath")
        mask = gr.File(label="mask", type="filepath")
        engine = gr.Textbox(studio.engine, label="engine")
        seed = gr.Number(0, label="seed", precision=0)
        grow = gr.Textbox("auto", label="grow")
        prompt = gr.Textbox("", label="prompt")
        left, top, right, bottom = (gr.Textbox("", label=name) for name in ("left", "top", "right", "bottom"))
        aspect = gr.Textbox("", label="aspect")
        result = gr.File(label="result")
        gr.Button().click(
            erase, [image, mask, engine, seed, grow, prompt], result, api_name="erase", concurrency_limit=None,
            api_description="The photo without what the mask marks: a file of the same kind, depth and profile.",
        )  # fmt: skip
        gr.Button().click(
            extend, [image, left, top, right, bottom, aspect, engine, seed, prompt], result, api_name="extend",
            concurrency_limit=None,
            api_description="The photo continued beyond its sides, by pixels, percent or to a shape like 16:9.",
        )  # fmt: skip


async def _answer(studio: Studio, image: str, make: Callable[..., Any], engine: str, ending: str, progress: Any) -> str:
    try:
        return await studio.answer(
            image, make, engine=engine or studio.engine, ending=ending,
            tell=lambda fraction, note: progress(fraction, desc=note),
        )  # fmt: skip
    except EraserError as error:
        raise gr.Error(sentence(error, (str(studio.folders.root), "")), print_exception=False) from None


def _said(event: gr.EventData) -> dict[str, Any]:
    said = event._data
    return said if isinstance(said, dict) else {}


def _settings(engine: Any, seed: Any, grow: Any, prompt: Any) -> Settings:
    """The Advanced fold. Raises OutOfRange."""
    return Settings(str(engine or "auto"), int(seed or 0), _grow(grow), prompt or None)


def _grow(text: Any) -> masks.Grow:
    text = str(text or "auto").strip().lower()
    try:
        return "auto" if text == "auto" else float(text)
    except ValueError:
        raise OutOfRange(f'the hole is to be widened by "{text:.20}"', hint="give auto or a number of pixels") from None


def example_thumb(name: str) -> str:
    """A small picture as a data URL."""
    import base64
    import io

    from PIL import Image

    with (resources.files("eraser") / "data" / name).open("rb") as file:
        image = Image.open(file).convert("RGB")
        image.thumbnail((240, 160))
        memory = io.BytesIO()
        image.save(memory, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(memory.getvalue()).decode()


@contextlib.contextmanager
def running(
    *,
    host: str = "127.0.0.1",
    port: int | None = None,
    engine: str = "auto",
    limits: Limits | None = None,
    share: bool = False,
    folders: Folders | None = None,
) -> Iterator[tuple[str, Studio]]:
    """(address, studio) of a server that runs until the block ends, and then leaves no file behind.

    port None takes the first free one from 7860. Raises OutOfRange where the port is taken.
    """
    limits = limits or Limits()
    studio = Studio(limits, engine=engine, folders=folders)
    os.environ["GRADIO_TEMP_DIR"] = str(studio.folders.uploads)
    page = None
    try:
        page = build(studio)
        studio.start()
        try:
            _, local, public = page.launch(
                server_name=host, server_port=port, share=share, prevent_thread_lock=True, quiet=True,
                ssr_mode=False, footer_links=[], run_history=False, enable_monitoring=False, pwa=False,
                max_file_size=int(limits.megabytes * 1_000_000), show_error=True, inbrowser=False,
                css=page_text("bench.css"), head=ROUND, theme=gr.themes.Soft(font=FONTS, font_mono=["monospace"]),
                favicon_path=str(resources.files("web_demo") / "icon.svg"),
            )  # fmt: skip
        except OSError as error:
            raise OutOfRange(
                f"the port {port or 7860} on {host} cannot be used", hint="choose another --port"
            ) from error
        yield (public or local), studio
    finally:
        studio.close()
        if page is not None:
            page.close(verbose=False)


def serve(
    *, host: str, port: int | None, engine: str, limits: Limits, share: bool, announce: Callable[[str], None]
) -> None:
    """Run until Ctrl-C or SIGTERM."""
    logging.getLogger("httpx").setLevel(logging.WARNING)

    def end(*_: object) -> None:
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, end)
    try:
        with running(host=host, port=port, engine=engine, limits=limits, share=share) as (address, _):
            announce(address)
            with contextlib.suppress(KeyboardInterrupt):
                while True:
                    time.sleep(3600)
    finally:
        signal.signal(signal.SIGTERM, previous)


__all__ = ["Limits", "build", "running", "serve"]
