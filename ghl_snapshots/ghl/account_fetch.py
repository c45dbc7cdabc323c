"""All fetches of one snapshot type of one account, run in parallel and put into a fixed order."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from ghl_snapshots.core.errors import ConfigurationError, CredentialError, ErrorKind, GhlError
from ghl_snapshots.core.model import AccountKind, Entity, LeftOut, LeftOutReason, SnapshotType, Tenant
from ghl_snapshots.ghl.account_answers import AccountAnswers, Position
from ghl_snapshots.ghl.bounded_executor import BoundedExecutor, Task, TaskQueue
from ghl_snapshots.ghl.budget import Budget
from ghl_snapshots.ghl.client import GhlClient
from ghl_snapshots.ghl.credentials import AccountCredentials
from ghl_snapshots.ghl.endpoint import Endpoint
from ghl_snapshots.ghl.endpoint_fetch import EndpointFetch, as_ghl_error, failed_fetch, fetch_endpoint
from ghl_snapshots.ghl.endpoints import ENDPOINTS, INSTALLED_LOCATIONS, LOCATION_SEARCH, endpoints_of
from ghl_snapshots.ghl.fetch_target import FetchTarget, parent_values
from ghl_snapshots.ghl.spool import Spool

_AGENCY_ONLY: Final = (
    "not asked: an agency's Private Integration Token opens the agency's own endpoints only, and this one "
    "takes a location's token. Give the tenant the credential oauth, or add its locations as tenants "
    "themselves"
)

_PREFETCH_SHARE: Final = 4
"""One in so many of a capture's requests in flight may be for a location's token."""

_WITNESSES: Final = tuple(
    endpoint
    for endpoint in ENDPOINTS
    if endpoint.path in {"/locations/{locationId}", "/locations/{locationId}/customValues"}
)
"""Two independent calls that show whether a token opens a location, where those of the type leave a doubt."""
_LEFT_OUT: Final[Mapping[ErrorKind, LeftOutReason]] = {
    ErrorKind.NOT_INSTALLED: LeftOutReason.NOT_INSTALLED,
    ErrorKind.SUSPENDED: LeftOutReason.SUSPENDED,
}
"""What leaves an agency's location out of a capture, which is complete without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountResult:
    """What fetching an account came to, in payload order, whichever thread was first."""

    listing: Sequence[EndpointFetch]
    """The fetches that say where a company's app is installed, and which locations it has, in this order."""
    fetches: Sequence[EndpointFetch]
    left_out: Sequence[LeftOut]
    location_ids: Sequence[str] | None
    """The locations that GHL lists; None for a single location."""


class AccountFetch:
    """One capture's fetches of an account: breadth first over its locations, on pools that captures share.

    Tokens of locations are fetched ahead, on threads of their own, because the company's rate limit may hold
    that up; a location's fetches are queued once its token is there, and those of others go on meanwhile.
    At most `max_concurrency` of both run at once, so that a large account leaves room for other captures.

    Everything is asked for, whatever the other calls are answered. Only after the last answer a token is
    renewed, for a location of which nothing was answered, and its calls are made once more.
    """

    def __init__(
        self,
        tenant: Tenant,
        snapshot_type: SnapshotType,
        *,
        access: AccountCredentials,
        client: GhlClient,
        budget: Budget,
        pool: ThreadPoolExecutor,
        prefetch_pool: ThreadPoolExecutor,
        max_concurrency: int,
        locations: Mapping[str, bool | None] | None = None,
    ) -> None:
        """`locations`: only these of a company, each with whether the app is installed, as far as known."""
        self._tenant = tenant
        self._endpoints = endpoints_of(snapshot_type)
        self._company_endpoints = endpoints_of(snapshot_type, AccountKind.COMPANY)
        self._access = access
        self._client = client
        self._budget = budget
        self._spool = Spool()
        self._max_concurrency = max_concurrency
        self._prefetch = TaskQueue(prefetch_pool, max_concurrency=max(1, max_concurrency // _PREFETCH_SHARE))
        self._requests = TaskQueue(pool, max_concurrency=max_concurrency)
        self._executor: BoundedExecutor
        self._company: AccountAnswers | None = None
        """Which locations there are, and in which of them the app is installed."""
        self._of_company: AccountAnswers | None = None
        """What the company itself has, beside its locations."""
        self._given = locations
        self._installed: dict[str, bool | None] = dict(locations or {})
        """Whether the app is installed in a location, as far as GHL says."""
        self._locations: dict[str, AccountAnswers] = {}
        """In the order in which GHL lists them."""

    def run(self) -> AccountResult:
        """Fetch everything that the credential opens."""
        try:
            if self._given is not None:
                self._run([partial(self._add_locations, list(self._given))])
            elif self._tenant.account_kind is AccountKind.LOCATION:
                self._run([partial(self._add_locations, [self._tenant.ghl_account_id])])
            elif self._fetchable():
                self._run([self._list_locations])
            self._run(self._for_doubtful(self._settle))
            self._run(self._other_forms())
            self._run(self._for_doubtful(self._ask_witnesses))
        finally:
            self._client.limiter.note_quotas()
        return self._result()

    def _run(self, tasks: Iterable[Task]) -> None:
        """Run the tasks, and all that they add."""
        self._executor = BoundedExecutor(
            self._prefetch, self._requests, max_concurrency=self._max_concurrency
        )
        self._executor.add(self._requests, tasks)
        self._executor.wait()

    def _for_doubtful(self, task: Callable[[AccountAnswers], None]) -> list[Task]:
        """The task for each location whose answers leave a doubt."""
        return [partial(task, answers) for answers in self._locations.values() if answers.are_doubtful]

    def _list_locations(self) -> None:
        """List a company's locations; those of a page are fetched while the next page is asked for."""
        company_id, app_id = self._tenant.ghl_account_id, self._access.app_id
        self._client.limiter.read_quotas([company_id])
        targets = [FetchTarget(endpoint=LOCATION_SEARCH, company_id=company_id)]
        if app_id is not None:
            target = FetchTarget(endpoint=INSTALLED_LOCATIONS, company_id=company_id, app_id=app_id)
            targets.insert(0, target)
        self._company = AccountAnswers(targets=targets, token_source=self._access.account)
        self._ask_company(self._company)
        if self._is_renewed(self._company):
            self._ask_company(self._company)
        if self._company.fetches[len(targets) - 1,].failure is None:
            self._add_own()

    def _add_own(self) -> None:
        """Queue the fetches of what the company itself has."""
        targets = [
            FetchTarget(endpoint=endpoint, company_id=self._tenant.ghl_account_id)
            for endpoint in self._company_endpoints
        ]
        self._of_company = AccountAnswers(
            targets=targets, token_source=self._access.account, is_token_proven=True
        )
        self._enqueue(self._of_company, [((number,), target) for number, target in enumerate(targets)])

    def _ask_company(self, company: AccountAnswers) -> None:
        on_page = {LOCATION_SEARCH: self._add_listed, INSTALLED_LOCATIONS: self._note_installations}
        for number, target in enumerate(company.targets):
            company.fetches[number,] = fetch_endpoint(
                target,
                company.token_source,
                self._client,
                self._budget,
                self._spool,
                on_page=on_page[target.endpoint],
            )

    def _note_installations(self, found: Sequence[Entity]) -> None:
        """Note in which locations the app is installed; where GHL does not say, refused tokens show it."""
        self._installed |= installations(found)

    def _add_listed(self, found: Sequence[Entity]) -> None:
        """Add the locations of a page, each once however often GHL lists it."""
        listed = dict.fromkeys(entity.entity_id for entity in found if entity.entity_id is not None)
        self._add_locations([location_id for location_id in listed if location_id not in self._locations])

    def _add_locations(self, location_ids: Sequence[str]) -> None:
        """Queue the fetches of locations."""
        self._client.limiter.read_quotas(location_ids)
        for location_id in location_ids:
            self._locations[location_id] = self._unanswered(location_id)
        to_ask = [self._locations[each] for each in location_ids if self._locations[each].failure is None]
        self._budget.deadline.plan(len(to_ask))
        self._executor.add(self._prefetch, [partial(self._prefetch_token, answers) for answers in to_ask])

    def _unanswered(self, location_id: str) -> AccountAnswers:
        is_installed = self._installed.get(location_id)
        failure: GhlError | None = None
        if is_installed is False:
            words = "the app is not installed in the location; install it to capture it (GHL lists it so)"
            failure = GhlError(ErrorKind.NOT_INSTALLED, words, attempts=0)
        return AccountAnswers(
            targets=[
                FetchTarget(endpoint=endpoint, location_id=location_id) for endpoint in self._fetchable()
            ],
            token_source=self._access.location(location_id, is_installed=is_installed is True),
            # GHL has listed the locations for an agency's own token.
            is_token_proven=self._access.agency_only,
            failure=failure,
        )

    def _prefetch_token(self, answers: AccountAnswers) -> None:
        """Get the location's token, then queue its fetches."""
        try:
            self._budget.deadline.check()
            answers.token_source.token()
        except Exception as failure:  # noqa: BLE001 (recorded as an error of the capture)
            answers.failure = as_ghl_error(failure)
        else:
            self._enqueue_all(answers)

    def _enqueue(self, answers: AccountAnswers, targets: Iterable[tuple[Position, FetchTarget]]) -> None:
        """Queue fetches, and give the capture the time that they take."""
        tasks = [partial(self._fetch_one, answers, *each) for each in targets]
        self._budget.deadline.plan(len(tasks))
        self._executor.add(self._requests, tasks)

    def _enqueue_all(self, answers: AccountAnswers) -> None:
        """Queue an account's fetches, those first that take several requests one after the other."""
        targets = sorted(answers.targets, key=lambda target: self._is_short(target.endpoint))
        self._enqueue(answers, [((self._endpoints.index(each.endpoint),), each) for each in targets])

    def _is_short(self, endpoint: Endpoint) -> bool:
        """Whether one request is all that the endpoint takes."""
        is_parent = any(other.parent and other.parent.path == endpoint.path for other in self._endpoints)
        return endpoint.paging is None and not is_parent

    def _fetchable(self) -> Sequence[Endpoint]:
        """The endpoints that the credential can open, those with a parent left out."""
        return [
            endpoint
            for endpoint in self._endpoints
            if endpoint.parent is None and (endpoint.agency_token or not self._access.agency_only)
        ]

    def _fetch_one(self, answers: AccountAnswers, position: Position, target: FetchTarget) -> None:
        """Fetch, and queue what is to be fetched for each entity."""
        fetch = fetch_endpoint(target, answers.token_source, self._client, self._budget, self._spool)
        answers.fetches[position] = fetch
        self._enqueue(answers, self._children(position, fetch))

    def _children(self, position: Position, fetch: EndpointFetch) -> Iterator[tuple[Position, FetchTarget]]:
        """The fetches for each entity of a fetch, one for those that GHL gave twice."""
        for number, endpoint in enumerate(self._endpoints):
            if endpoint.parent is None or endpoint.parent.path != fetch.target.endpoint.path:
                continue
            for index, value in enumerate(parent_values(endpoint.parent, fetch.entities)):
                yield (
                    (number, *position[1:], index),
                    FetchTarget(endpoint=endpoint, location_id=fetch.target.location_id, parent_id=value),
                )

    def _other_forms(self) -> Iterator[Task]:
        """The calls that GHL did not take, each in its endpoint's other form."""
        for answers in self._locations.values():
            for position, fetch in sorted(answers.fetches.items(), key=lambda item: item[0]):
                if _has_fallback(fetch):
                    for again in _other_form(answers, position):
                        yield partial(self._fetch_one, answers, *again)

    def _ask_witnesses(self, answers: AccountAnswers) -> None:
        """Ask more about a location, until no doubt is left."""
        location_id = answers.targets[0].location_id
        asked = {fetch.target.endpoint for fetch in (*answers.fetches.values(), *answers.witnesses)}
        for endpoint in () if self._access.agency_only else _WITNESSES:
            if endpoint not in asked and answers.are_doubtful:
                target = FetchTarget(endpoint=endpoint, location_id=location_id)
                fetch = fetch_endpoint(target, answers.token_source, self._client, self._budget, self._spool)
                answers.witnesses.append(fetch)

    def _settle(self, answers: AccountAnswers) -> None:
        """Ask about a location once more, with another token if GHL refuses the present one."""
        self._ask_witnesses(answers)
        if self._is_renewed(answers):
            self._enqueue_all(answers)

    def _is_renewed(self, answers: AccountAnswers) -> bool:
        """Whether another token took the place of a refused one, so that its answers count no more."""
        try:
            is_renewed = answers.is_token_refused and answers.token_source.renew()
        except (GhlError, CredentialError, ConfigurationError) as failure:
            answers.failure = as_ghl_error(failure)
            return False
        if is_renewed:
            answers.clear()
        return is_renewed

    def _result(self) -> AccountResult:
        listing = [_with_ids(fetch) for fetch in self._company.settled()] if self._company is not None else []
        fetches: list[EndpointFetch] = []
        left_out: list[LeftOut] = []
        if self._of_company is not None:
            fetches += self._of_company.settled()
        for location_id, answers in self._locations.items():
            outside = self._left_out(location_id, answers.final_error)
            if outside is not None:
                left_out.append(outside)
            else:
                fetches += answers.settled()
        fetches += self._not_asked()
        is_company = self._tenant.account_kind is AccountKind.COMPANY
        return AccountResult(
            listing=listing,
            fetches=fetches,
            left_out=[
                *(fetch.left_out for fetch in listing if fetch.left_out is not None),
                *left_out,
                *(fetch.left_out for fetch in fetches if fetch.left_out is not None),
            ],
            location_ids=list(self._locations) if is_company else None,
        )

    def _left_out(self, location_id: str, error: GhlError | None) -> LeftOut | None:
        """What leaves an agency's location out of the capture."""
        if error is None or error.kind not in _LEFT_OUT or location_id == self._tenant.ghl_account_id:
            return None
        return LeftOut(
            endpoint=None, location_id=location_id, reason=_LEFT_OUT[error.kind], message=error.message
        )

    def _not_asked(self) -> Iterator[EndpointFetch]:
        """The error for each endpoint that is not asked, because the credential could not open it."""
        fetchable = self._fetchable()
        for endpoint in self._endpoints:
            if endpoint.parent is None and endpoint not in fetchable:
                error = GhlError(ErrorKind.MISSING_SCOPE, _AGENCY_ONLY, attempts=0)
                yield failed_fetch(FetchTarget(endpoint=endpoint), error)


def installations(found: Iterable[Entity]) -> Mapping[str, bool]:
    """In which of the locations that GHL lists the app is installed, for those of which it says so."""
    said = {
        each.entity_id: json.loads(bytes(each.body)).get("isInstalled") for each in found if each.entity_id
    }
    return {location_id: value for location_id, value in said.items() if isinstance(value, bool)}


def _with_ids(listing: EndpointFetch) -> EndpointFetch:
    """A list of locations, as a failure if one in it has no id."""
    if listing.failure is not None or all(entity.entity_id for entity in listing.entities):
        return listing
    nameless = GhlError(ErrorKind.MALFORMED_RESPONSE, "GHL lists a location without an id")
    return replace(listing, failure=nameless)


def _has_fallback(fetch: EndpointFetch) -> bool:
    """Whether GHL did not take a call that has another form."""
    fallback, failure = fetch.target.endpoint.fallback, fetch.failure
    return (
        fallback is not None
        and failure is not None
        and failure.kind is ErrorKind.INVALID_REQUEST
        and failure.status in fallback.statuses
    )


def _other_form(answers: AccountAnswers, position: Position) -> list[tuple[Position, FetchTarget]]:
    """The fetches that take the place of one, which stays as it is where there is nothing to ask for."""
    refused = answers.fetches[position].target
    target = replace(refused, endpoint=refused.endpoint.in_fallback())
    parent = target.endpoint.parent
    if parent is None or target.parent_id is not None:
        return [(position, target)]
    parents = [fetch for fetch in answers.fetches.values() if fetch.target.endpoint.path == parent.path]
    if any(fetch.error for fetch in parents):
        return []
    values = parent_values(parent, [entity for fetch in parents for entity in fetch.entities])
    if values:
        del answers.fetches[position]
    return [((*position, index), replace(target, parent_id=value)) for index, value in enumerate(values)]
