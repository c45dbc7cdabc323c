"""A real Prometheus scrapes the API, keeps our series, evaluates the alerts and answers the dashboard."""

import json
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from ghl_snapshots.core.audit_events import AuditEvent
from ghl_snapshots.core.cron import Cron
from ghl_snapshots.core.daily_quota import DailyQuota
from ghl_snapshots.core.model import SnapshotType, Source, Status
from ghl_snapshots.ledger.audit import AuditTrail
from ghl_snapshots.ledger.daily_quotas import DailyQuotas
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots.ledger.status import statuses
from ghl_snapshots_tests.api.conftest import Api
from ghl_snapshots_tests.ledger.captures import ENDPOINT, capture
from ghl_snapshots_tests.waiting import eventually

pytestmark = pytest.mark.slow

DEPLOY = Path(__file__).parents[2] / "deploy" / "prometheus"
PROMETHEUS = shutil.which("prometheus")
TOKEN = "metrics-secret"


@dataclass(frozen=True, slots=True)
class Prometheus:
    """Its HTTP API."""

    base_url: str

    def get(self, path: str, **parameters: str) -> Any:
        """The data of an answer that must be a good one; None while it is still starting."""
        with requests.Session() as session:
            session.trust_env = False
            try:
                answer = session.get(f"{self.base_url}/api/v1/{path}", params=parameters, timeout=20)
            except requests.ConnectionError:
                return None
        if answer.status_code == HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        assert answer.json()["status"] == "success", answer.text
        return answer.json()["data"]

    def series(self, expression: str) -> list[dict[str, Any]]:
        """What the expression gives now."""
        data = self.get("query", query=expression)
        return data["result"] if data else []

    def value(self, expression: str) -> float:
        """The value of an expression that has one series."""
        [found] = self.series(expression)
        return float(found["value"][1])

    def firing(self) -> set[tuple[str, str | None, str | None]]:
        """Name, tenant and type of the alerts that fire."""
        data = self.get("alerts") or {"alerts": []}
        fired = [alert["labels"] for alert in data["alerts"] if alert["state"] == "firing"]
        return {(each["alertname"], each.get("tenant_id"), each.get("snapshot_type")) for each in fired}


@contextmanager
def prometheus(target: str, folder: Path) -> Iterator[Prometheus]:
    """A Prometheus with what deploy/ ships, but for the target, its token and the hurry."""
    # How long something must last before an alert fires is tested by promtool.
    rules = re.sub(r"for: \w+", "for: 0s", (DEPLOY / "alerts.yml").read_text(encoding="utf-8"))
    (folder / "alerts.yml").write_text(rules, encoding="utf-8")
    (folder / "token").write_text(TOKEN, encoding="utf-8")
    config = yaml.safe_load((DEPLOY / "prometheus.yml").read_text(encoding="utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    config["scrape_configs"][0]["authorization"] = {"credentials_file": str(folder / "token")}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [
        str(PROMETHEUS),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={address}",
        "--enable-feature=exemplar-storage",
    ]
    with (
        (folder / "output").open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        try:
            yield Prometheus(f"http://{address}")
        finally:
            process.kill()


@pytest.fixture
def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def scraped(
    serving: Callable[..., Api], database: Database, ledger: Ledger, tmp_path: Path, now: datetime
) -> Iterator[Prometheus]:
    """A Prometheus that has scraped the API twice, after captures of which one failed."""
    for duration_ms in (40, 70):
        made = capture(captured_at=now, correlation_id=f"took-{duration_ms}")
        ledger.append(replace(made, duration_ms=duration_ms))
    kind = SnapshotType.CALENDARS
    ledger.append(capture("zenith", (), captured_at=now, status=Status.FAILED, snapshot_type=kind))
    for event_type, tenant_id, details in (
        ("ghl_snapshot_full_run", "acme", {"durationMs": 4000, "plannedSnapshotTypes": list(SnapshotType)}),
        ("ghl_snapshot_verification", None, {}),
    ):
        event = AuditEvent(
            event_type=event_type,
            tenant_id=tenant_id,
            correlation_id="c",
            success=True,
            source=Source.SCHEDULED,
            details=details,
        )
        AuditTrail(database).record(event)
    quota = DailyQuota(day=now.date(), remaining=150_000, daily=200_000)
    assert DailyQuotas(database).note({"account-acme": quota})
    api = serving(metrics_token=TOKEN)
    with prometheus(api.base_url.removeprefix("http://"), tmp_path) as running:
        eventually(
            lambda: [each for each in running.series("count_over_time(up[1m])") if int(each["value"][1]) > 1],
            "Prometheus has scraped twice",
        )
        yield running


@pytest.mark.skipif(PROMETHEUS is None, reason="prometheus is not installed: apt-get install prometheus")
def test_a_real_prometheus_tells_what_captures_were(
    scraped: Prometheus, database: Database, now: datetime
) -> None:
    """In one test, for the sake of its start: the series, the rules, an alert, every panel's queries."""
    own = 'tenant_id="acme", snapshot_type="workflows"'
    for expression, value in (
        ('up{job="ghl_snapshots"}', 1),
        (f'ghl_snapshot_duration_ms_count{{{own}, success="true"}}', 2),
        (f'ghl_snapshot_duration_ms_sum{{{own}, success="true"}}', 110),
        (f'ghl_snapshot_duration_ms_bucket{{{own}, success="true", le="50"}}', 1),
        (f'ghl_snapshot_duration_ms_bucket{{{own}, success="true", le="+Inf"}}', 2),
        (f"ghl_snapshot_records_total{{{own}}}", 4),
        ('ghl_snapshot_errors_total{tenant_id="zenith", error_type="not_found"}', 1),
        (f'ghl_snapshot_api_calls_total{{endpoint="{ENDPOINT}", status_code="200"}}', 3),
        (f"ghl_snapshot_last_success_timestamp_seconds{{{own}}}", now.timestamp()),
        ('ghl_snapshot_requests{status="accepted"}', 0),
        ('ghl_snapshot_rate_limit_daily_remaining{tenant_id="acme", resource="account-acme"}', 150_000),
        ("ghl_snapshot_chain_verification_age_seconds < bool 60", 1),
    ):
        assert scraped.value(expression) == value, expression
    at = {"start": str(now.timestamp() - 60), "end": str(now.timestamp() + 60)}
    [exemplified] = scraped.get("query_exemplars", query=f"ghl_snapshot_duration_ms_bucket{{{own}}}", **at)
    assert exemplified["seriesLabels"]["le"] == "100"
    assert exemplified["exemplars"][0]["labels"] == {"correlation_id": "took-70"}
    # Two of three captures were complete; of most types there is none yet.
    never = {(name, kind) for name in ("acme", "zenith") for kind in SnapshotType} - {("acme", "workflows")}
    expected = {
        ("GhlSnapshotCaptureFailing", "zenith", "calendars"),
        ("GhlSnapshotSuccessRateLow", None, None),
        *(("GhlSnapshotTenantStale", *each) for each in never),
    }
    eventually(lambda: scraped.firing() == expected, "exactly the alerts fire that should")
    [group] = scraped.get("rules")["groups"]
    assert {rule["health"] for rule in group["rules"]} == {"ok"}
    assert len(group["rules"]) == len(re.findall("- alert:", (DEPLOY / "alerts.yml").read_text("utf-8")))
    check_dashboard(scraped, database)


def check_dashboard(scraped: Prometheus, database: Database) -> None:
    """Each panel has data, its legends' labels are there, and the tables say what `status` says."""
    dashboard = json.loads((DEPLOY / "dashboard.json").read_text(encoding="utf-8"))
    for variable in dashboard["templating"]["list"][1:]:
        metric, label = re.fullmatch(r"label_values\((\w+), (\w+)\)", variable["query"]).groups()  # type: ignore[union-attr]
        assert scraped.get(f"label/{label}/values", **{"match[]": metric}) == ["acme", "zenith"]
    given: dict[str, list[dict[str, Any]]] = {}
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            series = scraped.series(target["expr"].replace("$tenant", ".*").replace("$one", "acme"))
            assert series, f"{panel['title']}: {target['expr']}"
            named = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
            assert all(named <= each["metric"].keys() for each in series), panel["title"]
            given[panel["title"] + target["refId"]] = series
    cells = {
        title: {
            (each["metric"]["tenant_id"], each["metric"]["snapshot_type"]): float(each["value"][1])
            for each in given[f"{title}A"]
        }
        for title in ("State", "Age")
    }
    [texts] = next(panel for panel in dashboard["panels"] if panel["title"] == "State")["fieldConfig"][
        "defaults"
    ]["mappings"]
    words = {None: "none", Status.FAILED: "FAILED", Status.PARTIAL_FAILURE: "partial", Status.SUCCESS: "ok"}
    now = datetime.now(UTC)
    standing = statuses(
        database, dict.fromkeys(SnapshotType, Cron(expression="0 * * * *", timezone="UTC")), now=now
    )
    assert {key: texts["options"][f"{number:.0f}"]["text"] for key, number in cells["State"].items()} == {
        (one.tenant_id, one.snapshot_type.value): words[one.status] for one in standing
    }
    assert cells["Age"].keys() == {
        (one.tenant_id, one.snapshot_type.value) for one in standing if one.good_at
    }
