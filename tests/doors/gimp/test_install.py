"""`eraser gimp`: where profiles are, what is put there and taken away, and that nothing else ever is."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import eraser
from eraser import cli, gimp
from eraser.errors import InputError, OutputError

FILES = {
    "magic-eraser.py", "work.py", "dialog.py", "choose.py", "pixels.py", "sides.py",
    "client.py", "settings.py", "talk.py", "troubles.py", "wire.py", "door.py",
    gimp.MARK,
}  # fmt: skip
NOWHERE = {"PATH": "/nonexistent"}


def make(folder: Path, *versions: str) -> list[Path]:
    for version in versions:
        (folder / version).mkdir(parents=True)
    return [folder / version for version in versions]


def found(home: Path, platform: str, **environment: str) -> list[tuple[str, str]]:
    profiles = gimp.profiles(home=home, platform=platform, environment=NOWHERE | environment)
    return [(profile.kind, profile.path.relative_to(home).as_posix()) for profile in profiles]


def console(folder: Path, version: str, missing: str = "[]") -> Path:
    """A gimp-console that answers as GIMP does."""
    folder.mkdir(exist_ok=True)
    program = folder / "gimp-console"
    program.write_text(
        f'#!/bin/sh\ncase "$*" in *--version*) echo "GNU Image Manipulation Program version {version}.4";;\n'
        f'*) echo "$GIMP3_DIRECTORY" >"{folder}/asked"; echo "missing: {missing}";; esac\n'
    )
    program.chmod(0o755)
    return program


@pytest.fixture
def profile(tmp_path: Path) -> gimp.Profile:
    return gimp.Profile(tmp_path / "GIMP" / "3.0", "native")


# -- where -------------------------------------------------------------------------------------------------------------


def test_profiles_of_every_kind_are_found_on_linux(tmp_path):
    make(tmp_path / ".config" / "GIMP", "3.0", "3.2", "2.10", "3.10", "3.0-backup")
    make(tmp_path / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP", "3.0")
    make(tmp_path / "snap" / "gimp" / "current" / ".config" / "GIMP", "3.2")
    (tmp_path / ".config" / "GIMP" / "3.4").touch()
    assert found(tmp_path, "linux") == [
        ("native", ".config/GIMP/3.0"),
        ("native", ".config/GIMP/3.2"),
        ("native", ".config/GIMP/3.10"),
        ("flatpak", ".var/app/org.gimp.GIMP/config/GIMP/3.0"),
        ("snap", "snap/gimp/current/.config/GIMP/3.2"),
    ]


def test_profiles_are_found_where_the_environment_puts_them(tmp_path):
    make(tmp_path / "settings" / "GIMP", "3.0")
    assert found(tmp_path, "linux", XDG_CONFIG_HOME=str(tmp_path / "settings")) == [("native", "settings/GIMP/3.0")]
    both = found(tmp_path, "linux", XDG_CONFIG_HOME=str(tmp_path / "settings"), GIMP3_DIRECTORY="own")
    assert both == [("chosen", "own"), ("native", "settings/GIMP/3.0")]
    twice = found(
        tmp_path,
        "linux",
        XDG_CONFIG_HOME=str(tmp_path / "settings"),
        GIMP3_DIRECTORY=str(tmp_path / "settings" / "GIMP" / "3.0"),
    )
    assert twice == [("chosen", "settings/GIMP/3.0")]


def test_profiles_are_found_on_macos_and_windows(tmp_path):
    make(tmp_path / "Library" / "Application Support" / "GIMP", "3.0")
    assert found(tmp_path, "darwin") == [("native", "Library/Application Support/GIMP/3.0")]
    make(tmp_path / "AppData" / "Roaming" / "GIMP", "3.2")
    store = tmp_path / "AppData" / "Local" / "Packages" / "GIMP.43237F745622_x" / "LocalCache" / "Roaming" / "GIMP"
    make(store, "3.0")
    assert found(tmp_path, "win32") == [
        ("native", "AppData/Roaming/GIMP/3.2"),
        ("native", store.relative_to(tmp_path).as_posix() + "/3.0"),
    ]


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for gimp-console is a shell script")
def test_a_gimp_that_was_never_started_gets_its_profile(tmp_path):
    program = console(tmp_path / "bin", "3.2")
    environment = {"PATH": f"{program.parent}{os.pathsep}{os.defpath}"}
    assert found(tmp_path, "linux", **environment) == [("native", ".config/GIMP/3.2")]
    console(tmp_path / "bin", "2.10")
    assert found(tmp_path, "linux", **environment) == []


def test_a_named_folder_is_known_for_a_sandbox_by_its_place(tmp_path):
    assert gimp.profile_at(tmp_path / ".var" / "app" / "org.gimp.GIMP" / "config" / "GIMP" / "3.0").sandboxed
    assert gimp.profile_at(tmp_path / "snap" / "gimp" / "current" / ".config" / "GIMP" / "3.0").sandboxed
    assert not gimp.profile_at(tmp_path / "app" / "GIMP" / "3.0").sandboxed


# -- install, look, uninstall ------------------------------------------------------------------------------------------


def test_installing_puts_everything_there_and_this_python(profile):
    report = gimp.install(profile)
    assert report.state == "installed"
    assert {path.name for path in profile.plug_in.iterdir()} == FILES
    assert set(gimp.PROCEDURES) == {f"plug-in-magic-eraser-{x}" for x in ("erase", "again", "extend", "set-up")}
    if sys.platform != "win32":
        assert stat.S_IMODE((profile.plug_in / "magic-eraser.py").stat().st_mode) & 0o111 == 0o111
    settings = json.loads(profile.settings.read_text())
    assert settings == {"version": eraser.__version__, "python": sys.executable}
    assert gimp.look(profile).state == "installed"
    assert gimp.look(profile).trouble == []
    # nothing half-made is left behind
    assert {path.name for path in profile.path.iterdir()} == {"plug-ins", profile.settings.name}


def test_what_is_installed_needs_nothing_but_python_and_gi(profile):
    """Loaded by a bare interpreter: a plug-in that imports numpy would work here and nowhere else."""
    gimp.install(profile)
    loaded = "import client, sides, choose, wire, door; print([n for n in ('numpy', 'eraser') if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(profile.plug_in)!r}); {loaded}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_what_the_person_set_by_hand_survives_a_new_installation(profile):
    gimp.install(profile, python="/old/python")
    settings = json.loads(profile.settings.read_text()) | {"idle_minutes": 99, "door": "/somewhere/door.json"}
    profile.settings.write_text(json.dumps(settings))
    gimp.install(profile, python="/new/python")
    kept = json.loads(profile.settings.read_text())
    assert (kept["python"], kept["idle_minutes"], kept["door"]) == ("/new/python", 99, "/somewhere/door.json")


def test_a_sandboxed_gimp_is_told_where_an_engine_outside_leaves_its_door(tmp_path):
    profile = gimp.Profile(tmp_path, "flatpak")
    report = gimp.install(profile)
    settings = json.loads(profile.settings.read_text())
    assert settings["python"] == ""
    assert settings["door"] == str(profile.door)
    assert any(f"eraser serve --door {profile.door}" in note for note in report.notes)
    assert gimp.look(profile).trouble == []


def test_changed_missing_and_older_files_are_seen_and_mended(profile):
    gimp.install(profile)
    (profile.plug_in / "work.py").write_text("broken")
    assert gimp.look(profile).state == "changed"
    gimp.install(profile)
    (profile.plug_in / "work.py").unlink()
    assert gimp.look(profile).state == "changed"
    gimp.install(profile)
    mark = profile.plug_in / gimp.MARK
    mark.write_text(json.dumps(json.loads(mark.read_text()) | {"version": "0.0.1"}))
    older = gimp.look(profile)
    assert older.state == "older"
    assert "0.0.1" in older.trouble[0]
    gimp.install(profile)
    assert gimp.look(profile).state == "installed"


def test_a_python_that_is_gone_is_trouble(profile):
    gimp.install(profile, python="/no/such/python")
    assert "/no/such/python is gone" in gimp.look(profile).trouble[0]
    profile.settings.unlink()
    assert "no Python is chosen" in gimp.look(profile).trouble[0]


def test_uninstalling_takes_only_what_is_ours(profile):
    gimp.install(profile)
    (profile.plug_in / "__pycache__").mkdir()
    (profile.plug_in / "__pycache__" / "work.cpython-313.pyc").touch()
    (profile.path / gimp.LAST).write_text("{}")
    theirs = [profile.path / "gimprc", profile.path / "plug-ins" / "other" / "other.py", profile.plug_in / "notes.txt"]
    for path in theirs:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    report = gimp.uninstall(profile)
    assert "notes.txt" in report.notes[0]
    assert sorted(path for path in profile.path.rglob("*") if path.is_file()) == sorted(theirs)
    theirs[2].unlink()
    profile.plug_in.rmdir()
    gimp.install(profile)
    assert gimp.uninstall(profile).notes == []
    assert not profile.plug_in.exists()
    assert gimp.uninstall(profile).state == "absent"


def test_a_mark_that_names_files_elsewhere_is_not_believed(profile):
    gimp.install(profile)
    precious = profile.path / "precious"
    precious.write_text("mine")
    mark = profile.plug_in / gimp.MARK
    mark.write_text(json.dumps({"version": "1", "files": {"../../precious": ""}}))
    gimp.uninstall(profile)
    assert precious.read_text() == "mine"


def test_somebody_elses_plug_in_of_that_name_stays(profile):
    profile.plug_in.mkdir(parents=True)
    (profile.plug_in / "magic-eraser.py").write_text("mine")
    with pytest.raises(InputError, match="something else"):
        gimp.install(profile)
    assert gimp.look(profile).state == "foreign"
    gimp.uninstall(profile)
    assert (profile.plug_in / "magic-eraser.py").read_text() == "mine"


def test_an_installation_that_fails_leaves_the_old_one(profile, monkeypatch):
    gimp.install(profile)
    before = {path.name: path.read_bytes() for path in profile.plug_in.iterdir()}
    renamed = Path.rename

    def full(path: Path, target: Path) -> Path:
        if "-new-" in path.name:
            raise OSError(28, "No space left on device")
        return renamed(path, target)

    monkeypatch.setattr(Path, "rename", full)
    with pytest.raises(OutputError, match="No space left on device"):
        gimp.install(profile)
    assert {path.name: path.read_bytes() for path in profile.plug_in.iterdir()} == before
    assert {path.name for path in profile.path.iterdir()} == {"plug-ins", profile.settings.name}


# -- the wheel ---------------------------------------------------------------------------------------------------------


def test_the_wheel_holds_the_plug_in_where_the_installer_looks(tmp_path, monkeypatch):
    repository = Path(eraser.__file__).parents[1]
    with (repository / "pyproject.toml").open("rb") as file:
        wheel = tomllib.load(file)["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"gimp_plugin/magic-eraser": "eraser/gimp_plugin"}
    # an installed package has no repository around it
    package = tmp_path / "site-packages" / "eraser"
    package.mkdir(parents=True)
    monkeypatch.setattr(gimp, "__file__", str(package / "gimp.py"))
    with pytest.raises(InputError, match="no plug-in in it"):
        gimp.plug_in_files()
    (package / "gimp_plugin").mkdir()
    (package / "gimp_plugin" / "magic-eraser.py").touch()
    assert gimp.plug_in_files()["magic-eraser.py"] == package / "gimp_plugin" / "magic-eraser.py"
    assert gimp.plug_in_files()["wire.py"] == package / "wire.py"


# -- asking GIMP -------------------------------------------------------------------------------------------------------


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for gimp-console is a shell script")
def test_gimp_is_asked_whether_it_knows_the_plug_in(profile, tmp_path):
    gimp.install(profile)
    program = console(tmp_path / "bin", "3.0")
    environment = {"PATH": f"{program.parent}{os.pathsep}{os.defpath}"}
    assert gimp.check(profile, environment=environment) == []
    assert (program.parent / "asked").read_text().strip() == str(profile.path)
    console(tmp_path / "bin", "3.0", missing="['plug-in-magic-eraser-erase']")
    assert gimp.check(profile, environment=environment) == ["GIMP does not know plug-in-magic-eraser-erase"]
    # another GIMP's word on this profile would be worth nothing
    console(tmp_path / "bin", "3.2")
    assert gimp.check(profile, environment=environment) is None
    assert gimp.check(profile, environment=NOWHERE) is None


# -- the commands ------------------------------------------------------------------------------------------------------


def test_the_commands_say_what_they_did(tmp_path, capsys):
    place = str(tmp_path / "GIMP" / "3.0")
    assert cli.run(["gimp", "status", "--profile", place]) == 0
    assert f"{place} (chosen): not installed" in capsys.readouterr().out
    assert cli.run(["gimp", "install", "--no-check", "--profile", place]) == 0
    said = capsys.readouterr().out
    assert f"installed {eraser.__version__}" in said
    assert sys.executable in said
    assert cli.run(["gimp", "status", "--json", "--profile", place]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["ok"]
    assert report["profiles"][0]["state"] == "installed"
    assert cli.run(["gimp", "uninstall", "--profile", place]) == 0
    assert "not installed" in capsys.readouterr().out


def test_trouble_is_exit_code_three_and_no_gimp_is_two(tmp_path, capsys, monkeypatch):
    place = tmp_path / "GIMP" / "3.0"
    cli.run(["gimp", "install", "--no-check", "--profile", str(place)])
    (place / gimp.SETTINGS).unlink()
    capsys.readouterr()
    assert cli.run(["gimp", "status", "--profile", str(place)]) == 3
    assert "!! no Python is chosen" in capsys.readouterr().out
    monkeypatch.setattr(gimp, "profiles", list)
    assert cli.run(["gimp", "install"]) == 2
    assert "no GIMP 3 was found" in capsys.readouterr().err
