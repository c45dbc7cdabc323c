"""Imports point one way, and only the Dagster shell knows of Dagster."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import ghl_snapshots

PACKAGE = Path(ghl_snapshots.__file__).parent
LAYERS = (
    {"errors", "legal_json", "stored_tokens", "shared_limits", "api_key"},
    {"model"},
    {"audit", "snapshot_request", "cron", "capture_settings"},
    {"settings", "tenant_file", "logs", "exposition"},
    {"ghl", "ledger", "document", "summary"},
    {"capture", "custody"},
    {"composition", "metrics", "turns"},
    {"api"},
    {"orchestration"},
    {"definitions"},
    {"local"},
    {"cli_tenants", "cli_ledger", "cli_keys"},
    {"cli"},
    {"__main__"},
)
DAGSTER_SHELL = {"orchestration", "definitions"}


def part_of(module: str) -> str:
    """The part of the package a module belongs to: its name's second word, such as `ledger`."""
    return module.split(".")[1] if "." in module else ""


def modules() -> Iterator[tuple[str, Path]]:
    for path in PACKAGE.rglob("*.py"):
        yield ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts), path


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def layer(part: str) -> int:
    return next(rank for rank, parts in enumerate(LAYERS) if part in parts)


CODE = sorted(modules())


def test_every_layer_names_what_there_is() -> None:
    named = {part for parts in LAYERS for part in parts}
    assert named == {part_of(module) for module, _ in CODE} - {"__init__", "simulator"}


@pytest.mark.parametrize(("module", "path"), CODE, ids=[module for module, _ in CODE])
def test_a_module_imports_only_from_layers_below_its_own(module: str, path: Path) -> None:
    part = part_of(module)
    foreign = {part_of(name) for name in imports(path) if name.startswith("ghl_snapshots.")} - {part}
    if part == "simulator":
        assert not foreign, "the simulator stands alone, so that it cannot share our mistakes"
    elif part != "__init__":
        wrong = {other for other in foreign - {"simulator"} if layer(other) >= layer(part)}
        assert not wrong
        assert "simulator" not in foreign or part in {"local", "cli"}


@pytest.mark.parametrize(("module", "path"), CODE, ids=[module for module, _ in CODE])
def test_only_the_dagster_shell_imports_dagster(module: str, path: Path) -> None:
    uses_dagster = any(name.split(".")[0] in {"dagster", "dagster_postgres"} for name in imports(path))
    assert not uses_dagster or part_of(module) in DAGSTER_SHELL


@pytest.mark.parametrize(("module", "path"), CODE, ids=[module for module, _ in CODE])
def test_no_module_reaches_into_the_private_parts_of_dagster(module: str, path: Path) -> None:
    assert not [name for name in imports(path) if name.startswith("dagster._")]
