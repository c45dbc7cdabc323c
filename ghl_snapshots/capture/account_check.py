"""What a tenant's credential opens, asked of GHL before anything is captured.

A single location is fetched once and nothing of it is kept. Of an agency one location is, on behalf of all.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from ghl_snapshots.core.daily_quota import DailyQuota
from ghl_snapshots.core.model import AccountKind, Entity, LeftOutReason, SnapshotType, Tenant
from ghl_snapshots.ghl.account_fetch import AccountFetch
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import AccountCredentials, Credentials
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoint_fetch import EndpointFetch, fetch_endpoint
from ghl_snapshots.ghl.endpoints import ENDPOINTS, INSTALLED_LOCATIONS, LOCATION_DETAIL, LOCATION_SEARCH
from ghl_snapshots.ghl.fetch_target import FetchTarget
from ghl_snapshots.ghl.limits import BURST, INTERVAL_SECONDS
from ghl_snapshots.ghl.spool import Spool
from ghl_snapshots.ghl.token_source import TokenSource


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCheck:
    """Whether the credential may make a call; `problem` has what GHL says, and is empty where it may."""

    endpoint: Endpoint
    asked: bool
    """Whether it was made; what is asked for each entity of another call is not, where there is none."""
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountCheck:
    """What a tenant's credential opens, and what a full capture of the account will take."""

    account: str
    """Whose account it is, in words."""
    locations: int
    """How many locations a capture reads; 1 for a single one."""
    calls: Sequence[CallCheck]
    quota: DailyQuota | None
    """What is left of the day, of the location that was asked about."""
    planned_calls: int
    seconds: float
    """About how long a full capture takes."""

    @property
    def is_complete(self) -> bool:
        """Whether every call that a snapshot cannot do without may be made."""
        return not any(call.problem for call in self.calls if call.endpoint.must)


@dataclass(frozen=True, slots=True)
class _OfLocation:
    """The credentials of one location of an agency, as if it were an account."""

    account: TokenSource
    agency_only: bool
    app_id = None

    def location(self, location_id: str, *, is_installed: bool) -> TokenSource:
        return self.account


def check_account(
    tenant: Tenant, client: GhlClient, credentials: Credentials, budget: Budget
) -> AccountCheck:
    """Ask GHL with the tenant's credential; what it refuses is in the result."""
    access = credentials.open(tenant, budget)
    listed = list(_listed(tenant, access, client, budget)) if _is_company(tenant) else []
    listing_calls = sum(budget.calls().values())
    location_ids = _captured_locations(listed) if _is_company(tenant) else [tenant.ghl_account_id]
    of_location = list(_of_location(location_ids[:1], access, client, budget))
    location_calls = sum(budget.calls().values()) - listing_calls
    # Each type's capture lists an agency's locations again.
    planned = len(location_ids) * location_calls + len(SnapshotType) * listing_calls
    fetches = [*listed, *of_location]
    return AccountCheck(
        account=_describe(tenant, fetches),
        locations=len(location_ids),
        calls=[_call_check(endpoint, fetches) for endpoint in ENDPOINTS if _concerns(endpoint, tenant)],
        quota=client.limiter.quota(next(iter(location_ids), tenant.ghl_account_id)),
        planned_calls=planned,
        seconds=_seconds(planned, location_calls, len(location_ids), fetches, budget),
    )


def _listed(
    tenant: Tenant, access: AccountCredentials, client: GhlClient, budget: Budget
) -> Iterator[EndpointFetch]:
    """The fetches of a company itself, its list of locations the first."""
    spool = Spool()
    for endpoint in ENDPOINTS:
        if endpoint.account is AccountKind.COMPANY and (endpoint is not INSTALLED_LOCATIONS or access.app_id):
            target = FetchTarget(endpoint=endpoint, company_id=tenant.ghl_account_id, app_id=access.app_id)
            yield fetch_endpoint(target, access.account, client, budget, spool)


def _captured_locations(listed: Sequence[EndpointFetch]) -> list[str]:
    """A company's locations but for those of which GHL says that they lack the app."""
    found: Mapping[Endpoint, Sequence[Entity]] = {fetch.target.endpoint: fetch.entities for fetch in listed}
    lacking = {
        entity.entity_id
        for entity in found.get(INSTALLED_LOCATIONS, ())
        if json.loads(bytes(entity.body)).get("isInstalled") is not True
    }
    ids = (entity.entity_id for entity in found[LOCATION_SEARCH])
    return list(dict.fromkeys(each for each in ids if each is not None and each not in lacking))


def _of_location(
    location_ids: Sequence[str], access: AccountCredentials, client: GhlClient, budget: Budget
) -> Iterator[EndpointFetch]:
    """All fetches of a location, of every type."""
    concurrency = budget.settings.concurrency
    with ThreadPoolExecutor(concurrency) as pool:
        for location_id in location_ids:
            as_account = Tenant(
                tenant_id="checked",
                ghl_account_id=location_id,
                account_kind=AccountKind.LOCATION,
                credential="oauth",
            )
            source = access.location(location_id, is_installed=True)
            for snapshot_type in SnapshotType:
                fetch = AccountFetch(
                    as_account,
                    snapshot_type,
                    access=_OfLocation(source, access.agency_only),
                    client=client,
                    budget=budget,
                    pool=pool,
                    prefetch_pool=pool,
                    max_concurrency=concurrency,
                )
                try:
                    yield from fetch.run().fetches
                except BaseException:
                    budget.deadline.cancel()  # or the pool would wait for the answers that are under way
                    raise


def _is_company(tenant: Tenant) -> bool:
    return tenant.account_kind is AccountKind.COMPANY


def _concerns(endpoint: Endpoint, tenant: Tenant) -> bool:
    return _is_company(tenant) or endpoint.account is AccountKind.LOCATION


def _call_check(endpoint: Endpoint, fetches: Sequence[EndpointFetch]) -> CallCheck:
    own = [fetch for fetch in fetches if fetch.target.endpoint.path == endpoint.path]
    return CallCheck(endpoint=endpoint, asked=bool(own), problem=next(filter(None, map(_problem, own)), ""))


def _problem(fetch: EndpointFetch) -> str:
    """Why a call gave nothing; that there is none is an answer."""
    if fetch.error is not None:
        return fetch.error.message
    if fetch.left_out is not None and fetch.left_out.reason is not LeftOutReason.ABSENT:
        return fetch.left_out.message
    return ""


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


def _seconds(
    planned: int, location_calls: int, locations: int, fetches: Sequence[EndpointFetch], budget: Budget
) -> float:
    """How long the calls take at the latency that was seen, or by the rate limit where that is longer."""
    seen = [request.duration_ms / 1000 for fetch in fetches for request in fetch.requests]
    latency = sum(seen) / len(seen) if seen else 0.0
    # A company's limit holds for the tokens of its locations.
    of_one = max(location_calls, locations if locations > 1 else 0)
    return max(planned * latency / budget.settings.concurrency, of_one // BURST * INTERVAL_SECONDS)
