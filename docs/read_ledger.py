"""What did a tenant's pipelines look like at a moment, and when did a workflow last change?

GHL_SNAPSHOTS_DATABASE_URL=postgresql://... python docs/read_ledger.py acme 2026-03-03T12:00Z WORKFLOW_ID
"""

# ruff: noqa: T201 - Printing is what this script is for.

import json
import os
import sys
from datetime import datetime

from ghl_snapshots.core.model import SnapshotType
from ghl_snapshots.ledger.database import Database
from ghl_snapshots.ledger.ledger import Ledger


def main(tenant_id: str, moment: str, workflow_id: str) -> None:
    """Print the answers."""
    with Database(os.environ["GHL_SNAPSHOTS_DATABASE_URL"]) as database:
        ledger = Ledger(database)
        as_of = datetime.fromisoformat(moment)
        snapshot = ledger.latest(tenant_id, SnapshotType.PIPELINES, as_of=as_of)
        if snapshot is None:
            print(f"There is no snapshot of {tenant_id}'s pipelines from before {as_of}.")
        else:
            ledger.verify_snapshot(snapshot)
            print(f"Pipelines of {tenant_id} as captured at {snapshot.captured_at}:")
            for body in ledger.bodies(snapshot):
                pipeline = json.loads(body)
                print(f"  {pipeline['name']}: {', '.join(stage['name'] for stage in pipeline['stages'])}")
        for version in ledger.entity_history(tenant_id, "/workflows/", workflow_id):
            workflow = json.loads(version.body)
            print(
                f"Workflow {workflow['name']} ({workflow['status']}), content {version.digest[:12]}: "
                f"first seen {version.first_captured_at}, last seen {version.last_captured_at}"
            )


if __name__ == "__main__":
    main(*sys.argv[1:4])
