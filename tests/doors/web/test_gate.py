"""What stands before Gradio counts those who are being told how their work goes, and lets all else through."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest

pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")

from web_demo.gate import Gate
from web_demo.studio import Studio


@pytest.mark.parametrize(
    ("scope", "listeners"),
    [
        ({"type": "lifespan"}, 0),
        ({"type": "http", "method": "GET", "path": "/gradio_api/queue/data"}, 1),
        ({"type": "http", "method": "GET", "path": "/gradio_api/call/erase/1"}, 1),
        ({"type": "http", "method": "GET", "path": "/gradio_api/heartbeat/1"}, 0),  # lasts as long as the page
    ],
)
def test_only_those_who_are_being_told_of_work_are_waited_for(
    studio: Studio, scope: dict[str, Any], listeners: int
) -> None:
    seen: list[int] = []

    async def app(*_: Any) -> None:
        seen.append(studio._listeners)
        raise ConnectionError("somebody hung up")

    with pytest.raises(ConnectionError):
        asyncio.run(Gate(app, studio)({"query_string": b"", "headers": []} | scope, None, None))  # type: ignore[arg-type]
    assert seen == [listeners]
    assert studio._listeners == 0


def test_the_server_stays_until_everybody_has_heard_that_it_stops(studio: Studio) -> None:
    begun, heard = threading.Event(), []

    def listen() -> None:
        with studio.listening():
            begun.set()
            time.sleep(0.3)
            heard.append(studio.line.closed)

    threading.Thread(target=listen).start()
    begun.wait()
    studio.say_goodbye()
    assert heard == [True]
