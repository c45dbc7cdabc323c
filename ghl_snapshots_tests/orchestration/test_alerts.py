"""What goes wrong is posted to a webhook, once."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.definitions import all_definitions, definitions
from ghl_snapshots.orchestration import dagster_tags
from ghl_snapshots.orchestration.alerts import Alert, alerts
from ghl_snapshots.orchestration.launch import capture_now
from ghl_snapshots_tests.orchestration.product import Product
from ghl_snapshots_tests.orchestration.sensing import evaluated

pytestmark = pytest.mark.slow

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
SECRET_PATH = "/services/T000/B000/confidential"


class Webhook(HTTPServer):
    """A channel that keeps the messages posted to it, or refuses them with a status."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.status = 200
        self.texts: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}{SECRET_PATH}"


class Receiver(BaseHTTPRequestHandler):
    server: Webhook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status == 200:
            self.server.texts.append(json.loads(body)["text"])
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        """Leave the test's output alone."""


@pytest.fixture
def webhook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Webhook]:
    with Webhook() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv("GHL_SNAPSHOTS_ALERT_WEBHOOK", server.url)
        monkeypatch.setenv("GHL_SNAPSHOTS_UI_URL", "https://dagster.example.com/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server
        server.shutdown()
        thread.join()


def capture(product: Product, *tenants: str) -> str:
    """Capture the workflows of some tenants; the run's id."""
    [run_id] = capture_now(
        all_definitions(), tenants or ["t00", "t01"], [SnapshotType.WORKFLOWS], reason="t"
    ).run_ids
    return run_id


def test_a_failed_run_is_told_with_tenant_cause_and_link(product: Product, webhook: Webhook) -> None:
    product.location("t01").scopes.discard("workflows.readonly")
    run_id = capture(product)
    evaluated(product, alerts)
    [text] = webhook.texts
    assert text.startswith("*A run of full_snapshot failed*")
    assert "t01 (failed): /workflows/" in text
    assert f"<https://dagster.example.com/runs/{run_id}|Run {run_id}>" in text


def test_what_went_well_is_not_told(product: Product, webhook: Webhook) -> None:
    capture(product)
    evaluated(product, alerts)
    assert webhook.texts == []


def test_the_same_failure_is_told_once_a_day_and_another_one_at_once(
    product: Product, webhook: Webhook
) -> None:
    product.location("t01").scopes.discard("workflows.readonly")
    cursor = None
    for _ in range(2):
        capture(product)
        cursor = evaluated(product, alerts, cursor).cursor
    assert len(webhook.texts) == 1
    product.location("t00").scopes.discard("workflows.readonly")
    capture(product)
    cursor = evaluated(product, alerts, cursor).cursor
    assert "2 of 2 tenants" in webhook.texts[1]
    evaluated(product, alerts, cursor)
    assert len(webhook.texts) == 2


@pytest.mark.parametrize("status", [500, 404, 302])
def test_an_alert_that_is_not_taken_is_posted_again(product: Product, webhook: Webhook, status: int) -> None:
    product.location("t01").scopes.discard("workflows.readonly")
    capture(product)
    webhook.status = status
    refused = evaluated(product, alerts)
    assert f"HTTP status {status}" in str(refused.skip_reason)
    webhook.status = 200
    evaluated(product, alerts, refused.cursor)
    assert len(webhook.texts) == 1


def test_a_webhook_out_of_reach_harms_nothing_and_is_not_named(
    product: Product, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GHL_SNAPSHOTS_ALERT_WEBHOOK", f"http://127.0.0.1:9{SECRET_PATH}")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    product.location("t01").scopes.discard("workflows.readonly")
    capture(product)
    said = str(evaluated(product, alerts).skip_reason)
    assert "ConnectionError" in said
    assert SECRET_PATH not in said


def test_red_checks_are_told_with_their_tenants(product: Product, webhook: Webhook) -> None:
    product.location("t01").scopes.discard("calendars/groups.readonly")
    capture_now(all_definitions(), ["t00", "t01"], [SnapshotType.CALENDARS], reason="test")
    cursor = evaluated(product, alerts).cursor
    with product.instance() as instance:
        definitions().resolve_job_def("daily_checks").execute_in_process(instance=instance, run_config=QUIET)
    evaluated(product, alerts, cursor)
    assert webhook.texts[1].startswith("*Failed checks: 1*\nledger/calendars latest_complete (WARN): ")
    assert ": 1 fault of 1 tenant: t01\n" in webhook.texts[1]


def test_without_a_webhook_nothing_is_posted_later_either(
    product: Product, webhook: Webhook, monkeypatch: pytest.MonkeyPatch
) -> None:
    product.location("t01").scopes.discard("workflows.readonly")
    capture(product)
    monkeypatch.delenv("GHL_SNAPSHOTS_ALERT_WEBHOOK")
    off = evaluated(product, alerts)
    assert "not set" in str(off.skip_reason)
    monkeypatch.setenv("GHL_SNAPSHOTS_ALERT_WEBHOOK", webhook.url)
    evaluated(product, alerts, off.cursor)
    assert webhook.texts == []


def test_a_canceled_run_is_no_alert(product: Product, webhook: Webhook) -> None:
    with product.instance() as instance:
        job = definitions().resolve_job_def("full_snapshot")
        run = instance.create_run_for_job(job, tags={dagster_tags.JOB: "capture"})
        instance.report_run_canceled(run)
    evaluated(product, alerts)
    assert webhook.texts == []


def test_a_text_from_outside_becomes_no_link_or_mention() -> None:
    text = Alert(title="A run failed", problem="t01: <!channel> & <https://evil.example>", link="").text()
    assert "<" not in text
    assert "&lt;!channel&gt; &amp;" in text


def test_a_long_problem_is_cut() -> None:
    assert len(Alert(title="A run failed", problem="x" * 100_000, link="").text()) < 2000
