"""A real GIMP 3 in a folder of its own, for the tests: nothing on the system is touched, and it runs unprivileged.

    python tools/gimp_root.py trixie                      build (once; about a minute) and print the folder
    python tools/gimp_root.py trixie --window             the same with a virtual screen and what drives it
    python tools/gimp_root.py trixie --run PROFILE -- gimp-console --version

trixie holds GIMP 3.0, forky 3.2. The folder lies in the user's cache (or in ERASER_GIMP_CACHE) and is named after the
suite and its recipe's hash, so a changed recipe builds anew. Packages come from the mirror that the machine's own apt
uses. mmdebstrap and bubblewrap are taken from there too, into the same cache, when the machine has none.
Exit code 3: it cannot be built here, and one line says why.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

PACKAGES = ("gimp", "gir1.2-gimp-3.0", "python3-gi", "python3-gi-cairo", "gir1.2-gtk-3.0")
WINDOW_PACKAGES = ("xvfb", "openbox", "xdotool", "imagemagick", "fonts-dejavu-core", "adwaita-icon-theme")
TOOLS = ("mmdebstrap", "bubblewrap")
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# a new root does not inherit the machine's way to its mirror: a frozen one needs Check-Valid-Until "false"
HANDED_ON = (
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
)
LEFT_OUT = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/gimp/3.0/help/*")
BUILD_SECONDS = 540


class CannotBuild(Exception):
    """One sentence: why there is no GIMP here."""


def cache() -> Path:
    if chosen := os.environ.get("ERASER_GIMP_CACHE"):
        return Path(chosen)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "magic-eraser-gimp"


def folder_of(suite: str, extra: Sequence[str] = ()) -> Path:
    """Where that suite's GIMP is, or will be."""
    recipe = hashlib.sha256("\n".join(_recipe(extra)).encode()).hexdigest()[:12]
    return cache() / f"{suite}-{recipe}"


def root(suite: str, extra: Sequence[str] = ()) -> Path:
    """The folder with that suite's GIMP, built now if there is none yet. Raises CannotBuild."""
    folder = folder_of(suite, extra)
    if folder.is_dir():
        return folder
    if not sys.platform.startswith("linux"):
        raise CannotBuild("a GIMP root can be built on Linux only")
    cache().mkdir(parents=True, exist_ok=True)
    with _locked(cache() / f"{folder.name}.lock"):
        if not folder.is_dir():
            _build(suite, extra, folder)
    return folder


def command(
    folder: Path,
    profile: Path,
    program: Sequence[str],
    *,
    writable: Sequence[Path] = (),
    readable: Sequence[Path] = (),
    environment: dict[str, str] | None = None,
    outside: bool = False,
) -> list[str]:
    """The command line that runs a program of the root, unprivileged, with its own GIMP profile and home folder.

    The root is read-only; `profile` and `writable` lie at the places they have outside. Network and display are shared.
    outside: show the machine's own files below /outside.
    """
    (profile / "home").mkdir(parents=True, exist_ok=True)
    (profile / "gimp" / "plug-ins").mkdir(parents=True, exist_ok=True)
    line = [tool("bwrap")]
    for name in ("usr", "etc", "var"):
        line += ["--ro-bind", str(folder / name), f"/{name}"]
    for name in ("bin", "sbin", "lib", "lib64"):
        line += ["--symlink", f"usr/{name}", f"/{name}"]
    line += ["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/run"]
    if Path("/tmp/.X11-unix").is_dir():
        line += ["--ro-bind", "/tmp/.X11-unix", "/tmp/.X11-unix"]
    if outside:
        line += ["--ro-bind", "/", "/outside"]
    for path in readable:
        line += ["--ro-bind", str(path), str(path)]
    for path in (profile, *writable):
        line += ["--bind", str(path), str(path)]
    settings = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LC_ALL": "C.UTF-8",
        "HOME": str(profile / "home"),
        "GIMP3_DIRECTORY": str(profile / "gimp"),
        "NO_AT_BRIDGE": "1",
        "GEGL_USE_OPENCL": "no",
        **(environment or {}),
    }
    line.append("--clearenv")
    for name, value in settings.items():
        line += ["--setenv", name, value]
    return [*line, "--die-with-parent", *program]


def python_outside(wrapper: Path, *, writable: Sequence[Path], environment: dict[str, str]) -> None:
    """Make `wrapper` a program for inside the sandbox that is this Python: a second one shows it the machine as it is.

    For programs run with `outside`.
    """
    words = [f"/outside{tool('bwrap')}", "--bind", "/outside", "/", "--dev", "/dev", "--proc", "/proc"]
    for path in writable:
        words += ["--bind", str(path), str(path)]
    for name, value in environment.items():
        words += ["--setenv", name, value]
    wrapper.parent.mkdir(parents=True, exist_ok=True)
    wrapper.write_text(f'#!/bin/sh\nexec {shlex.join([*words, sys.executable])} "$@"\n', encoding="utf-8")
    wrapper.chmod(0o755)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _recipe(extra: Sequence[str]) -> list[str]:
    """What is in a root, whatever machine builds it."""
    left_out = [f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT]
    lean = ['--aptopt=Acquire::Languages "none"', '--aptopt=APT::Install-Recommends "false"']
    packages = ",".join((*PACKAGES, *extra))
    return ["--variant=minbase", "--format=tar", *lean, *left_out, f"--include={packages}"]


def _build(suite: str, extra: Sequence[str], folder: Path) -> None:
    for name in ("apt-get", "dpkg", "perl", "tar"):
        if shutil.which(name) is None:
            raise CannotBuild(f"a GIMP root is built from Debian's packages, and this machine has no {name}")
    if not KEYRING.is_file():
        raise CannotBuild(f"{KEYRING} is missing: install debian-archive-keyring")
    mmdebstrap = tool("mmdebstrap")
    tool("bwrap")
    with tempfile.TemporaryDirectory(dir=cache(), prefix="building-") as scratch:
        packed = Path(scratch) / "root.tar"
        handed_on = [f'--aptopt={name} "{value}"' for name in HANDED_ON if (value := _apt_setting(name))]
        source = f"deb [signed-by={KEYRING}] {_mirror()} {suite} main"
        _run(
            ["perl", mmdebstrap, *_recipe(extra), *handed_on, suite, str(packed), source],
            f"mmdebstrap could not build Debian {suite}",
            path=Path(mmdebstrap).parent,
        )
        unpacked = Path(scratch) / "root"
        unpacked.mkdir()
        # device nodes need root, and the sandbox brings its own /dev
        _run(
            ["tar", "-x", "-C", str(unpacked), "--exclude=./dev/*", "-f", str(packed)], "the root could not be unpacked"
        )
        unpacked.chmod(0o755)
        unpacked.rename(folder)


def _run(line: Sequence[str], trouble: str, path: Path | None = None) -> str:
    """What the program printed. Raises CannotBuild with the last line of its complaint."""
    environment = dict(os.environ)
    if path is not None:
        environment["PATH"] = f"{path}{os.pathsep}{environment.get('PATH', os.defpath)}"
    try:
        done = subprocess.run(
            line, env=environment, capture_output=True, text=True, errors="replace", timeout=BUILD_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise CannotBuild(f"{trouble} within {BUILD_SECONDS} s") from None
    except OSError as error:
        raise CannotBuild(f"{trouble}: {error}") from None
    if done.returncode:
        complaints = [text for text in done.stderr.splitlines() if text.strip() and not text.startswith("W:")]
        errors = [text for text in complaints if text.startswith("E:")] or complaints or ["no message"]
        raise CannotBuild(f"{trouble}: {errors[0].strip()}")
    return done.stdout


def _apt(*arguments: str) -> list[str]:
    """apt-get with the machine's sources, and lists of packages kept in the cache."""
    state = cache() / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (state / name).mkdir(parents=True, exist_ok=True)
    options = {"Dir::State::lists": state / "lists", "Dir::Cache": state / "cache", "APT::Sandbox::User": "root"}
    return [
        "apt-get",
        "-q",
        *(part for name, value in options.items() for part in ("-o", f"{name}={value}")),
        *arguments,
    ]


def _lists() -> None:
    if not any((cache() / "apt" / "lists").glob("*Packages*")):
        _run(_apt("update"), "apt-get update failed")


def _mirror() -> str:
    """The address of the first of the machine's own sources that is Debian's."""
    _lists()
    targets = _run(_apt("indextargets", "--format", "$(REPO_URI) $(ORIGIN) $(CODENAME)"), "apt-get indextargets failed")
    for target in targets.splitlines():
        address, _, rest = target.partition(" ")
        if rest.startswith("Debian ") and "security" not in rest:
            return address
    raise CannotBuild("none of this machine's apt sources is Debian's")


def _apt_setting(name: str) -> str:
    found = _run(["apt-config", "shell", "VALUE", name], "apt-config failed").strip()
    return shlex.split(found)[0].partition("=")[2] if found else ""


def tool(name: str) -> str:
    """The path of mmdebstrap or bwrap: the machine's, or the package unpacked into the cache."""
    if found := shutil.which(name):
        return found
    unpacked = cache() / "tools"
    wanted = unpacked / "usr" / "bin" / name
    if not wanted.is_file():
        cache().mkdir(parents=True, exist_ok=True)
        with _locked(cache() / "tools.lock"), tempfile.TemporaryDirectory(dir=cache(), prefix="tools-") as scratch:
            if not wanted.is_file():
                _lists()
                _run(["env", "-C", scratch, *_apt("download", *TOOLS)], f"{' and '.join(TOOLS)} could not be fetched")
                for package in sorted(Path(scratch).glob("*.deb")):
                    _run(["dpkg", "-x", str(package), str(unpacked)], f"{package.name} could not be unpacked")
    return str(wanted)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", help="Debian's name: trixie for GIMP 3.0, forky for 3.2")
    parser.add_argument("--window", action="store_true", help="with a virtual screen in it, and what drives it")
    parser.add_argument("--run", type=Path, metavar="PROFILE", help="run the program after -- with this profile folder")
    split = list(arguments).index("--") if "--" in arguments else len(arguments)
    asked, program = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    try:
        folder = root(asked.suite, WINDOW_PACKAGES if asked.window else ())
        if asked.run is None:
            print(folder)
            return 0
        line = command(folder, asked.run.absolute(), program, writable=[Path.cwd()])
    except CannotBuild as error:
        print(f"no GIMP here: {error}", file=sys.stderr)
        return 3
    return subprocess.run(line, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
