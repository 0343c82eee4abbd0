"""Real servers of the page in processes of their own, and a cable to one that can be cut."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

TOY = Path(__file__).with_name("toy_web.py")


class Server:
    """A running `eraser web`; `folder` is its temporary folder's parent."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.folder = folder
        self.log = folder / "toy.log"
        self.log.touch()
        self.output = folder / "output.txt"
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(TOY), "--log", str(self.log), "--port", str(self.port), *options],
                stdout=output,
                stderr=output,
                env=os.environ | {"TMPDIR": str(folder)},
                cwd=folder,
            )
        start = time.monotonic()
        while "is at http" not in self.output.read_text():
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() - start < 120, "the server did not start"
            time.sleep(0.05)

    @property
    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def until(self, check: Callable[[list[str]], bool], seconds: float = 30) -> None:
        start = time.monotonic()
        while not check(self.lines):
            assert time.monotonic() - start < seconds, self.lines
            time.sleep(0.02)

    @property
    def pictures(self) -> list[Path]:
        """Files of people's pictures."""
        return [path for path in self.folder.glob("magic-eraser-web-*/**/*") if path.is_file() and path.stat().st_size]

    def end(self, number: int = signal.SIGTERM) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.process.wait(60)


class Cable:
    """Between a browser and a server; it can be cut and mended."""

    def __init__(self, server: Server) -> None:
        self._to = ("127.0.0.1", server.port)
        self._ends: list[socket.socket] = []
        self._is_cut = False
        self._door = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._door.getsockname()[1]}/"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        self._is_cut = True
        for end in self._ends:
            _close(end)

    def mend(self) -> None:
        self._is_cut = False

    def close(self) -> None:
        self.cut()
        self._door.shutdown(socket.SHUT_RDWR)
        self._door.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                if self._is_cut:
                    _close(near)
                    continue
                far = socket.create_connection(self._to)
                self._ends += [near, far]
                for pair in ((near, far), (far, near)):
                    threading.Thread(target=self._pump, args=pair, daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        for end in (source, sink):
            _close(end)


def _close(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
