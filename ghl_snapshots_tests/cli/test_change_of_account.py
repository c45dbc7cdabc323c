"""`tenants update --account` while the credential is still the old account's, over a whole deployment."""

from pathlib import Path

import psycopg

from ghl_snapshots.local.postgres import EmbeddedPostgres
from ghl_snapshots.simulator.generation import generated_accounts
from ghl_snapshots.simulator.server import Simulator
from ghl_snapshots_tests.cli.in_process import InProcess


def test_after_a_change_of_account_the_old_token_stores_nothing_and_both_accounts_are_named(
    postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    accounts = generated_accounts(7, tenants=2)
    old, new = accounts.single_locations
    url = postgres.url(f"moved_{tmp_path.name}")
    capture = ("snapshot", "--tenant", "acme", "--type", "ai_workers", "--type", "workflows")
    with Simulator(accounts, burst_limit=10**9) as simulator:
        command = InProcess(
            home=tmp_path / "home",
            variables={
                "GHL_SNAPSHOTS_DATABASE_URL": url,
                "GHL_BASE_URL": simulator.base_url,
                "ACME_GHL_TOKEN": old.private_integration_token,
            },
        )
        command("tenants", "add", "acme", "--account", old.location_id, "--credential", "env:ACME_GHL_TOKEN")
        assert command(*capture).returncode == 0
        assert command("tenants", "update", "acme", "--account", new.location_id).returncode == 0
        moved = command(*capture)
    assert moved.returncode == 1
    assert old.location_id.encode() in moved.stdout
    assert new.location_id.encode() in moved.stdout
    with psycopg.connect(url) as connection:
        stored = connection.execute(
            "SELECT ghl_account_id, status, count(*), sum(record_count)::integer FROM ghl.ghl_snapshot "
            "GROUP BY 1, 2 ORDER BY 2 DESC"
        ).fetchall()
    [(_, _, _, records)] = [row for row in stored if row[0] == old.location_id]
    assert records > 0
    assert stored == [
        (old.location_id, "success", 2, records),
        (new.location_id, "failed", 2, 0),
    ]
