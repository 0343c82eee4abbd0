"""How the page's server starts, and what it says where it cannot."""

from __future__ import annotations

import importlib
import importlib.util
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import eraser
from eraser import weights
from eraser.engines import registry

pytest.importorskip("gradio", reason="gradio is not installed: pip install -e '.[web]' in the clone")

from web_demo.folders import Folders
from web_demo.loading import NoStubs
from web_demo.studio import Studio


def test_gradio_makes_no_stubs_of_its_components_while_it_is_loaded() -> None:
    gradio = pytest.importorskip("gradio")
    loaded = importlib.import_module("gradio.component_meta")
    assert hasattr(loaded, "create_or_modify_pyi")  # else there is nothing to save any more
    spec = NoStubs().find_spec(loaded.__name__, gradio.__path__)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.create_or_modify_pyi(object, "no component", []) is None
    assert module.ComponentMeta is not loaded.ComponentMeta
    assert NoStubs().find_spec("gradio.events", gradio.__path__) is None


def test_without_gradio_the_command_says_what_to_install() -> None:
    code = "import sys; sys.modules['gradio'] = None\nfrom eraser import cli; sys.exit(cli.run(['web']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "pip install -e '.[web]' in the clone" in done.stderr


def test_a_port_that_is_taken_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "eraser", "web", "--no-open", "--port", str(port)],
            capture_output=True, text=True, timeout=120, check=False, env=os.environ | {"TMPDIR": str(tmp_path)},
        )  # fmt: skip
    assert done.returncode == 2
    assert f"the port {port} on 127.0.0.1 cannot be used" in done.stderr
    assert list(tmp_path.glob("magic-eraser-web-*")) == []


def test_the_page_offers_the_server_s_own_engine_without_its_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from web_demo.app import engine_choices

    here: set[str] = set()
    monkeypatch.setattr(weights, "present", lambda file: tmp_path if file.name in here else None)

    made = Studio(engine="latent:/home/somebody/model", folders=Folders(keep_seconds=60, parent=tmp_path))
    try:
        assert made.engine_of("latent") == made.engine_of("") == made.engine

        def offered(own: str) -> list[str]:
            names = registry.open_to_others(made.engine)
            return [name for _, name in engine_choices(eraser.engines(), names, own)]

        assert offered("latent") == ["auto", "patch", "latent"]
        assert offered("lama") == ["auto", "patch", "lama", "latent"]  # who chose it is told what is missing
        here.update(file.name for file in registry.ENTRIES["migan"].files)
        assert offered("latent") == ["auto", "patch", "migan", "latent"]
        assert "somebody" not in str(registry.open_to_others(made.engine))
    finally:
        made.close()
