"""How Gradio is imported: without the half of the work that nobody needs."""

from __future__ import annotations

import gc
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from types import ModuleType


def load_app() -> ModuleType:
    """The module web_demo.app. Gradio reads the environment when it is imported, so that must be set before."""
    collects = gc.isenabled()
    gc.disable()  # thousands of classes are no garbage to look through
    hook = NoStubs()
    sys.meta_path.insert(0, hook)
    try:
        from web_demo import app
    finally:
        sys.meta_path.remove(hook)
        gc.freeze()
        if collects:
            gc.enable()
    return app


class NoStubs(MetaPathFinder):
    """Keeps Gradio from making its .pyi files anew: two fifths of the time of importing it.

    They are for the editors of those who write with Gradio; it parses all of its components to see whether one changed.
    """

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name == "gradio.component_meta" else None
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def load_without(module: ModuleType) -> None:
            load(module)
            vars(module)["create_or_modify_pyi"] = lambda *_: None

        spec.loader.exec_module = load_without  # type: ignore[method-assign]
        return spec
