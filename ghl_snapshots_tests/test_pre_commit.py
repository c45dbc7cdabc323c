"""The hooks before a commit check what `make lint` checks."""

import re
from pathlib import Path

import yaml

import ghl_snapshots

PROJECT = Path(ghl_snapshots.__file__).parents[1]


def test_the_hooks_run_the_commands_of_make_lint() -> None:
    recipe = re.search(r"^lint:.*\n((?:\t.*\n)+)", (PROJECT / "Makefile").read_text("utf-8"), re.MULTILINE)
    assert recipe
    linted = [line.strip().lstrip("@").replace("$(BIN)", ".venv/bin") for line in recipe[1].splitlines()]
    [local] = yaml.safe_load((PROJECT / ".pre-commit-config.yaml").read_text("utf-8"))["repos"]
    assert [hook["entry"] for hook in local["hooks"]] == linted
