"""`.env.example` is complete and right: the settings that the product reads, with their defaults."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

import ghl_snapshots
from ghl_snapshots.cli.app import app

EXAMPLE = Path(ghl_snapshots.__file__).parents[1] / ".env.example"


def test_the_example_names_every_setting_with_its_default_and_no_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    example = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", EXAMPLE.read_text("utf-8"), re.MULTILINE))
    for name in example:
        monkeypatch.delenv(name, raising=False)
    printed = CliRunner().invoke(app, ["config"]).stdout
    settings = dict(re.findall(r"^([A-Z_]+)=(.*)$", printed, re.MULTILINE))
    assert example.keys() == settings.keys()
    defaults = {name: value for name, value in settings.items() if value != "(unset)"}
    assert {name: example[name].strip('"') for name in defaults} == defaults


def test_the_example_as_it_is_changes_nothing() -> None:
    assert all(line.startswith("#") for line in EXAMPLE.read_text("utf-8").splitlines() if line)
