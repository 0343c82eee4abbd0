"""The server of the page: how it starts, and how it ends without leaving a file."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from importlib import resources
from typing import Any

from eraser.errors import OutOfRange
from web_demo.folders import Folders
from web_demo.loading import load_app
from web_demo.studio import Limits, Studio

QUIET = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}
ENDING = ("SIGINT", "SIGTERM", "SIGHUP")
FONTS = ["system-ui", "sans-serif"]


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
    with contextlib.ExitStack() as stack:
        studio = Studio(limits, engine=engine, folders=folders)
        stack.callback(studio.close)  # last: nobody may still be writing into the folder
        stack.enter_context(_environment(QUIET | {"GRADIO_TEMP_DIR": str(studio.folders.uploads)}))
        app = load_app()
        page = app.build(studio)
        stack.callback(_close, page)
        stack.callback(studio.say_goodbye)
        studio.start()
        try:
            yield _launch(app, page, studio, host=host, port=port, share=share), studio
        except OSError as error:
            if page.is_running:
                raise
            raise OutOfRange(
                f"the port {port or 7860} on {host} cannot be used", hint="choose another --port"
            ) from error


def _launch(app: Any, page: Any, studio: Studio, *, host: str, port: int | None, share: bool) -> str:
    """The address."""
    import gradio as gr
    from starlette.middleware import Middleware

    from web_demo.gate import Gate

    _, local, public = page.launch(
        server_name=host, server_port=port, share=share, prevent_thread_lock=True, quiet=True,
        ssr_mode=False, footer_links=[], run_history=False, enable_monitoring=False, pwa=False,
        max_file_size=int(studio.limits.megabytes * 1_000_000), show_error=True, inbrowser=False,
        css=app.page_text("bench.css"), head=app.ROUND, theme=gr.themes.Soft(font=FONTS, font_mono=["monospace"]),
        favicon_path=str(resources.files("web_demo") / "icon.svg"),
        app_kwargs={"middleware": [Middleware(Gate, studio=studio)]},
    )  # fmt: skip
    return str(public or local)


def _close(page: Any) -> None:
    """Who still listens is cut off; Gradio alone would wait for them five seconds."""
    told = logging.getLogger("uvicorn.error")  # of each of them, with a traceback
    before = told.level
    told.setLevel(logging.CRITICAL)
    try:
        if page.is_running:
            page.server.config.timeout_graceful_shutdown = 1
        page.close(verbose=False)
    finally:
        told.setLevel(before)


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """These variables, and afterwards what was there before."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def serve(
    *, host: str, port: int | None, engine: str, limits: Limits, share: bool, announce: Callable[[str], None]
) -> None:
    """Run until Ctrl-C, SIGTERM or the end of the terminal."""
    logging.getLogger("httpx").setLevel(logging.WARNING)
    with (
        _ending_once(),
        contextlib.suppress(KeyboardInterrupt),
        running(host=host, port=port, engine=engine, limits=limits, share=share) as (address, _),
    ):
        announce(address)
        while True:
            time.sleep(3600)


@contextlib.contextmanager
def _ending_once() -> Iterator[None]:
    """The first of these signals ends the block by KeyboardInterrupt; the others find it ending already: the pictures
    must be gone before the process is."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ENDING if hasattr(signal, name)]
    # who started it with nohup wants no end by SIGHUP
    numbers = [number for number in numbers if signal.getsignal(number) is not signal.SIG_IGN]

    def end(*_: object) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, end) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


__all__ = ["running", "serve"]
