"""Posts what went wrong to a webhook, in the JSON that Slack and what is compatible with it understand.

An alert that the webhook does not take is posted again at the next evaluation, so it may arrive twice but
does not get lost, and no run waits for it. The same alert is not repeated within a day.
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg
import requests

from ghl_snapshots.core.settings import Settings, load_settings
from ghl_snapshots.orchestration.failures import failures_of_run
from ghl_snapshots.orchestration.finished_runs import cursor_at, finished_since
from ghl_snapshots.orchestration.resources import DatabaseResource

_SILENCE = timedelta(days=1)
_TIMEOUT_SECONDS = (5, 10)
_MAX_ALERTS = 10
_MAX_TEXT_LENGTH = 1500
_UNIQUE = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """Something that a person should look at; `problem` is the same whenever the same is wrong again."""

    title: str
    problem: str
    link: str

    @property
    def key(self) -> str:
        """A digest of title and problem without the ids in them, the same for the same alert next time."""
        return hashlib.sha256(_UNIQUE.sub("", f"{self.title}\n{self.problem}").encode()).hexdigest()[:32]

    def text(self) -> str:
        """The alert in Slack's notation."""
        problem = self.problem[:_MAX_TEXT_LENGTH] + ("..." if len(self.problem) > _MAX_TEXT_LENGTH else "")
        return f"*{_escaped(self.title)}*\n{_escaped(problem)}\n{self.link}"


@dg.sensor(
    name="alerts",
    minimum_interval_seconds=30,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Posts failed runs and failed checks to the webhook of GHL_SNAPSHOTS_ALERT_WEBHOOK; does "
    "nothing where that is not set. The same alert is not repeated within a day.",
)
def alerts(context: dg.SensorEvaluationContext, database: DatabaseResource) -> dg.SkipReason:
    """Post one message on all that went wrong since the last time."""
    settings, now = load_settings(), database.database.now()
    if settings.alert_webhook is None:
        # What fails before there is a webhook is not posted when there is one.
        finished = finished_since(context.instance, cursor_at(now), now=now)
        context.update_cursor(_cursor(finished.cursor, {}))
        return dg.SkipReason("GHL_SNAPSHOTS_ALERT_WEBHOOK is not set, so nothing is posted.")
    runs_cursor, sent = _read_cursor(context.cursor, now)
    finished = finished_since(context.instance, runs_cursor, now=now, look_back=_SILENCE)
    new = {
        alert.key: alert
        for record in finished.records
        for alert in alerts_of(context.instance, record.dagster_run, settings)
        if alert.key not in sent
    }
    problem = _post(settings.alert_webhook.get_secret_value(), list(new.values())) if new else None
    if problem:
        return dg.SkipReason(f"The webhook did not take {len(new)} alerts: {problem}. They are posted again.")
    context.update_cursor(_cursor(finished.cursor, {**sent, **dict.fromkeys(new, now.isoformat())}))
    return dg.SkipReason(f"{len(new)} alerts were posted.")


def alerts_of(instance: dg.DagsterInstance, run: dg.DagsterRun, settings: Settings) -> Iterator[Alert]:
    """The alerts on a finished run; none on one that somebody canceled."""
    link = f"Run {run.run_id}"
    if settings.ui_url:
        link = f"<{str(settings.ui_url).rstrip('/')}/runs/{run.run_id}|{link}>"
    if run.status is dg.DagsterRunStatus.FAILURE:
        causes = "\n".join(failures_of_run(instance, run.run_id)) or "It gave no cause."
        yield Alert(title=f"A run of {run.job_name.strip('_')} failed", problem=causes, link=link)
    failed = sorted(_failed_checks(instance, run.run_id))
    if failed:
        yield Alert(title=f"Failed checks: {len(failed)}", problem="\n".join(failed), link=link)


def _failed_checks(instance: dg.DagsterInstance, run_id: str) -> Iterator[str]:
    kind = dg.DagsterEventType.ASSET_CHECK_EVALUATION
    for record in instance.get_records_for_run(run_id, of_type={kind}).records:
        event = record.event_log_entry.dagster_event
        result = event.asset_check_evaluation_data if event else None
        if result and not result.passed:
            yield (
                f"{result.asset_key.to_user_string()} {result.check_name} ({result.severity.value}): "
                f"{result.description or 'see the check'}{_tenants(result)}"
            )


def _tenants(result: dg.AssetCheckEvaluation) -> str:
    offenders = result.metadata.get("offenders")
    if not isinstance(offenders, dg.TableMetadataValue):
        return ""
    tenants = list(dict.fromkeys(str(record.data["tenant"]) for record in offenders.records))
    more = f" and {len(tenants) - _MAX_ALERTS} more" if len(tenants) > _MAX_ALERTS else ""
    return f": {', '.join(tenants[:_MAX_ALERTS])}{more}"


def _post(webhook: str, new: Sequence[Alert]) -> str | None:
    """Send one message; what went wrong, without the webhook's address, which is a secret."""
    texts = [alert.text() for alert in new[:_MAX_ALERTS]]
    if len(new) > _MAX_ALERTS:
        texts.append(f"... and {len(new) - _MAX_ALERTS} more; see Dagster's runs.")
    try:
        answer = requests.post(
            webhook, json={"text": "\n\n".join(texts)}, timeout=_TIMEOUT_SECONDS, allow_redirects=False
        )
    except requests.RequestException as error:
        return type(error).__name__
    return None if answer.status_code // 100 == 2 else f"HTTP status {answer.status_code}"


def _cursor(runs_cursor: str, sent: Mapping[str, str]) -> str:
    return json.dumps({"runs": runs_cursor, "sent": sent})


def _read_cursor(cursor: str | None, now: datetime) -> tuple[str | None, Mapping[str, str]]:
    """Up to where runs were looked at, and what was posted when; nothing that is older than a day."""
    values = json.loads(cursor) if cursor else {"runs": None, "sent": {}}
    oldest = (now - _SILENCE).isoformat()
    return values["runs"], {key: at for key, at in values["sent"].items() if at > oldest}


def _escaped(text: str) -> str:
    """Slack's own three control characters, so that nobody's text becomes a link or a mention."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
