"""What the UI asks the webserver, word for word as far as the tests need it."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ghl_snapshots_tests.end_to_end.stack import Webserver
from ghl_snapshots_tests.waiting import eventually

_ASSETS = """{ assetNodes {
  assetKey { path } description groupName kinds jobNames
  assetPartitionStatuses { ... on DefaultPartitionStatuses { materializedPartitions failedPartitions } }
  partitionKeys
} }"""
_LAUNCH = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
} }"""
_CHECKS = """query($path: [String!]!) {
  assetNodeOrError(assetKey: {path: $path}) { ... on AssetNode {
    assetChecksOrError { ... on AssetChecks { checks {
      name executionForLatestMaterialization { status }
    } } }
  } }
}"""
_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  ... on LaunchBackfillSuccess { backfillId }
  ... on PythonError { message }
} }"""
_REEXECUTE = """mutation($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) {
  ... on LaunchRunSuccess { run { runId } }
  ... on PythonError { message }
} }"""
_CANCEL_BACKFILL = """mutation($id: String!) { cancelPartitionBackfill(backfillId: $id) { __typename } }"""
_CANCEL_RUN = """mutation($id: String!) { terminateRun(runId: $id) { __typename } }"""
_RUN = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
  status startTime tags { key value }
} } }"""
_ENGINE_EVENTS = """query($id: ID!) { runOrError(runId: $id) { ... on Run {
  eventConnection { events { ... on EngineEvent { message } } }
} } }"""
_GROUP = """query($id: ID!) { runGroupOrError(runId: $id) { ... on RunGroup {
  runs { runId status parentRunId }
} } }"""
_BACKFILL_STATUS = """query($id: String!) { partitionBackfillOrError(backfillId: $id) {
  ... on PartitionBackfill { status runs { runId status } }
} }"""
_EVENTS = """query($path: [String!]!, $partitions: [String!]!) {
  assetNodeOrError(assetKey: {path: $path}) { ... on AssetNode {
    assetMaterializations(partitions: $partitions) { partition metadataEntries {
      label
      ... on TextMetadataEntry { text }
      ... on IntMetadataEntry { intValue }
      ... on FloatMetadataEntry { floatValue }
    } }
  } }
}"""


def assets(webserver: Webserver) -> Mapping[str, Any]:
    """Every asset by name."""
    nodes = webserver.query(_ASSETS)["assetNodes"]
    return {"/".join(node["assetKey"]["path"]): node for node in nodes}


def launch(
    webserver: Webserver,
    asset_names: Sequence[str],
    tags: Mapping[str, str],
    checks: Sequence[tuple[str, str]] = (),
) -> str:
    """Materialize assets and run (asset, check)s in one run as the UI's button does; the run's id."""
    selected = [{"assetKey": {"path": asset.split("/")}, "name": check} for asset, check in checks]
    return _launched(webserver, asset_names, selected, tags)


def launch_job(webserver: Webserver, job_name: str) -> str:
    """Run a job whole, as its page's button does; the run's id."""
    selector = {
        "repositoryLocationName": "ghl_snapshots.definitions",
        "repositoryName": "__repository__",
        "jobName": job_name,
    }
    answer = webserver.query(_LAUNCH, params={"selector": selector, "mode": "default"})["launchRun"]
    assert "run" in answer, answer
    return str(answer["run"]["runId"])


def reexecute(webserver: Webserver, run_id: str, strategy: str = "ALL_STEPS") -> str:
    """Execute a run again as its page's button does; the new run's id."""
    params = {"parentRunId": run_id, "strategy": strategy}
    answer = webserver.query(_REEXECUTE, params=params)["launchRunReexecution"]
    assert "run" in answer, answer
    return str(answer["run"]["runId"])


def cancel_backfill(webserver: Webserver, backfill_id: str) -> None:
    """End a backfill as its page's button does."""
    answer = webserver.query(_CANCEL_BACKFILL, id=backfill_id)["cancelPartitionBackfill"]
    assert answer["__typename"] == "CancelBackfillSuccess", answer


def cancel_run(webserver: Webserver, run_id: str) -> None:
    """End a run as its page's button does."""
    answer = webserver.query(_CANCEL_RUN, id=run_id)["terminateRun"]
    assert answer["__typename"] == "TerminateRunSuccess", answer


def check_status(webserver: Webserver, asset_name: str, check_name: str) -> str:
    """How the check's latest evaluation came out."""
    return check_statuses(webserver, asset_name)[check_name]


def check_statuses(webserver: Webserver, asset_name: str) -> Mapping[str, str]:
    """How the latest evaluation of each of the asset's checks came out, as its page shows it."""
    node = webserver.query(_CHECKS, path=asset_name.split("/"))["assetNodeOrError"]
    executions = {
        check["name"]: check["executionForLatestMaterialization"]
        for check in node["assetChecksOrError"].get("checks", [])
    }
    return {
        name: str(execution["status"]) if execution else "NEVER" for name, execution in executions.items()
    }


def _launched(
    webserver: Webserver,
    asset_names: Sequence[str],
    checks: Sequence[Mapping[str, Any]],
    tags: Mapping[str, str],
) -> str:
    params = {
        "selector": {
            "repositoryLocationName": "ghl_snapshots.definitions",
            "repositoryName": "__repository__",
            "jobName": "__ASSET_JOB",
            "assetSelection": [{"path": [name]} for name in asset_names],
            "assetCheckSelection": checks,
        },
        "mode": "default",
        "executionMetadata": {"tags": [{"key": key, "value": value} for key, value in tags.items()]},
    }
    answer = webserver.query(_LAUNCH, params=params)["launchRun"]
    assert "run" in answer, answer
    run_id: str = answer["run"]["runId"]
    return run_id


def run_of(webserver: Webserver, run_id: str) -> Any:
    """The run with its status and the time at which it began to work."""
    return webserver.query(_RUN, id=run_id)["runOrError"]


def worker_pid(webserver: Webserver, run_id: str) -> int:
    """The process that executes the run, as it introduced itself in the run's log."""

    def introduced() -> re.Match[str] | None:
        events = webserver.query(_ENGINE_EVENTS, id=run_id)["runOrError"]["eventConnection"]["events"]
        texts = (
            re.search(r"Started process for run \(pid: (\d+)\)", event.get("message", "")) for event in events
        )
        return next((text for text in texts if text), None)

    return int(eventually(introduced, f"run {run_id} has a process")[1])


def retries(webserver: Webserver, run_id: str) -> Sequence[Any]:
    """The runs that took this one's place."""
    group = webserver.query(_GROUP, id=run_id)["runGroupOrError"]
    return [run for run in group.get("runs", []) if run["parentRunId"]]


def launch_backfill(webserver: Webserver, asset_names: Sequence[str], partitions: Sequence[str]) -> str:
    """Backfill assets over partitions as the UI does; the backfill's id."""
    params = {"assetSelection": [{"path": [name]} for name in asset_names], "partitionNames": partitions}
    answer = webserver.query(_BACKFILL, params=params)["launchPartitionBackfill"]
    assert "backfillId" in answer, answer
    backfill_id: str = answer["backfillId"]
    return backfill_id


def finished_run(webserver: Webserver, run_id: str) -> Any:
    """The run, once it is over."""

    def over() -> Any:
        run = run_of(webserver, run_id)
        return run if run["status"] in {"SUCCESS", "FAILURE", "CANCELED"} else None

    return eventually(over, f"run {run_id} is over")


def finished_backfill(webserver: Webserver, backfill_id: str) -> Any:
    """The backfill, once it is over; the daemon looks after backfills every 30 seconds."""

    def over() -> Any:
        backfill = webserver.query(_BACKFILL_STATUS, id=backfill_id)["partitionBackfillOrError"]
        return backfill if backfill["status"] not in {"REQUESTED", "CANCELING", "FAILING"} else None

    return eventually(over, f"backfill {backfill_id} is over", seconds=120)


def materializations(webserver: Webserver, asset_name: str, partitions: Collection[str]) -> Sequence[Any]:
    """The partitions' materializations with their metadata as plain values."""
    found = webserver.query(_EVENTS, path=[asset_name], partitions=list(partitions))
    return [
        {"partition": event["partition"]}
        | {entry["label"]: _value(entry) for entry in event["metadataEntries"]}
        for event in found["assetNodeOrError"]["assetMaterializations"]
    ]


def _value(entry: Mapping[str, Any]) -> Any:
    return next((entry[kind] for kind in ("text", "intValue", "floatValue") if kind in entry), None)
