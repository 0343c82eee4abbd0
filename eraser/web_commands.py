"""`eraser web`: the page where you paint over what disturbs."""

from __future__ import annotations

import os
import sys

import click

from eraser.errors import MissingExtra


@click.command(
    short_help="Open the web page to erase and extend by hand.",
    epilog="""
    \b
    Examples:
      On this machine, in the browser:
        eraser web
      With a diffusion checkpoint, which others may then use but not change:
        eraser web --engine "latent:sd15?steps=20"
      For others in your network, two jobs at a time:
        eraser web --host 0.0.0.0 --port 8080 --jobs 2 --no-open
    """,
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="0.0.0.0 lets your network in, without a password."
)
@click.option("--port", type=click.IntRange(1, 65535), help="The first free one from 7860 if left out.")
@click.option(
    "--open/--no-open", "opens", default=None, help="Open the browser; by itself on a desktop, loopback only."
)
@click.option("--engine", default="auto", show_default=True, help="Which engine is chosen at first.")
@click.option("--jobs", type=click.IntRange(1, 64), default=1, show_default=True, help="Engine jobs at a time.")
@click.option("--most-waiting", type=click.IntRange(1), default=16, show_default=True, help="Jobs in the queue.")
@click.option("--most-megabytes", type=click.FloatRange(0.001), default=200, show_default=True, help="Of an upload.")
@click.option("--most-megapixels", type=click.FloatRange(0.001), default=100, show_default=True, help="Of a photo.")
@click.option(
    "--most-gigabytes", type=click.FloatRange(0.001), default=20, show_default=True, help="Of all pictures on the disk."
)
@click.option("--keep", type=click.FloatRange(0.01), default=60, show_default=True, help="Minutes that pictures stay.")
@click.option("--share", is_flag=True, help="Make a public link, through a server of Gradio's makers.")
def web(
    host: str,
    port: int | None,
    opens: bool | None,
    engine: str,
    jobs: int,
    most_waiting: int,
    most_megabytes: float,
    most_megapixels: float,
    most_gigabytes: float,
    keep: float,
    share: bool,
) -> None:
    """Open a page where you paint over what disturbs, and it is gone.

    The page and its pictures stay on this machine unless --host or --share says otherwise. Pictures are removed an
    hour after they were last used, and when the server ends. Stop it with Ctrl-C.
    """
    from importlib.util import find_spec

    from eraser.engines import registry

    if engine != registry.AUTO:
        registry.check(engine)
    if find_spec("gradio") is None:
        raise MissingExtra("the web page needs the package gradio", hint="pip install -e '.[web]' in the clone")
    click.echo("starting ...", err=True)
    from web_demo import server
    from web_demo.studio import Limits

    def announce(address: str) -> None:
        click.echo(f"the magic eraser is at {address} (Ctrl-C stops it)")
        if opens or (opens is None and host in ("127.0.0.1", "localhost", "::1") and _has_desktop()):
            click.launch(address)

    limits = Limits(most_megabytes, most_megapixels, jobs, most_waiting, keep, most_gigabytes)
    server.serve(host=host, port=port, engine=engine, limits=limits, share=share, announce=announce)


def _has_desktop() -> bool:
    """Whether a browser can be expected to show up in front of the person who typed the command."""
    if not sys.stdout.isatty() or "SSH_CONNECTION" in os.environ:
        return False
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
