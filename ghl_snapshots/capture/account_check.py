"""What a tenant's credential opens, asked of GHL before anything is captured.

A single location is fetched once and nothing of it is kept. Of an agency one location is, on behalf of all:
the first that a capture does not leave out. What is missing or left out is what a capture makes of it.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from ghl_snapshots.core.daily_quota import DailyQuota
from ghl_snapshots.core.model import AccountKind, LeftOut, LeftOutReason, SnapshotType, Tenant
from ghl_snapshots.ghl.account_fetch import AccountFetch, AccountResult, installations
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import AccountCredentials, Credentials
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoint_fetch import EndpointFetch, fetch_endpoint
from ghl_snapshots.ghl.endpoints import ENDPOINTS, INSTALLED_LOCATIONS, LOCATION_DETAIL, LOCATION_SEARCH
from ghl_snapshots.ghl.fetch_target import FetchTarget
from ghl_snapshots.ghl.limits import BURST, INTERVAL_SECONDS
from ghl_snapshots.ghl.spool import Spool

_OF_EACH_TYPE: Final = frozenset({LOCATION_SEARCH.name, INSTALLED_LOCATIONS.name})
"""The calls with which the capture of each type of an agency begins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCheck:
    """What came of a call."""

    endpoint: Endpoint
    asked: bool
    """Whether it was made; what is asked for each entity of another call is not, where there is none."""
    error: str = ""
    """What makes a capture incomplete, in words; empty where nothing does."""
    left_out: LeftOut | None = None
    """What a capture is complete without; that there is none of something is an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCheck:
    """What a tenant's credential opens, and what a full capture of the account will take."""

    account: str
    """Whose account it is, in words."""
    locations: int
    """How many locations a capture reads, as far as known; 1 for a single one."""
    left_out: Sequence[LeftOut]
    """The locations that it leaves out, as far as known."""
    calls: Sequence[CallCheck]
    quota: DailyQuota | None
    """What is left of the day, of the location that was asked about."""
    planned_calls: int
    seconds: float
    """About how long a full capture takes."""

    @property
    def is_complete(self) -> bool:
        """Whether a location could be asked, and a capture of it would be complete."""
        return self.locations > 0 and not any(call.error for call in self.calls)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What came of asking about a location."""

    location_id: str
    fetches: Sequence[EndpointFetch] = ()
    left_out: LeftOut | None = None
    calls: int


def check_account(
    tenant: Tenant, client: GhlClient, credentials: Credentials, budget: Budget
) -> AccountCheck:
    """Ask GHL with the tenant's credential; what it refuses is in the result."""
    access = credentials.open(tenant, budget)
    of_company = list(_of_company(tenant, access, client, budget)) if _is_company(tenant) else []
    planned = _planned_of_company(budget)
    location_ids, installed = _locations(tenant, of_company)
    with ThreadPoolExecutor(budget.settings.concurrency) as pool:

        def fetch(location_id: str, snapshot_type: SnapshotType) -> AccountResult:
            return AccountFetch(
                tenant,
                snapshot_type,
                access=access,
                client=client,
                budget=budget,
                pool=pool,
                prefetch_pool=pool,
                max_concurrency=budget.settings.concurrency,
                locations={location_id: installed.get(location_id)},
            ).run()

        try:
            asked = list(_asked(location_ids, installed, fetch, budget))
        except BaseException:
            budget.deadline.cancel()  # or the pool would wait for the answers that are under way
            raise
    left_out = [each.left_out for each in asked if each.left_out is not None]
    captured = next((each for each in asked if each.left_out is None), None)
    locations = len(location_ids) - len(left_out)
    location_calls = captured.calls if captured is not None else 0
    planned += locations * location_calls
    fetches = [*of_company, *(captured.fetches if captured is not None else ())]
    seen = [request.duration_ms / 1000 for fetch in fetches for request in fetch.requests]
    return AccountCheck(
        account=_describe(tenant, fetches),
        locations=locations,
        left_out=left_out,
        calls=[_call_check(endpoint, fetches) for endpoint in ENDPOINTS if _concerns(endpoint, tenant)],
        quota=client.limiter.quota(captured.location_id if captured is not None else tenant.ghl_account_id),
        planned_calls=planned,
        seconds=estimated_seconds(
            planned,
            latency=sum(seen) / len(seen) if seen else 0.0,
            concurrency=budget.settings.concurrency,
            # A company's limit holds for the tokens of its locations.
            of_one=max(location_calls, locations if locations > 1 else 0),
        ),
    )


def estimated_seconds(calls: int, *, latency: float, concurrency: int, of_one: int) -> float:
    """How long calls take at a latency in seconds, or by the rate limit where that is longer.

    `of_one` is the largest number of calls that count for one location or company.
    """
    return max(calls * latency / concurrency, of_one // BURST * INTERVAL_SECONDS)


def _of_company(
    tenant: Tenant, access: AccountCredentials, client: GhlClient, budget: Budget
) -> Iterator[EndpointFetch]:
    """The fetches of a company itself, its list of locations among them."""
    spool = Spool()
    for endpoint in ENDPOINTS:
        if endpoint.account is AccountKind.COMPANY and (endpoint is not INSTALLED_LOCATIONS or access.app_id):
            target = FetchTarget(endpoint=endpoint, company_id=tenant.ghl_account_id, app_id=access.app_id)
            yield fetch_endpoint(target, access.account, client, budget, spool)


def _planned_of_company(budget: Budget) -> int:
    """How many calls of those that were made for a company its full capture makes, some for each type."""
    return sum(
        count * (len(SnapshotType) if endpoint in _OF_EACH_TYPE else 1)
        for (endpoint, _), count in budget.calls().items()
    )


def _locations(
    tenant: Tenant, of_company: Sequence[EndpointFetch]
) -> tuple[Sequence[str], Mapping[str, bool]]:
    """The account's locations, and in which the app is installed, as far as GHL says."""
    if not _is_company(tenant):
        return [tenant.ghl_account_id], {}
    found = {fetch.target.endpoint: fetch.entities for fetch in of_company}
    ids = (entity.entity_id for entity in found[LOCATION_SEARCH])
    return list(dict.fromkeys(filter(None, ids))), installations(found.get(INSTALLED_LOCATIONS, ()))


def _asked(
    location_ids: Sequence[str],
    installed: Mapping[str, bool],
    fetch: Callable[[str, SnapshotType], AccountResult],
    budget: Budget,
) -> Iterator[_Asked]:
    """The first location that a capture does not leave out, and those that it is known to leave out."""
    is_found = False
    for location_id in location_ids:
        # Of a location that GHL lists as one without the app nothing is asked.
        if is_found and installed.get(location_id) is not False:
            continue
        calls_before = sum(budget.calls().values())
        fetches: list[EndpointFetch] = []
        left_out: LeftOut | None = None
        for snapshot_type in SnapshotType:
            result = fetch(location_id, snapshot_type)
            fetches += result.fetches
            left_out = next((each for each in result.left_out if each.endpoint is None), None)
            if left_out is not None:
                break
        calls = sum(budget.calls().values()) - calls_before
        is_found = is_found or left_out is None
        yield _Asked(location_id=location_id, fetches=fetches, left_out=left_out, calls=calls)


def _is_company(tenant: Tenant) -> bool:
    return tenant.account_kind is AccountKind.COMPANY


def _concerns(endpoint: Endpoint, tenant: Tenant) -> bool:
    return _is_company(tenant) or endpoint.account is AccountKind.LOCATION


def _call_check(endpoint: Endpoint, fetches: Sequence[EndpointFetch]) -> CallCheck:
    own = [fetch for fetch in fetches if fetch.target.endpoint.path == endpoint.path]
    left_out = (fetch.left_out for fetch in own if fetch.left_out is not None)
    return CallCheck(
        endpoint=endpoint,
        asked=bool(own),
        error=next((fetch.error.message for fetch in own if fetch.error is not None), ""),
        left_out=next((each for each in left_out if each.reason is not LeftOutReason.ABSENT), None),
    )


def _describe(tenant: Tenant, fetches: Sequence[EndpointFetch]) -> str:
    names = [
        json.loads(bytes(entity.body)).get("name")
        for fetch in fetches
        if fetch.target.endpoint.is_account
        and (fetch.target.endpoint is not LOCATION_DETAIL or not _is_company(tenant))
        for entity in fetch.entities
    ]
    name = f" ({names[0]})" if names and names[0] else ""
    return f"{tenant.account_kind.value} {tenant.ghl_account_id}{name}"
