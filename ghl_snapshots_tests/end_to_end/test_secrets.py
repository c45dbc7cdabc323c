"""No secret is in anything that the running product writes or answers, in whatever form."""

import base64
import json
import subprocess
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import psycopg
import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.local.postgres import EmbeddedPostgres, program
from ghl_snapshots.simulator.faults import Effect, Fault
from ghl_snapshots.simulator.generation import demo_accounts
from ghl_snapshots.simulator.messages import Reply, Request
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.api.conftest import Client
from ghl_snapshots_tests.command_line import CommandLine, free_port
from ghl_snapshots_tests.end_to_end.stack import Webserver
from ghl_snapshots_tests.local.test_dev import wait_for
from ghl_snapshots_tests.waiting import eventually

PASSWORD = "planted/password"
KEY = base64.urlsafe_b64encode(bytes(range(100, 132))).decode()
WRONG_TOKEN = "pit-planted-but-wrong"
METRICS_TOKEN = "planted-metrics-token"
TENANTS = ("agency", "salon", "from-file", "mistaken")
SHORTEST = 8


class Indiscretion(Effect):
    """A GHL that remembers every secret it receives and sends, and repeats those it received in refusals."""

    refusals: Mapping[str, int] = {
        "/workflows/": 401,
        "/opportunities/pipelines": 403,
        "/calendars/groups": 422,
        "/conversation-ai/agents/search": 500,
    }

    def __init__(self) -> None:
        self.secrets: set[str] = set()
        self._first = {"/oauth/token", "/oauth/locationToken"}
        self._lock = threading.Lock()

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """Refuse some lists always and each exchange of tokens once, with all that was heard."""
        heard = [request.headers.get("authorization", "").removeprefix("Bearer ").strip()]
        heard += [request.form.get(name, "") for name in ("client_secret", "refresh_token", "code")]
        path = urllib.parse.urlsplit(request.path).path
        with self._lock:
            self.secrets.update(heard)
            first = path in self._first
            self._first.discard(path)
        if first or path in self.refusals:
            refusal = json.dumps({"message": f"what is this: {' '.join(heard)}", "heard": heard}).encode()
            return Reply(status=self.refusals.get(path, 500), body=refusal)
        reply = answer(request)
        if path.startswith("/oauth/"):
            self._hear(json.loads(reply.body))
        return reply

    def _hear(self, answer: Mapping[str, Any]) -> None:
        with self._lock:
            self.secrets.update(str(answer.get(name, "")) for name in ("access_token", "refresh_token"))


def forms(secret: str) -> Iterator[bytes]:
    """The secret as it is, in a URL, in hexadecimal as PostgreSQL dumps bytes, and inside of base64."""
    yield secret.encode()
    yield urllib.parse.quote(secret, safe="").encode()
    yield secret.encode().hex().encode()
    for before in range(3):
        # What surrounds it decides about the first and the last characters, the alphabet about two others.
        whole = base64.b64encode(b"." * before + secret.encode())
        inner = whole[-(-before * 8 // 6) : (before + len(secret)) * 8 // 6]
        yield inner
        yield inner.translate(bytes.maketrans(b"+/", b"-_"))


def found(secrets: set[str], written: Mapping[str, bytes]) -> Sequence[str]:
    """Where a secret stands, and in which form."""
    needles = {form for secret in secrets for form in forms(secret)}
    return [
        f"{needle!r} in {place}" for place, text in written.items() for needle in needles if needle in text
    ]


@pytest.mark.parametrize("before", ["", "x", "xy"])
@pytest.mark.parametrize("after", ["", "z", "zz"])
def test_a_secret_is_found_in_every_form(before: str, after: str) -> None:
    text = f"{before}hunter2/?+hunter2{after}".encode()
    for written in (
        text,
        text.hex().encode(),
        base64.b64encode(text),
        base64.urlsafe_b64encode(text),
        urllib.parse.quote(text, safe="").encode(),
    ):
        assert found({"hunter2/?+hunter2"}, {"here": written})
    assert not found({"hunter3/?+hunter3"}, {"here": text})


def url_of(server: EmbeddedPostgres, name: str) -> str:
    """The database's URL with the planted password, which the server does not ask for."""
    return server.url(name).replace("//postgres@", f"//postgres:{urllib.parse.quote(PASSWORD, safe='')}@")


def dumped(server: EmbeddedPostgres, name: str) -> bytes:
    command = [str(program("pg_dump")), "--inserts", "--dbname", server.url(name)]
    return subprocess.run(command, check=True, capture_output=True).stdout


def files(folder: Path) -> dict[str, bytes]:
    return {str(file): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@contextmanager
def developed(command: CommandLine, output: Path) -> Iterator[tuple[str, Webserver, list[str]]]:
    """The whole product: the API's URL, Dagster's webserver, and the command lines of all processes."""
    port, api_port = free_port(), free_port()
    with (
        closing(Webserver(port)) as webserver,
        command.running("dev", "--port", str(port), "--api-port", str(api_port), output=output) as dev,
    ):
        wait_for(b"Ctrl-C ends everything", output, dev)
        family = [psutil.Process(dev.pid), *psutil.Process(dev.pid).children(recursive=True)]
        lines = [" ".join(process.cmdline()) for process in family if process.is_running()]
        yield f"http://127.0.0.1:{api_port}", webserver, lines


def test_nothing_that_the_product_writes_or_answers_holds_a_secret(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    """Captures that fail and that succeed, by every kind of credential, commands, the API, Dagster."""
    accounts = demo_accounts(seed=1)
    agency = next(iter(accounts.agencies.values()))
    salon, filed = accounts.single_locations
    name = f"secrets_{uuid4().hex}"
    token_file = tmp_path / "token"
    token_file.write_text(filed.private_integration_token)
    listed = tmp_path / "tenants.yaml"
    listed.write_text(
        f"""tenants:
  - {{id: agency, account: {agency.company_id}, kind: company, credential: oauth}}
  - {{id: salon, account: {salon.location_id}, credential: "env:SALON_TOKEN"}}
  - {{id: from-file, account: {filed.location_id}, credential: "file:{token_file}"}}
  - {{id: mistaken, account: {salon.location_id}, credential: "env:WRONG_TOKEN"}}
"""
    )
    indiscreet = Indiscretion()
    with Simulator(accounts, burst_limit=10**9) as simulator:
        simulator.inject(Fault(effect=indiscreet))
        command = CommandLine(
            home=tmp_path / "home",
            variables={
                "GHL_SNAPSHOTS_DATABASE_URL": url_of(postgres, name),
                "GHL_SNAPSHOTS_ENCRYPTION_KEYS": KEY,
                "GHL_SNAPSHOTS_METRICS_TOKEN": METRICS_TOKEN,
                "GHL_SNAPSHOTS_RETRY_WAIT_SECONDS": "0.01",
                "GHL_BASE_URL": simulator.base_url,
                "GHL_OAUTH_CLIENT_ID": accounts.client_id,
                "GHL_OAUTH_CLIENT_SECRET": accounts.client_secret,
                "SALON_TOKEN": salon.private_integration_token,
                "WRONG_TOKEN": WRONG_TOKEN,
            },
        )
        said = [command("tenants", "import", str(listed))]
        said.append(command("tenants", "authorize", "agency", stdin=agency.refresh_token.encode()))
        made = command(
            "keys",
            "create",
            *(part for tenant in TENANTS for part in ("--tenant", tenant)),
            "--role",
            "admin",
        )
        key = made.stdout.decode().strip()
        with developed(command, tmp_path / "output") as (api, webserver, lines):
            eventually(lambda: stored(postgres, name), "every tenant and type is captured", seconds=240)
            answered = answers(api, key, agency.company_id)
            answered["Dagster"] = json.dumps(
                webserver.query(
                    "{ instance { info } version runsOrError { ... on Runs { results { runConfigYaml } } } }"
                )
            ).encode()
        said.append(command("audit", "--json", "--limit", "1000"))
        said.append(command("config"))
        said.append(command("tenants", "list"))
    written = {
        "dump": dumped(postgres, name),
        "Dagster's dump": dumped(postgres, f"{name}_dagster"),
        "dev": (tmp_path / "output").read_bytes(),
        "keys create": made.stderr,
        "arguments": "\n".join(lines).encode(),
        **{" ".join(map(str, one.args[1:])): one.stdout + one.stderr for one in said},
        **files(tmp_path / "home"),
        **answered,
    }
    planted = indiscreet.secrets | {PASSWORD, KEY, METRICS_TOKEN, WRONG_TOKEN, key, accounts.client_secret}
    planted |= {salon.private_integration_token, filed.private_integration_token, agency.refresh_token}
    assert_was_put_to_the_test(indiscreet, postgres, name, written)
    leaks = found({secret for secret in planted if len(secret) >= SHORTEST}, written)
    assert not leaks, "\n".join(leaks)


def stored(server: EmbeddedPostgres, name: str) -> bool:
    """Whether each tenant has a snapshot of each type, and the runs are in the audit trail."""
    with psycopg.connect(server.url(name)) as connection:
        row: Any = connection.execute(
            "SELECT count(DISTINCT (tenant_id, snapshot_type)) FROM ghl.snapshot"
        ).fetchone()
    return bool(row[0] == len(TENANTS) * len(SnapshotType))


def answers(api: str, key: str, account_id: str) -> dict[str, bytes]:
    """What the API answers to good calls and to bad ones, headers included."""
    client, paths = Client(api, key), ["/openapi.json", "/docs", "/healthz", "/readyz", "/nothing"]
    listed = client.get("/api/snapshots?tenantId=agency")["snapshots"]
    for snapshot in listed[:5]:
        paths += [
            f"/api/snapshots/{snapshot['metadata']['snapshotId']}{end}"
            for end in ("", "?raw=true", "/verify")
        ]
    answers = {path: client("GET", path) for path in ("/api/snapshots?tenantId=agency", *paths)}
    answers["trigger"] = client.trigger("agency", ghlAccountId=account_id)
    answers["refused"] = client.trigger("agency", ghlAccountId="other")
    answers["wrong key"] = Client(api, f"{key}x")("GET", "/api/snapshots?tenantId=agency")
    answers["/metrics"] = Client(api, METRICS_TOKEN)("GET", "/metrics")
    assert answers["trigger"].status_code == 202
    assert answers["wrong key"].status_code == 401
    assert b"ghl_" in answers["/metrics"].content
    return {what: repr(answer.headers).encode() + answer.content for what, answer in answers.items()}


def assert_was_put_to_the_test(
    indiscreet: Indiscretion, server: EmbeddedPostgres, name: str, written: Mapping[str, bytes]
) -> None:
    """Secrets of each kind were about, calls failed by them, and all that is looked through is there."""
    kinds = [
        secret.partition("-")[0] if secret.startswith("pit-") else secret[:3] for secret in indiscreet.secrets
    ]
    assert kinds.count("pit") == 3
    assert kinds.count("eyJ") >= 1 + 3, "the agency's token and its locations'"
    assert not Indiscretion.refusals.keys() - {
        word for word in Indiscretion.refusals if word.encode() in written["dump"]
    }
    with psycopg.connect(server.url(name)) as connection:
        for table, least in (("oauth_token", 1), ("location_token", 3), ("api_key", 1)):
            row: Any = connection.execute(f"SELECT count(*) FROM ghl.{table}").fetchone()
            assert row[0] >= least, table
        failures: Any = connection.execute(
            "SELECT count(*) FROM ghl.snapshot WHERE status <> 'success'"
        ).fetchone()
    assert failures[0] >= len(TENANTS)
    for place in ("dump", "Dagster's dump", "dev", "audit --json --limit 1000"):
        assert b"agency" in written[place], place
    assert any(place.endswith(".err") and b"workflows" in text for place, text in written.items())
