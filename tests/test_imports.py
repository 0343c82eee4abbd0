"""Imports only go down the floors of the design, and the first import stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import eraser

PACKAGE = Path(eraser.__file__).parent

FLOORS = {
    0: ["door", "errors", "geometry", "machine", "wire"],
    1: [
        "canvas",
        "compose",
        "exif",
        "files",
        "judge",
        "layouts",
        "light",
        "margins",
        "mask_kinds",
        "masks",
        "mattes",
        "metadata",
        "pictures",
        "provenance",
        "pyramid",
        "resemblance",
        "sampling",
        "schedule",
        "window",
        "xmp",
    ],
    2: ["engines", "hub", "shipments", "tensor_files", "weights"],
    3: ["background", "fillings", "plans", "report", "session", "sidecar", ""],  # "" is the package itself
    4: [
        "__main__",
        "background_commands",
        "cli",
        "console",
        "demo",
        "doctor",
        "gimp",
        "gimp_commands",
        "marks",
        "models_commands",
        "paint_commands",
        "painting",
        "redo_commands",
        "serve",
        "serve_commands",
        "web_commands",
    ],
}
FLOOR_OF = {name: floor for floor, names in FLOORS.items() for name in names}

HEAVY = [
    "torch",
    "diffusers",
    "transformers",
    "onnxruntime",
    "numba",
    "gradio",
    "scipy",
    "pyvips",
    "fastapi",
    "uvicorn",
]


@dataclass(frozen=True)
class Import:
    target: str  # dotted
    at_module_level: bool  # runs when the module is imported


def modules() -> dict[str, Path]:
    """{dotted name below the package: file}; the package itself is ""."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports(path: Path) -> Iterator[Import]:
    """Every import statement of a file: those in functions and under TYPE_CHECKING too."""

    def walk(node: ast.AST, runs: bool) -> Iterator[Import]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from (Import(alias.name, runs) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path.name}:{child.lineno} imports relatively"
                for alias in child.names:
                    yield Import(f"{child.module}.{alias.name}", runs)
            else:
                is_function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                for_checker = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test)
                yield from walk(child, runs and not is_function and not for_checker)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), True)


def inside(target: str) -> str | None:
    """The module of this package that an import of `target` needs, as a key of MODULES; None for others'."""
    head, _, rest = target.partition(".")
    if head != "eraser":
        return None
    while rest not in MODULES:  # the last part may be a name in a module
        rest = rest.rpartition(".")[0]
    return rest


def floor(module: str) -> int:
    return FLOOR_OF.get(module.partition(".")[0], 0)  # a test of its own reports those without one


def test_every_module_has_a_floor() -> None:
    homeless = [name for name in MODULES if name.partition(".")[0] not in FLOOR_OF]
    assert not homeless, f"give {homeless} a place in FLOORS"


@pytest.mark.parametrize("module", MODULES, ids=lambda name: name or "eraser")
def test_imports_never_go_up(module: str) -> None:
    upward = [
        found.target
        for found in imports(MODULES[module])
        if (target := inside(found.target)) is not None and floor(target) > floor(module)
    ]
    assert not upward, f"{module or 'eraser'} is on floor {floor(module)} and imports {upward}"


def test_modules_do_not_wait_for_each_other_in_a_circle() -> None:
    graph = {
        module: {
            target
            for found in imports(path)
            if found.at_module_level and (target := inside(found.target)) not in (None, module, "")
        }
        for module, path in MODULES.items()
    }
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError, naming the circle


@pytest.mark.parametrize("module", [name for name in MODULES if floor(name) <= 1])
def test_floors_0_and_1_load_with_numpy_and_pillow_only(module: str) -> None:
    heads = {found.target.partition(".")[0] for found in imports(MODULES[module]) if found.at_module_level}
    foreign = heads - set(sys.stdlib_module_names) - {"eraser", "numpy", "PIL"}
    assert not foreign, f"{module} loads {sorted(foreign)} when it is imported"


@pytest.mark.parametrize("statement", ["import eraser", "import eraser.cli, eraser.demo, eraser.doctor"])
def test_first_import_pulls_in_nothing_heavy(statement: str) -> None:
    code = f"{statement}; import sys; print(*(n for n in {HEAVY} if n in sys.modules))"
    assert run_python("-c", code).split() == []


@pytest.mark.parametrize(
    ("wanted", "arguments"),
    [(0.3, ("-c", "import eraser")), (0.5, ("-m", "eraser", "--help"))],
    ids=["import", "help"],
)
def test_start_is_quick(wanted: float, arguments: tuple[str, ...]) -> None:
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        run_python(*arguments)
        seconds.append(time.perf_counter() - start)
    print(f"python {' '.join(arguments)}: best of 3 {min(seconds):.2f} s, wanted below {wanted} s")
    # a machine that others use may be twenty times slower; a heavy library by accident is caught above
    assert min(seconds) < 20 * wanted


def run_python(*arguments: str) -> str:
    return subprocess.run(
        [sys.executable, *arguments], check=True, capture_output=True, text=True, cwd=PACKAGE.parent, timeout=120
    ).stdout
