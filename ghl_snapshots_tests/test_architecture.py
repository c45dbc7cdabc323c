"""Imports point one way, and only the Dagster shell knows of Dagster. Each test lists all violations."""

import ast
from collections.abc import Iterator
from pathlib import Path

import ghl_snapshots

PACKAGE = Path(ghl_snapshots.__file__).parent
FLOORS = (
    {"core"},
    {"ghl", "ledger"},
    {"capture", "metrics"},
    {"api"},
    {"orchestration"},
    {"definitions", "downstream"},
    {"local"},
    {"cli"},
    {"__main__"},
)
"""The rooms from the ground up; a room imports from lower floors only."""
DAGSTER_SHELL = {"orchestration", "definitions", "downstream"}
USES_THE_SIMULATOR = {"local", "cli"}


def room_of(module: str) -> str:
    """The room that a module belongs to: its name's second word, such as `ledger`."""
    return module.split(".")[1] if "." in module else "__init__"


def modules() -> Iterator[tuple[str, Path]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def floor(room: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if room in rooms)


def may_import(room: str, other: str) -> bool:
    if other == "simulator":
        return room in USES_THE_SIMULATOR
    # The simulator stands alone, so that it cannot share our mistakes.
    return room != "simulator" and floor(other) < floor(room)


def test_imports_point_down() -> None:
    rooms = {room_of(module) for module, _ in modules()} - {"__init__", "simulator"}
    assert rooms == {room for rooms in FLOORS for room in rooms}
    assert not [
        f"{module} imports {name}"
        for module, path in modules()
        for name in imports(path)
        if name.startswith("ghl_snapshots.") and room_of(name) != room_of(module)
        if not may_import(room_of(module), room_of(name))
    ]


def test_only_the_dagster_shell_imports_dagster() -> None:
    assert not [
        f"{module} imports {name}"
        for module, path in modules()
        for name in imports(path)
        if name.split(".")[0].startswith("dagster") and room_of(module) not in DAGSTER_SHELL
    ]


def test_no_module_reaches_into_the_private_parts_of_dagster() -> None:
    assert not [
        f"{module} imports {name}"
        for module, path in modules()
        for name in imports(path)
        if name.startswith("dagster._")
    ]
