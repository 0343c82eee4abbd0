"""`eraser serve`, and its end."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import click

from eraser import door
from eraser.errors import OutOfRange


@click.command(
    short_help="Run the engine process that editors talk to.",
    epilog="""
    \b
    Examples:
      On a free port, for this user's programs:
        eraser serve
      Until it is stopped, with the door where a sandboxed editor sees it:
        eraser serve --idle 0 --door ~/eraser-door.json
      End the one that is running:
        eraser serve --stop
    """,
)
@click.option("--host", default="127.0.0.1", show_default=True, help="An address of this machine alone.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="A free one if left out.")
@click.option("--engine", default="auto", show_default=True, help="Which engine to keep loaded; see 'eraser engines'.")
@click.option(
    "--idle", type=click.FloatRange(0), default=10, show_default=True, help="Minutes until it ends; 0: never."
)
@click.option(
    "--door", "place", type=click.Path(path_type=Path), help="File for port and token; in the runtime folder."
)
@click.option("--most-megabytes", type=click.FloatRange(0.001), default=4096, show_default=True, help="Of a request.")
@click.option("--most-megapixels", type=click.FloatRange(0.001), default=500, show_default=True, help="Of a picture.")
@click.option("--most-seconds", type=click.FloatRange(0.001), default=3600, show_default=True, help="Of a job.")
@click.option("--most-waiting", type=click.IntRange(1), default=32, show_default=True, help="Jobs in the queue.")
@click.option("--stop", is_flag=True, help="End the engine behind the door.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per event instead of text.")
def serve(
    host: str,
    port: int,
    engine: str,
    idle: float,
    place: Path | None,
    most_megabytes: float,
    most_megapixels: float,
    most_seconds: float,
    most_waiting: int,
    stop: bool,
    as_json: bool,
) -> None:
    """Run the engine process that editors and scripts talk to, on this machine alone.

    One engine stays loaded, jobs are done one at a time. The door file holds the port and the token that every
    call needs; only you can read it, and it is gone when the process ends.
    """
    from eraser.engines import registry

    if stop:
        _stop(place, as_json=as_json)
        return
    if engine != registry.AUTO:
        registry.check(engine)
    from eraser.serve.process import serve as run_server
    from eraser.serve.service import Limits

    def announce(opened: door.Door, path: Path) -> None:
        url = f"http://{opened.host}:{opened.port}"
        if as_json:
            click.echo(json.dumps({"ok": True, "url": url, "door": str(path), "pid": opened.pid}))
        else:
            click.echo(f"engine process {opened.pid} at {url}; door file {path}")

    limits = Limits(most_megabytes, most_megapixels, most_seconds, most_waiting)
    run_server(
        host=host, port=port, engine=engine, idle_minutes=idle, door_path=place, limits=limits, announce=announce
    )


def _stop(place: Path | None, *, as_json: bool) -> None:
    import http.client

    path = place or door.default_path()
    opened = None
    with contextlib.suppress(door.UnsafeDoor):
        opened = door.read(path)
    if opened is not None:
        connection = http.client.HTTPConnection(opened.host, opened.port, timeout=10)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("POST", "/v1/stop", headers={"Authorization": f"Bearer {opened.token}"})
            if connection.getresponse().status == 200:
                report = {"ok": True, "stopped": opened.pid}
                click.echo(json.dumps(report) if as_json else f"engine process {opened.pid} is stopping")
                return
    raise OutOfRange(f"no engine answers behind the door {path}", hint="none is running, or name its --door")
