"""The API does what its OpenAPI document says: whatever is sent, no call fails unexpectedly."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from ghl_snapshots.ledger.ledger import Ledger
from ghl_snapshots_tests.api.conftest import Api, Client
from ghl_snapshots_tests.ledger.captures import capture

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]


def test_every_answer_is_as_described(api: Api, acme: Client, ledger: Ledger) -> None:
    ledger.append(capture())
    described = schemathesis.openapi.from_url(f"{api.base_url}/openapi.json")
    operations = [each.ok() for each in described.get_all_operations() if isinstance(each, Ok)]
    assert len(operations) == 8
    for operation in operations:

        @settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(case=operation.as_strategy())
        def holds(case: Any) -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {acme.secret}"}, checks=CHECKS)

        holds()
