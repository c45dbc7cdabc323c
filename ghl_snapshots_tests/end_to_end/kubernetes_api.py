"""A stand-in of the Kubernetes API: it executes Jobs as processes, and ends them as a kubelet ends pods.

A pod's process gets what its Job says and nothing else: the environment of its Secrets and variables, a
folder for each volume. Where the machine allows, it is the first process of a PID namespace, as in a
container, where a signal that it has no handler for does nothing.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import psutil
import yaml
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from kubernetes.client import V1Job

from ghl_snapshots.local.endings import wait_for_end

ENTRY_POINT = str(Path(sys.executable).parent / "ghl-snapshots")
"""The image's."""
_NAMESPACES = (
    ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child"),
    ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--mount-proc", "--kill-child"),
    (),
)


@cache
def _namespace() -> Sequence[str]:
    """What makes a process the first of a PID namespace here; nothing where that is not allowed."""
    for command in _NAMESPACES:
        if command and not shutil.which(command[0]):
            continue
        done = subprocess.run([*command, "true"], capture_output=True, check=False, timeout=60)
        if done.returncode == 0:
            return command
    raise AssertionError("There is no program `true`.")


@dataclass(slots=True)
class Pod:
    """The one pod of a Job."""

    name: str
    job: Mapping[str, Any]
    process: subprocess.Popen[bytes]
    ending: threading.Thread | None = None

    @property
    def grace_seconds(self) -> int:
        """How long its process is given after SIGTERM."""
        seconds: int = self.job["spec"]["template"]["spec"].get("terminationGracePeriodSeconds", 30)
        return seconds

    def end(self) -> None:
        """As when the pod is deleted or evicted: SIGTERM, and SIGKILL once the grace period is over."""
        if self.ending is None:
            self.ending = threading.Thread(target=self._end)
            self.ending.start()

    def _end(self) -> None:
        with suppress(psutil.NoSuchProcess):
            outer = psutil.Process(self.process.pid)
            first = outer.children()[0] if _namespace() else outer
            first.send_signal(signal.SIGTERM)
            if wait_for_end([first], self.grace_seconds):
                first.kill()
        self.process.wait()


@dataclass(slots=True)
class Cluster:
    """The Jobs of a namespace, and what there is for them."""

    folder: Path
    secrets: Mapping[str, Mapping[str, str]]
    image_environment: Mapping[str, str]
    """What the image's ENV says."""
    url: str = ""
    pods: dict[str, Pod] = field(default_factory=dict)

    @property
    def kubeconfig(self) -> Path:
        """The file by which a client finds this API."""
        path = self.folder / "kubeconfig"
        here = {"cluster": "here", "user": "me"}
        content = {
            "clusters": [{"name": "here", "cluster": {"server": self.url}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": here}],
            "current-context": "here",
        }
        path.write_text(yaml.safe_dump(content))
        return path

    def create(self, job: Mapping[str, Any]) -> None:
        """Accept a Job that the schema of Kubernetes allows, and start its process."""
        k8s_model_from_dict(V1Job, k8s_snake_case_dict(V1Job, job))
        name: str = job["metadata"]["name"]
        [container] = job["spec"]["template"]["spec"]["containers"]
        root = self.folder / name
        with (self.folder / f"{name}.log").open("wb") as log:
            process = subprocess.Popen(
                [*_namespace(), ENTRY_POINT, *container["args"]],
                cwd=self.folder,
                env=self._environment(container, root),
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        self.pods[name] = Pod(job["spec"]["template"]["metadata"]["name"], job, process)

    def _environment(self, container: Mapping[str, Any], root: Path) -> dict[str, str]:
        environment = {"PATH": os.environ["PATH"], "HOME": "/", **self.image_environment}
        for source in container.get("envFrom", ()):
            environment |= self.secrets[source["secretRef"]["name"]] if "secretRef" in source else {}
        environment |= {variable["name"]: variable["value"] for variable in container["env"]}
        for mount in container["volumeMounts"]:
            volume = root / mount["mountPath"].removeprefix("/")
            volume.mkdir(parents=True)
            for name, value in environment.items():
                if value.startswith(mount["mountPath"]):
                    environment[name] = value.replace(mount["mountPath"], str(volume), 1)
        return environment

    def log(self, job_name: str) -> str:
        """What a Job's process has printed."""
        return (self.folder / f"{job_name}.log").read_text(encoding="utf-8")


class _Handler(BaseHTTPRequestHandler):
    """The requests that dagster-k8s sends, at /apis/batch/v1/namespaces/… and /api/v1/namespaces/…"""

    cluster: Cluster

    def do_POST(self) -> None:
        """Create a Job."""
        job = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.cluster.create(job)
        self._answer(HTTPStatus.CREATED, job)

    def do_GET(self) -> None:
        """List the pods of a Job."""
        [selector] = parse_qs(urlsplit(self.path).query)["labelSelector"]
        pod = self.cluster.pods.get(selector.removeprefix("job-name="))
        items = [{"metadata": {"name": pod.name}}] if pod else []
        self._answer(HTTPStatus.OK, {"kind": "PodList", "items": items})

    def do_DELETE(self) -> None:
        """Delete a Job, which takes its pod with it, or a pod."""
        kind, name = urlsplit(self.path).path.split("/")[-2:]
        pods = self.cluster.pods
        found = [pod for job, pod in pods.items() if name == (job if kind == "jobs" else pod.name)]
        for pod in found:
            pod.end()
        self._answer(HTTPStatus.OK if found else HTTPStatus.NOT_FOUND, {"kind": "Status"})

    def _answer(self, status: HTTPStatus, body: Mapping[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def running_cluster(
    folder: Path, *, secrets: Mapping[str, Mapping[str, str]], image_environment: Mapping[str, str]
) -> Iterator[Cluster]:
    """The API on a free port; the processes of its Jobs end with it."""
    cluster = Cluster(folder, secrets, image_environment)
    handler = type("_ClusterHandler", (_Handler,), {"cluster": cluster})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        cluster.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()
            for pod in cluster.pods.values():
                pod.process.kill()
                pod.process.wait()
                if pod.ending:
                    pod.ending.join()
