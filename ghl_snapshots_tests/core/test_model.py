"""The glossary's objects refuse what could not be stored or addressed, and say why."""

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ghl_snapshots.core.errors import ConfigurationError, ErrorKind
from ghl_snapshots.core.json_text import legal_json
from ghl_snapshots.core.model import (
    AccountKind,
    Capture,
    CaptureError,
    Entity,
    SnapshotType,
    Source,
    Status,
    Tenant,
    iso,
)


def tenant(tenant_id: str = "acme", account: str = "loc1", credential: str = "env:ACME_GHL_TOKEN") -> Tenant:
    return Tenant(
        tenant_id=tenant_id,
        ghl_account_id=account,
        account_kind=AccountKind.LOCATION,
        credential=credential,
    )


def capture(entities: tuple[Entity, ...] = (), errors: tuple[CaptureError, ...] = ()) -> Capture:
    return Capture(
        tenant_id="acme",
        ghl_account_id="loc1",
        snapshot_type=SnapshotType.WORKFLOWS,
        captured_at=datetime(2026, 3, 3, 2, tzinfo=UTC),
        duration_ms=12,
        status=Status.PARTIAL_FAILURE if errors else Status.SUCCESS,
        entities=entities,
        requests=(),
        errors=errors,
        api_calls={("/workflows/", 200): 2, ("/workflows/", None): 1},
        api_version="2021-07-28",
        source=Source.MANUAL,
        correlation_id="manual_1",
    )


@pytest.mark.parametrize("tenant_id", ["acme", "A", "0", "a.b_c-d", "x" * 64])
def test_a_tenant_id_may_be_any_plain_word(tenant_id: str) -> None:
    assert tenant(tenant_id).tenant_id == tenant_id


@pytest.mark.parametrize(
    "tenant_id", ["", "a,b", "a b", "-a", ".a", "a/b", "a...b", "a..b", "é", "a\n", "x" * 65]
)
def test_a_tenant_id_that_would_break_a_partition_key_is_refused(tenant_id: str) -> None:
    """A comma breaks backfills, and `first...last` is how Dagster writes a range of partitions."""
    with pytest.raises(ConfigurationError, match=r"Tenant id .* is not valid"):
        tenant(tenant_id)


@pytest.mark.parametrize("credential", ["", "env:", "env:1X", "file:relative", "ENV:X", "oauth:x"])
def test_what_is_no_credential_reference_is_refused(credential: str) -> None:
    with pytest.raises(ConfigurationError, match="must be a reference"):
        tenant(credential=credential)


def test_a_token_given_where_a_reference_belongs_is_not_quoted() -> None:
    with pytest.raises(ConfigurationError, match="must be a reference") as caught:
        tenant(credential="pit-1234")
    assert "pit-1234" not in str(caught.value)


def test_an_account_id_with_a_path_in_it_is_refused() -> None:
    """It becomes part of a URL's path."""
    with pytest.raises(ConfigurationError, match="GHL account id"):
        tenant(account="../oauth/token")


def test_an_entity_is_shown_without_its_content() -> None:
    assert "secret" not in repr(Entity(body=b'{"a":"secret"}', endpoint="/workflows/"))


def test_the_checksum_is_the_sha256_over_the_entities_digests_in_order() -> None:
    bodies = [b'{"id":1}', b'{"id":2}']
    entities = tuple(Entity(body=body, endpoint="/workflows/") for body in bodies)
    expected = hashlib.sha256(b"".join(hashlib.sha256(body).digest() for body in bodies)).hexdigest()
    assert capture(entities).checksum == expected
    assert capture(entities[::-1]).checksum != expected


def test_the_metadata_says_what_is_missing_and_where_paging_stopped() -> None:
    error = CaptureError(
        endpoint="/workflows/",
        location_id="loc1",
        parent_id=None,
        kind=ErrorKind.SERVER_ERROR,
        status=502,
        message="Bad gateway",
        attempts=4,
        cursor="100",
    )
    metadata = capture(errors=(error,)).provenance()
    assert metadata["hasMore"] is True
    assert metadata["nextCursor"] == "100"
    assert metadata["errors"] == [error.as_json()]
    assert {"endpoint": "/workflows/", "status": None, "count": 1} in metadata["apiCalls"]


@given(st.text(alphabet=st.characters(codec=None, exclude_categories=())))
def test_text_from_a_server_becomes_something_that_jsonb_holds(text: str) -> None:
    legal = json.loads(legal_json({"errors": [{"message": text}]}))["errors"][0]["message"]
    assert len(legal) == len(text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
    legal.encode("utf-8")
    assert "\x00" not in legal


def test_moments_are_written_in_utc() -> None:
    moment = datetime(2026, 3, 3, 4, tzinfo=timezone(timedelta(hours=2)))
    assert iso(moment) == "2026-03-03T02:00:00.000000Z"
    assert json.dumps(iso(moment))
