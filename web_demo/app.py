"""The page: Gradio carries what people do to the studio, and what the studio shows back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr

import eraser
from eraser import weights
from eraser.engines import registry
from web_demo.calls import Calls
from web_demo.studio import EXAMPLES, Studio
from web_demo.tasks import settings

TITLE = "Magic eraser"
# gradio keeps rules given as css inside the page; these are about what lies round it
ROUND = """<style>
.gradio-container { width: 100%; max-width: 1180px !important; margin: 0 auto !important; padding: 4px !important; }
.gradio-container .main.app { padding: 12px !important; }
</style>"""
FONTS = ["system-ui", "sans-serif"]


# one script, in this order; each part sees what those before it define
SCRIPTS = ("tools", "parts", "talk", "close", "show", "paint", "frame", "arrive")


def page_text(name: str) -> str:
    return (resources.files("web_demo") / name).read_text(encoding="utf-8")


def script() -> str:
    return "\n".join(page_text(f"bench/{name}.js") for name in SCRIPTS)


class Page(gr.Blocks):
    """Blocks to which nobody can give a file but by sending it.

    Gradio takes a path of any file in its folder, and fetches any address, from whoever names it as an input.
    """

    is_upload: Callable[[Path], bool]

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *rest: Any, **more: Any) -> Any:
        for path in _paths(inputs):
            if not self.is_upload(Path(path)):
                raise gr.Error(
                    "That is no file that was sent here. Send the file itself, not its address.", print_exception=False
                )
        return await super().preprocess_data(block_fn, inputs, *rest, **more)


def _paths(value: Any) -> Iterator[str]:
    """Of all files that are named anywhere inside."""
    if isinstance(value, dict):
        if isinstance(value.get("path"), str):
            yield value["path"]
        for each in value.values():
            yield from _paths(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _paths(each)


def build(studio: Studio) -> gr.Blocks:
    """The page and its API. Nothing starts yet."""
    infos = eraser.engines()
    offered = registry.open_to_others(studio.engine)
    with_prompt = [info.name for info in infos if info.takes_prompt and info.name in offered]
    chosen = studio.engine.partition(":")[0]
    with Page(title=TITLE, analytics_enabled=False, fill_width=True) as page:
        page.is_upload = studio.folders.is_upload
        gr.HTML(
            "<h1>Magic eraser</h1><p>Paint over what disturbs, and it is gone. Your photo stays on the machine that "
            "runs this page.</p>",
            elem_id="title",
        )
        bench = gr.HTML(
            None,
            elem_id="bench",
            html_template="<div class='bench'></div>",
            js_on_load=script(),
            apply_default_css=False,
            limits={"megabytes": studio.limits.megabytes},
            examples=[{"title": example.title, "credit": example.credit} for example in EXAMPLES],
            thumbs=[example_thumb(example.file) for example in EXAMPLES],
        )
        with gr.Accordion("Advanced", open=False, elem_id="advanced"), gr.Row():
            engine = gr.Dropdown(
                engine_choices(infos, offered, chosen),
                value=chosen,
                label="Engine",
                info="Which program paints.",
                min_width=220,
            )
            # no minimum and no precision: Gradio would refuse in words of its own, which the page does not hear
            seed = gr.Number(0, label="Seed", info="Another number, another result.", min_width=140)
            grow = gr.Textbox(
                "auto",
                label="Widen by",
                info="auto: a little, so that soft edges go as well. Or pixels; 0 is exactly what you painted.",
                max_length=8,
                min_width=220,
            )
            prompt = gr.Textbox(
                label="What is to be there instead", visible=chosen in with_prompt, max_length=500, min_width=220
            )
        if with_prompt:
            engine.change(
                lambda name: gr.Textbox(visible=name in with_prompt), engine, prompt, show_progress="hidden",
                api_visibility="private",
            )  # fmt: skip
        calls = Calls(studio)
        _wire(studio, calls, page, bench, [engine, seed, grow, prompt])
        _api(calls)
    return page


def _wire(studio: Studio, calls: Calls, page: gr.Blocks, bench: Any, advanced: list[Any]) -> None:
    quietly: dict[str, Any] = {
        "show_progress": "hidden", "api_visibility": "private", "trigger_mode": "multiple", "concurrency_limit": None,
    }  # fmt: skip

    def answering(act: Callable[[str | None, dict[str, Any]], Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def answer(event: gr.EventData, request: gr.Request) -> Any:
            return await act(request.session_hash, _said(event))

        return answer

    async def run_erase(
        engine: Any, seed: Any, grow: Any, prompt: Any, event: gr.EventData, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        views = studio.erase(
            request.session_hash, _said(event), lambda: settings(studio.engine_of(engine), seed, grow, prompt)
        )
        async with contextlib.aclosing(views):
            async for view in views:
                yield view

    async def run_extend(
        engine: Any, seed: Any, grow: Any, prompt: Any, event: gr.EventData, request: gr.Request
    ) -> AsyncGenerator[Any, None]:
        views = studio.extend(
            request.session_hash, _said(event), lambda: settings(studio.engine_of(engine), seed, "auto", prompt)
        )
        async with contextlib.aclosing(views):
            async for view in views:
                yield view

    async def leave(request: gr.Request) -> None:
        studio.left(request.session_hash)
        calls.left(request.session_hash)

    for name, act in [
        ("open_photo", studio.open), ("take_example", studio.example), ("go_to_step", studio.go_to),
        ("take_variation", studio.take), ("fetch_step", studio.download),
    ]:  # fmt: skip
        getattr(bench, name)(answering(act), None, bench, queue=False, **quietly)
    bench.run_erase(run_erase, advanced, bench, **quietly)
    bench.run_extend(run_extend, advanced, bench, **quietly)
    page.unload(leave)


def _api(calls: Calls) -> None:
    """The endpoints /erase and /extend, which take files as they are and give files as they should be."""

    async def erase(
        image: str, mask: str, engine: str, seed: float, grow: str, prompt: str, request: gr.Request,
        progress: Any = gr.Progress(),  # noqa: B008
    ) -> str:  # fmt: skip
        with _in_words(calls, image, mask):
            return await calls.erase(
                request.session_hash, _tell(progress), image=image, mask=mask, engine=engine, seed=seed, grow=grow,
                prompt=prompt,
            )  # fmt: skip

    async def extend(
        image: str, left: str, top: str, right: str, bottom: str, aspect: str, engine: str, seed: float, prompt: str,
        request: gr.Request, progress: Any = gr.Progress(),  # noqa: B008
    ) -> str:  # fmt: skip
        sides = {"left": left, "top": top, "right": right, "bottom": bottom}
        with _in_words(calls, image):
            return await calls.extend(
                request.session_hash, _tell(progress), image=image, sides=sides, aspect=aspect, engine=engine,
                seed=seed, prompt=prompt,
            )  # fmt: skip

    with gr.Row(visible=False):
        image = gr.File(label="image", type="filepath")
        mask = gr.File(label="mask", type="filepath")
        engine = gr.Textbox(calls.studio.engine.partition(":")[0], label="engine")
        seed = gr.Number(0, label="seed")
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


def _tell(progress: Any) -> Callable[[float, str], None]:
    return lambda fraction, note: progress(fraction, desc=note)


@contextlib.contextmanager
def _in_words(calls: Calls, *given: Any) -> Iterator[None]:
    """However a call fails, a sentence is what the caller reads."""
    try:
        yield
    except Exception as error:
        raise gr.Error(calls.explain(error, *given), print_exception=False) from None


def _said(event: gr.EventData) -> dict[str, Any]:
    said = event._data
    return said if isinstance(said, dict) else {}


def engine_choices(infos: Iterable[eraser.EngineInfo], offered: Iterable[str], own: str) -> list[tuple[str, str]]:
    """What can be chosen: the server's own engine, and those on offer whose weights are here."""
    named = [
        (f"{info.name}: {info.summary}", info.name)
        for info in infos
        if info.name in offered
        and (info.name == own or all(weights.present(file) for file in registry.ENTRIES[info.name].files))
    ]
    return [("choose for me", registry.AUTO), *named]


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
