"""The image, built and started where there is no container engine; `make image` runs this, in five minutes.

buildah builds it in a chroot, on a Debian that debootstrap makes in the place of the base image. What an
engine does when it starts a container is done here: the image's user, environment and entry point, a
read-only root with one folder to write to, a PID namespace. It needs root and the network.
"""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import requests

from ghl_snapshots_tests.command_line import free_port
from ghl_snapshots_tests.end_to_end.hosts import TcpPostgres, tcp_postgres
from ghl_snapshots_tests.test_distribution import PROJECT
from ghl_snapshots_tests.waiting import eventually

BUILDAH, DEBOOTSTRAP = shutil.which("buildah"), shutil.which("debootstrap")
pytestmark = pytest.mark.skipif(
    os.geteuid() != 0 or BUILDAH is None or DEBOOTSTRAP is None,
    reason="needs root: apt-get install buildah debootstrap",
)
_START = """
root=$0 state=$1 user=$2; shift 2
mount --make-rprivate /
mount --bind "$root" "$root" && mount -o remount,bind,ro "$root"
mount --bind "$state" "$root/var/lib/ghl_snapshots"
mount -t proc proc "$root/proc" && mount --bind /dev "$root/dev"
exec chroot --userspec="$user" "$root" "$@"
"""


@dataclass(frozen=True, slots=True)
class Image:
    """The image's files, and what it says of a container's process."""

    root: Path
    config: Mapping[str, Any]

    def start(
        self, state: Path, *arguments: str, entry_point: str = "", **variables: str
    ) -> subprocess.Popen[str]:
        """Start a container with these arguments, that folder for its state and these variables."""
        uid, gid = (int(number) for number in self.config["User"].split(":"))
        state.mkdir(exist_ok=True)
        os.chown(state, uid, gid)
        own = dict(variable.split("=", 1) for variable in self.config["Env"])
        command = [entry_point] if entry_point else self.config["Entrypoint"]
        namespaces = ("unshare", "--mount", "--pid", "--fork", "--kill-child")
        return subprocess.Popen(
            [*namespaces, "sh", "-ec", _START, self.root, state, f"{uid}:{gid}", *command, *arguments],
            env={**own, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, state: Path, *arguments: str, entry_point: str = "", **variables: str) -> tuple[int, str]:
        """The exit code and the output of a container."""
        process = self.start(state, *arguments, entry_point=entry_point, **variables)
        output, _ = process.communicate(timeout=300)
        return process.returncode, output


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    folder = tmp_path_factory.mktemp("image")
    base = folder / "base"
    packages = "--include=python3,python3-venv,ca-certificates"
    subprocess.run(
        [str(DEBOOTSTRAP), "--variant=minbase", packages, "bookworm", base],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    storage = ("--storage-driver", "vfs", "--root", str(folder / "storage"), "--runroot", str(folder / "run"))

    def buildah(*arguments: str) -> str:
        done = subprocess.run(
            [str(BUILDAH), *storage, *arguments], check=True, stdout=subprocess.PIPE, text=True
        )
        return done.stdout.strip()

    container = buildah("from", "scratch")
    buildah("copy", "--quiet", container, str(base), "/")
    buildah("commit", "--quiet", "--rm", container, "localhost/base")
    isolated = ("--isolation", "chroot", "--network", "host", "--volume", "/etc/ssl/certs:/etc/ssl/certs:ro")
    file = ("--file", str(PROJECT / "deploy" / "Dockerfile"), "--build-arg", "BASE=localhost/base")
    buildah("bud", *isolated, *file, "--tag", "localhost/ghl_snapshots", str(PROJECT))
    config = json.loads(buildah("inspect", "--type", "image", "localhost/ghl_snapshots"))["OCIv1"]["config"]
    container = buildah("from", "localhost/ghl_snapshots")
    yield Image(Path(buildah("mount", container)), config)
    buildah("rm", "--all")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TcpPostgres]:
    with tcp_postgres(tmp_path_factory.mktemp("postgres")) as server:
        yield server


def test_a_container_writes_into_its_state_only_and_has_no_embedded_postgres(
    image: Image, tmp_path: Path
) -> None:
    state = tmp_path / "state"
    for path in ("/x", "/opt/ghl_snapshots/x"):
        code, output = image.run(state, "-c", f"touch {path}", entry_point="sh")
        assert (code, "Read-only file system" in output) == (1, True), output
    code, output = image.run(state, "migrate")
    assert (code, "GHL_SNAPSHOTS_DATABASE_URL" in output) == (2, True), output


def test_its_processes_work_and_end_by_sigterm(image: Image, server: TcpPostgres, tmp_path: Path) -> None:
    variables = {
        "GHL_SNAPSHOTS_DATABASE_URL": server.url("ghl_snapshots"),
        "GHL_SNAPSHOTS_ENCRYPTION_KEYS": "a" * 43 + "=",
    }
    for arguments in (
        ("migrate",),
        ("dagster", "instance", "migrate"),
        ("dagster", "definitions", "validate"),
    ):
        code, output = image.run(tmp_path / "state", *arguments, **variables)
        assert code == 0, output
    port = free_port()

    def answers() -> bool:
        assert api.poll() is None
        try:
            return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).ok
        except requests.ConnectionError:
            return False

    with image.start(tmp_path / "api", "api", "--port", str(port), **variables) as api:
        try:
            eventually(answers, "the API answers")
            [first] = psutil.Process(api.pid).children()
            first.terminate()
            assert api.wait(60) == 130, "as after Ctrl-C"
        finally:
            api.kill()
