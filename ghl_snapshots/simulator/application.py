"""The simulated GHL without its sockets: a request in, a reply and perhaps a fault's effect out."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from ghl_snapshots.simulator import oauth
from ghl_snapshots.simulator.accounts import Accounts, Agency, Holder, Location, account_id
from ghl_snapshots.simulator.fault_plan import FaultPlan
from ghl_snapshots.simulator.faults import Effect
from ghl_snapshots.simulator.limits import Allowance, RateLimits
from ghl_snapshots.simulator.messages import (
    JSON_TYPE,
    Refusal,
    Reply,
    Request,
    foreign_company,
    foreign_location,
    invalid,
    not_authorized,
    not_in_plan,
)
from ghl_snapshots.simulator.request_log import RequestLog
from ghl_snapshots.simulator.routes import Route, find_route
from ghl_snapshots.simulator.tokens import Tokens

COUNTS_PATH = "/_simulator/requests"
_LOCATION_TOKEN_VERSION = "2021-07-28"  # noqa: S105 (a date)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Caller:
    """Whose token came with a request, or why it was refused."""

    holder: Holder | None = None
    by_integration_token: bool = False
    refusal: Refusal | None = None

    @property
    def resource_id(self) -> str | None:
        """The location or company that limits are counted for."""
        return account_id(self.holder) if self.holder else None


@dataclass(slots=True, kw_only=True)
class Application:
    """Answers requests from the accounts, within the limits, and applies the faults that match."""

    accounts: Accounts
    tokens: Tokens
    limits: RateLimits
    faults: FaultPlan = field(default_factory=FaultPlan)
    log: RequestLog = field(default_factory=RequestLog)

    def respond(self, request: Request) -> tuple[Reply, Effect]:
        """The reply to a request and what is to happen to it on its way; the request is logged."""
        if request.path == COUNTS_PATH and request.method == "GET":
            return self._request_counts(), Effect()
        route, path = find_route(request.path)
        caller = self._caller(request)
        template = route.template if route else request.path
        effect = self._effect(template, path, caller, request)
        reply = effect.reply(request, lambda asked: self._answer(asked, route, path, caller))
        self.log.add(
            method=request.method,
            path=request.target,
            route=template,
            resource_id=caller.resource_id,
            status=reply.status if effect.answered else None,
        )
        return self._with_limits(reply, caller), effect

    def _answer(
        self, request: Request, route: Route | None, path: Mapping[str, str], caller: _Caller
    ) -> Reply:
        """The right reply."""
        try:
            if request.method == "POST" and request.path in oauth.TOKEN_PATHS:
                return Reply(status=200, body=self._token_body(request, caller))
            if request.path == oauth.RECONNECT_PATH:
                return Reply(status=400, body=b'{"message":"API endpoint has been removed"}')
            if request.method != "GET":
                raise Refusal(HTTPStatus.METHOD_NOT_ALLOWED, "This endpoint is read-only here: only GET.")
            if route is None:
                raise Refusal(HTTPStatus.NOT_FOUND, f"Cannot {request.method} {request.path}")
            if route.version == "v3" and request.headers.get("version") not in (None, "v3"):
                raise Refusal(HTTPStatus.NOT_FOUND, f"Cannot {request.method} {request.path}")
            return Reply(status=200, body=self._entities_body(request, route, path, caller))
        except Refusal as refusal:
            return (route.as_documented(refusal) if route else refusal).reply()

    def _token_body(self, request: Request, caller: _Caller) -> bytes:
        if request.path == oauth.TOKEN_PATH:
            return oauth.exchange_grant(self.accounts, self.tokens, request)
        holder = self._checked_holder(request, _LOCATION_TOKEN_VERSION, caller)
        if caller.by_integration_token or "oauth.write" not in holder.scopes:
            raise not_authorized()
        return oauth.issue_location_token(self.accounts, self.tokens, holder, request)

    def _entities_body(
        self, request: Request, route: Route, path: Mapping[str, str], caller: _Caller
    ) -> bytes:
        holder = self._checked_holder(request, route.version, caller)
        if route.scope not in holder.scopes or (route.app_only and caller.by_integration_token):
            raise not_authorized()
        locations = self._locations(route, path, request.query, holder)
        if any(
            {route.scope, route.template} & location.lacking_features
            for location in locations
            if route.reader != "agency" and isinstance(location, Location)
        ):
            raise not_in_plan()
        return route.body(locations, path, request.query, invent_entities=request.invent_entities)

    def _checked_holder(self, request: Request, version: str, caller: _Caller) -> Holder:
        """The account that asks, once its headers are right and it is within its limits."""
        _check_version(request, version)
        if caller.holder is None:
            raise caller.refusal or Refusal(HTTPStatus.UNAUTHORIZED, "Invalid JWT")
        if "location-id" in request.headers and isinstance(caller.holder, Location):
            raise foreign_location()
        if not self.limits.take(account_id(caller.holder)).allowed:
            raise Refusal(HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests")
        if isinstance(caller.holder, Location):
            self.accounts.check_open(caller.holder, by_app=not caller.by_integration_token)
        return caller.holder

    def _locations(
        self, route: Route, path: Mapping[str, str], query: Mapping[str, str], holder: Holder
    ) -> Sequence[Holder]:
        """The locations, or the agency, that are asked about, if the holder's token may read them."""
        if isinstance(holder, Agency):
            return self._locations_of_agency(route, path, query, holder)
        if route.reader == "agency":
            raise not_authorized()
        if "locationId" in route.query and not query.get("locationId"):
            raise invalid("locationId should not be empty", "locationId must be a string")
        asked = path.get("locationId") or query.get("locationId")
        if asked is not None and asked != holder.location_id:
            raise foreign_location()
        return [holder]

    def _locations_of_agency(
        self, route: Route, path: Mapping[str, str], query: Mapping[str, str], agency: Agency
    ) -> Sequence[Holder]:
        if route.reader == "location":
            raise not_authorized()
        if route.reader == "agency":
            if {**query, **path}.get("companyId", agency.company_id) != agency.company_id:
                raise foreign_company()
            if "companyId" in path:
                return [agency]
            if query.get("appId", self.accounts.app_id) != self.accounts.app_id:
                raise invalid("appId must be the id of the token's app")
            return self.accounts.locations_of(agency)
        return [self.accounts.location_of(agency, path["locationId"])]

    def _caller(self, request: Request) -> _Caller:
        authorization = request.headers.get("authorization")
        if authorization is None:
            return _Caller()
        try:
            holder, by_integration_token = self.tokens.holder(authorization)
        except Refusal as refusal:
            return _Caller(refusal=refusal)
        return _Caller(holder=holder, by_integration_token=by_integration_token)

    def _effect(self, template: str, path: Mapping[str, str], caller: _Caller, request: Request) -> Effect:
        if not self.faults:
            return Effect()
        named = (caller.resource_id, path.get("locationId"), *_named_accounts(request))
        accounts = frozenset(name for name in named if name)
        return self.faults.effect(template, accounts, path, request) or Effect()

    def _with_limits(self, reply: Reply, caller: _Caller) -> Reply:
        if reply.from_gateway:
            return reply
        allowance: Allowance = self.limits.peek(caller.resource_id)
        usual = {"Content-Type": JSON_TYPE, **self.limits.headers(allowance)}
        overridden = {name.lower() for name in reply.headers}
        rest = {name: value for name, value in usual.items() if name.lower() not in overridden}
        return replace(reply, headers={**rest, **reply.headers})

    def _request_counts(self) -> Reply:
        counts = [
            {"method": method, "route": route, "status": status, "count": count}
            for (method, route, status), count in sorted(self.log.counts().items(), key=str)
        ]
        body = json.dumps({"requests": counts}, indent=1).encode()
        return Reply(status=200, body=body, headers={"Content-Type": JSON_TYPE})


def _check_version(request: Request, version: str) -> None:
    given = request.headers.get("version")
    if given is None:
        raise Refusal(HTTPStatus.UNAUTHORIZED, "version header was not found.")
    if given not in (version, "v3"):
        raise Refusal(HTTPStatus.UNAUTHORIZED, "version header is invalid")


def _named_accounts(request: Request) -> tuple[str | None, ...]:
    fields = request.form if request.method == "POST" else request.query
    grant = fields.get("refresh_token") or fields.get("code", "")
    return fields.get("locationId"), fields.get("companyId"), grant.partition(".")[0]
