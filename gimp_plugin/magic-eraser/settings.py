"""Which engine the plug-in uses, and how patiently: values in a file that people may edit. Standard library only."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import door as doors
from troubles import DiskFull, NoInterpreter

# not -I: that would also hide packages which `pip install --user` has put there
DEFAULT_ARGUMENTS = ("-E", "-P", "-m", "eraser", "serve")
SETUP = "choose the engine's Python in Filters > Magic Eraser > Set up, or run 'eraser gimp install'"


@dataclass(frozen=True)
class Settings:
    python: str = ""
    version: str = ""  # of the package that wrote the settings
    arguments: tuple[str, ...] = DEFAULT_ARGUMENTS
    door: str = ""  # of an engine that somebody else starts; "" starts one when none is running
    log: str = ""
    idle_minutes: float = 10
    start_seconds: float = 60
    silence_seconds: float = 30

    @property
    def outside_door(self) -> str:
        return os.environ.get(doors.VARIABLE) or self.door

    @property
    def door_path(self) -> Path:
        return Path(self.outside_door).expanduser() if self.outside_door else doors.default_path()

    @property
    def log_path(self) -> Path:
        return Path(self.log).expanduser() if self.log else self.door_path.with_name("engine.log")

    def log_tail(self, size: int = 4096) -> str:
        """The end of what the engine printed; "" where there is no log."""
        try:
            with self.log_path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - size))
                return file.read().decode("utf-8", "replace")
        except OSError:
            return ""

    def last_words(self) -> str:
        """The log's last line in brackets, to stand in a sentence; "" where there is none."""
        lines = [line.strip() for line in self.log_tail().splitlines() if line.strip()]
        return f" ({lines[-1][:300]})" if lines else ""


def load_settings(path: str | Path) -> Settings:
    """Raises NoInterpreter where there is no such file, or none that can be read."""
    try:
        stored = json.loads(Path(path).read_text(encoding="utf-8"))
        known = {item.name: stored[item.name] for item in fields(Settings) if item.name in dict(stored)}
        if "arguments" in known:
            known["arguments"] = tuple(map(str, known["arguments"]))
        return Settings(**known)
    except FileNotFoundError:
        raise NoInterpreter("the engine's Python has not been chosen yet", SETUP) from None
    except (OSError, ValueError, TypeError) as error:
        raise NoInterpreter(f"the settings in {path} cannot be read ({error})", SETUP) from None


def save_settings(path: str | Path, settings: Settings) -> None:
    """Raises DiskFull where they cannot be written."""
    place = Path(path)
    part = place.with_name(f".{place.name}.{secrets.token_hex(4)}")
    try:
        part.write_text(json.dumps(asdict(settings), indent=2) + "\n", encoding="utf-8")
        part.replace(place)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DiskFull(f"the settings cannot be written to {place} ({error.strerror})", "make room there") from error
