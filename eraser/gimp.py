"""The GIMP plug-in put into, looked at in and taken out of the profile folders of every GIMP 3 on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from eraser import __version__
from eraser.errors import InputError, OutputError

NAME = "magic-eraser"
SHARED = ("wire.py", "door.py")  # the modules of this package that the plug-in carries copies of
MARK = "installed.json"  # in the plug-in's folder: which files are ours
SETTINGS, LAST = "magic-eraser.json", "magic-eraser-last.json"  # in the profile; the plug-in writes them too
PROCEDURES = tuple(f"plug-in-{NAME}-{ending}" for ending in ("erase", "again", "extend", "set-up"))
CHECK_SECONDS = 120  # a first start looks at more than a hundred plug-ins
VERSION = re.compile(r"3\.\d+")

Kind = Literal["native", "flatpak", "snap", "chosen"]
State = Literal["absent", "installed", "older", "changed", "foreign"]


@dataclass(frozen=True)
class Profile:
    """A folder in which a GIMP 3 keeps what belongs to one user."""

    path: Path
    kind: Kind

    @property
    def plug_in(self) -> Path:
        return self.path / "plug-ins" / NAME

    @property
    def settings(self) -> Path:
        return self.path / SETTINGS

    @property
    def door(self) -> Path:
        """Where an engine that runs outside a sandboxed GIMP leaves its address."""
        return self.path / "magic-eraser-door.json"

    @property
    def sandboxed(self) -> bool:
        return self.kind in ("flatpak", "snap")


@dataclass(frozen=True)
class Report:
    """What was done or found in one profile."""

    profile: Profile
    state: State
    version: str = ""  # of the plug-in there
    python: str = ""  # that the plug-in will start the engine with
    notes: list[str] = field(default_factory=list)
    trouble: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        return {
            "profile": str(self.profile.path),
            "kind": self.profile.kind,
            "state": self.state,
            "version": self.version,
            "python": self.python,
            "notes": self.notes,
            "trouble": self.trouble,
        }


# -- where GIMP keeps its profiles -------------------------------------------------------------------------------------


def profiles(
    *, home: Path | None = None, environment: Mapping[str, str] | None = None, platform: str | None = None
) -> list[Profile]:
    """The profiles that are there, and the one of a GIMP 3 that is installed and was never started."""
    home = home or Path.home()
    environment = os.environ if environment is None else environment
    platform = platform or sys.platform
    found = []
    if own := environment.get("GIMP3_DIRECTORY"):
        # relative ones are below the home folder
        found.append(Profile(home / own, "chosen"))
    native = _native_folder(home, environment, platform)
    never_started = [native / version] if (version := _version_of_console(environment)) else []
    found += [Profile(path, "native") for path in _versions(native, never_started)]
    if platform == "win32":
        local = Path(environment.get("LOCALAPPDATA") or home / "AppData" / "Local")
        for store in sorted(local.glob("Packages/*GIMP*/LocalCache/Roaming/GIMP")):
            found += [Profile(path, "native") for path in _versions(store)]
    elif platform != "darwin":
        flatpak = home / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP"
        found += [Profile(path, "flatpak") for path in _versions(flatpak)]
        snap = home / "snap" / "gimp" / "current" / ".config" / "GIMP"
        found += [Profile(path, "snap") for path in _versions(snap)]
    return list({profile.path: profile for profile in reversed(found)}.values())[::-1]


def profile_at(path: Path) -> Profile:
    """The profile in a folder that somebody names."""
    path = path.expanduser().absolute()
    parts = path.parts
    for kind, mark in (("flatpak", (".var", "app")), ("snap", ("snap", "gimp"))):
        if any(parts[i : i + 2] == mark for i in range(len(parts))):
            return Profile(path, cast(Kind, kind))
    return Profile(path, "chosen")


def _native_folder(home: Path, environment: Mapping[str, str], platform: str) -> Path:
    if platform == "win32":
        return Path(environment.get("APPDATA") or home / "AppData" / "Roaming") / "GIMP"
    if platform == "darwin":
        return home / "Library" / "Application Support" / "GIMP"
    return Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "GIMP"


def _versions(folder: Path, more: Sequence[Path] = ()) -> list[Path]:
    there = [path for path in folder.glob("3.*") if path.is_dir() and VERSION.fullmatch(path.name)]
    return sorted({*there, *more}, key=lambda path: int(path.name.partition(".")[2]))


def _version_of_console(environment: Mapping[str, str]) -> str:
    console = console_of(environment)
    if console is None:
        return ""
    found = VERSION.search(_output([console, "--version"], 20).stdout)
    return found[0] if found else ""


def console_of(environment: Mapping[str, str]) -> str | None:
    """GIMP's program without windows, where it is on the PATH."""
    for name in ("gimp-console", "gimp-console-3.2", "gimp-console-3.0", "gimp-console-3"):
        if found := shutil.which(name, path=environment.get("PATH")):
            return found
    return None


# -- install, look, uninstall ------------------------------------------------------------------------------------------


def plug_in_files() -> dict[str, Path]:
    """{name in the plug-in's folder: file}, from the wheel or from the repository. Raises InputError."""
    package = Path(__file__).parent
    for folder in (package / "gimp_plugin", package.parent / "gimp_plugin" / NAME):
        if (folder / f"{NAME}.py").is_file():
            files = {path.name: path for path in sorted(folder.glob("*.py"))}
            return files | {name: package / name for name in SHARED}
    raise InputError("this installation has no plug-in in it", hint="install magic-eraser again, from a wheel")


def install(profile: Profile, *, python: str = sys.executable) -> Report:
    """Put the plug-in into a profile, replacing an older one. Raises InputError and OutputError.

    python: what the plug-in will start the engine with.
    """
    if state_of(profile) == "foreign":
        raise InputError(
            f"{profile.plug_in} holds something else, or was put there by hand", hint="move it away, then install again"
        )
    files = {name: path.read_bytes() for name, path in plug_in_files().items()}
    mark = {"version": __version__, "files": {name: _digest(data) for name, data in files.items()}}
    notes = []
    try:
        for folder in (profile.plug_in.parent, profile.path):
            folder.mkdir(parents=True, exist_ok=True)
        _put_folder(profile.plug_in, files | {MARK: json.dumps(mark, indent=2).encode()})
        _put_settings(profile, python)
    except OSError as error:
        raise OutputError(
            f"the plug-in cannot be written to {profile.plug_in} ({error.strerror})", hint="see who owns that folder"
        ) from error
    if profile.sandboxed:
        notes.append(
            f"this GIMP runs in a sandbox that does not see your Python: start the engine yourself, with "
            f"eraser serve --door {profile.door}"
        )
    return Report(profile, "installed", __version__, python if not profile.sandboxed else "", notes)


def look(profile: Profile) -> Report:
    """What is in a profile; nothing is changed."""
    state = state_of(profile)
    if state in ("absent", "foreign"):
        notes = [f"{profile.plug_in} holds something that is not ours"] if state == "foreign" else []
        return Report(profile, state, notes=notes)
    version = _mark(profile).get("version", "")
    notes, trouble = [], []
    if state == "older":
        trouble.append(f"it is of version {version}, this is {__version__}: run 'eraser gimp install'")
    if state == "changed":
        trouble.append("its files were changed or are missing: run 'eraser gimp install'")
    settings = _settings(profile)
    python = str(settings.get("python") or "")
    if settings.get("door"):
        notes.append(f"it looks for an engine at {settings['door']}")
    elif not python:
        trouble.append("no Python is chosen: run 'eraser gimp install', or Filters > Magic Eraser > Set up in GIMP")
    elif not Path(python).exists():
        trouble.append(f"its Python {python} is gone: run 'eraser gimp install' with the new one")
    return Report(profile, state, version, python, notes, trouble)


def uninstall(profile: Profile) -> Report:
    """Take away what `install` put there, and nothing else. Raises OutputError."""
    state = state_of(profile)
    if state in ("absent", "foreign"):
        return look(profile)
    notes = []
    try:
        for name in (*_mark(profile)["files"], MARK):
            (profile.plug_in / name).unlink(missing_ok=True)
        shutil.rmtree(profile.plug_in / "__pycache__", ignore_errors=True)
        for name in (SETTINGS, LAST, profile.door.name):
            (profile.path / name).unlink(missing_ok=True)
        if left := sorted(path.name for path in profile.plug_in.iterdir()):
            notes.append(f"{profile.plug_in} keeps what is not ours: {', '.join(left)}")
        else:
            profile.plug_in.rmdir()
    except OSError as error:
        raise OutputError(
            f"the plug-in in {profile.plug_in} cannot be removed ({error.strerror})", hint="see who owns that folder"
        ) from error
    return Report(profile, "absent", notes=notes)


def state_of(profile: Profile) -> State:
    mark = _mark(profile)
    if not mark:
        return "foreign" if profile.plug_in.exists() else "absent"
    for name, digest in mark["files"].items():
        try:
            if _digest((profile.plug_in / name).read_bytes()) != digest:
                return "changed"
        except OSError:
            return "changed"
    return "installed" if mark.get("version") == __version__ else "older"


def check(profile: Profile, *, environment: Mapping[str, str] | None = None) -> list[str] | None:
    """Let the profile's GIMP say whether it knows the plug-in: [] when it does, else what is wrong; None without GIMP.

    Takes some seconds, up to a minute at a profile's first start.
    """
    environment = os.environ if environment is None else environment
    command = _console_for(profile, environment)
    if command is None:
        return None
    names = ", ".join(repr(name) for name in PROCEDURES)
    code = f"print('missing:', [n for n in ({names}) if not Gimp.get_pdb().lookup_procedure(n)])"
    line = [*command, "-i", "-d", "-f", "--batch-interpreter=python-fu-eval", "-b", code, "--quit"]
    extra = {} if profile.sandboxed else {"GIMP3_DIRECTORY": str(profile.path)}
    done = _output(line, CHECK_SECONDS, {**environment, **extra})
    for text in done.stdout.splitlines():
        if text.startswith("missing: "):
            missing = re.findall(r"'([^']+)'", text)
            return [f"GIMP does not know {', '.join(missing)}"] if missing else []
    complaints = [text for text in done.stderr.splitlines() if text.strip()]
    return [f"GIMP could not be asked ({complaints[-1] if complaints else 'no answer'})"]


def _console_for(profile: Profile, environment: Mapping[str, str]) -> list[str] | None:
    if profile.kind == "flatpak":
        flatpak = shutil.which("flatpak", path=environment.get("PATH"))
        return [flatpak, "run", "--command=gimp-console", "org.gimp.GIMP"] if flatpak else None
    if profile.kind == "snap":
        return None
    console = console_of(environment)
    if console is None or (profile.kind == "native" and _version_of_console(environment) != profile.path.name):
        return None
    return [console]


# -- files -------------------------------------------------------------------------------------------------------------


def _put_folder(place: Path, files: Mapping[str, bytes]) -> None:
    """Make the folder with these files, whole or not at all; what was there before is replaced."""
    # outside plug-ins/, where GIMP would try to run it
    ending = secrets.token_hex(6)
    fresh, old = (place.parents[1] / f".{place.name}-{word}-{ending}" for word in ("new", "old"))
    try:
        fresh.mkdir()
        for name, data in files.items():
            (fresh / name).write_bytes(data)
            # GIMP passes over a plug-in that may not be run
            (fresh / name).chmod(0o755 if name == f"{place.name}.py" else 0o644)
        if place.exists():
            place.rename(old)
        try:
            fresh.rename(place)
        except OSError:
            if old.exists():
                old.rename(place)
            raise
    finally:
        for folder in (fresh, old):
            shutil.rmtree(folder, ignore_errors=True)


def _put_settings(profile: Profile, python: str) -> None:
    """Written beside and moved; what the person set by hand (waiting times ...) stays."""
    settings = _settings(profile) | {"version": __version__, "python": python}
    if profile.sandboxed:
        settings |= {"python": "", "door": str(profile.door)}
    elif settings.get("door") == str(profile.door):
        settings["door"] = ""
    part = profile.settings.with_name(f".{SETTINGS}.{secrets.token_hex(6)}")
    try:
        part.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        part.replace(profile.settings)
    finally:
        part.unlink(missing_ok=True)


def _settings(profile: Profile) -> dict[str, Any]:
    return _json(profile.settings)


def _mark(profile: Profile) -> dict[str, Any]:
    mark = _json(profile.plug_in / MARK)
    names = mark.get("files")
    # nothing outside the plug-in's own folder is ever ours
    if not isinstance(names, dict) or any(Path(name).name != name for name in names):
        return {}
    return mark


def _json(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stored if isinstance(stored, dict) else {}


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _output(
    line: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            line, capture_output=True, text=True, errors="replace", timeout=seconds, check=False,
            stdin=subprocess.DEVNULL, env=dict(environment) if environment is not None else None,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError) as error:
        return subprocess.CompletedProcess(list(line), 1, "", str(error))


def to_text(reports: Sequence[Report]) -> Iterator[str]:
    """A report for people, some lines per profile."""
    words = {
        "absent": "not installed",
        "installed": "installed",
        "older": "installed, but older",
        "changed": "installed, but changed",
        "foreign": "something else is in its place",
    }
    for report in reports:
        version = f" {report.version}" if report.version else ""
        yield f"{report.profile.path} ({report.profile.kind}): {words[report.state]}{version}"
        if report.python:
            yield f"  engine: {report.python}"
        yield from (f"  {note}" for note in report.notes)
        yield from (f"  !! {trouble}" for trouble in report.trouble)
