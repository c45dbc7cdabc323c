"""The two token endpoints, the only ones that are asked by POST."""

import json
from http import HTTPStatus

from ghl_snapshots.simulator.accounts import Accounts, Agency, Holder, Location, account_id
from ghl_snapshots.simulator.identifiers import object_id, short_id
from ghl_snapshots.simulator.messages import (
    Refusal,
    Request,
    foreign_company,
    invalid,
    not_authorized,
    not_installed,
    trace_id,
)
from ghl_snapshots.simulator.tokens import Tokens

TOKEN_PATH = "/oauth/token"  # noqa: S105 (a path)
LOCATION_TOKEN_PATH = "/oauth/locationToken"  # noqa: S105 (a path)
TOKEN_PATHS = (TOKEN_PATH, LOCATION_TOKEN_PATH)
RECONNECT_PATH = "/oauth/reconnect"
"""Gone since September 2026."""


_GRANTS = {"refresh_token": "refresh_token", "authorization_code": "code"}
"""The form's field that holds the grant, by grant type."""


def exchange_grant(accounts: Accounts, tokens: Tokens, request: Request) -> bytes:
    """The answer to POST /oauth/token, which uses up the grant and gives the next refresh token."""
    field = _GRANTS.get(request.form.get("grant_type", "refresh_token"))
    form = _form(request, "client_id", "client_secret", "grant_type", *([field] if field else []))
    if (form["client_id"], form["client_secret"]) != (accounts.client_id, accounts.client_secret):
        raise Refusal(HTTPStatus.UNAUTHORIZED, "Invalid client: client credentials are invalid.")
    if field is None:
        raise Refusal(HTTPStatus.BAD_REQUEST, "Unsupported grant type.", "unsupported_grant_type")
    _check_grant(accounts, form, form[field])
    spend = tokens.spend_refresh_token if field == "refresh_token" else tokens.spend_authorization_code
    holder, following = spend(form[field])
    answered = _answered_holder(accounts, holder)
    if answered is not holder:
        following = tokens.further_refresh_token(account_id(answered))
    return _token_answer(tokens, answered, refresh_token=following)


def issue_location_token(accounts: Accounts, tokens: Tokens, holder: Holder, request: Request) -> bytes:
    """The answer to POST /oauth/locationToken: a token for one location of the agency that asks."""
    form = _form(request, "companyId", "locationId")
    if isinstance(holder, Location):
        raise not_authorized()
    if form["companyId"] != holder.company_id:
        raise foreign_company()
    location = accounts.location_of(holder, form["locationId"])
    if not location.installed:
        raise not_installed(location.not_installed_status)
    return _token_answer(tokens, _answered_holder(accounts, location))


def _form(request: Request, *required: str) -> dict[str, str]:
    missing = [f"{name} should not be empty" for name in required if not request.form.get(name)]
    if missing:
        raise invalid(*missing)
    return request.form


def _check_grant(accounts: Accounts, form: dict[str, str], grant: str) -> None:
    """Refuse a wrong user type, or a location that is closed, before the grant is spent.

    Without a user type GHL takes the grant's own.
    """
    holder = accounts.holder(grant.partition(".")[0])
    if holder is not None and form.get("user_type", _user_type(holder)) != _user_type(holder):
        raise Refusal(HTTPStatus.BAD_REQUEST, "The user type does not match the grant.")
    if isinstance(holder, Location):
        accounts.check_open(holder, by_app=True)


def _answered_holder(accounts: Accounts, holder: Holder) -> Holder:
    """Whose tokens are given: the holder's own unless a test says otherwise."""
    return accounts.holder(holder.token_account_id or "") or holder


def _user_type(holder: Holder) -> str:
    return "Company" if isinstance(holder, Agency) else "Location"


def _token_answer(tokens: Tokens, holder: Holder, refresh_token: str | None = None) -> bytes:
    is_agency = isinstance(holder, Agency)
    content = {
        "access_token": tokens.issue_access_token(account_id(holder)),
        "token_type": "Bearer",
        "expires_in": tokens.access_token_seconds,
        **({"refresh_token": refresh_token} if refresh_token else {}),
        "scope": " ".join(sorted(holder.scopes)),
        "userType": _user_type(holder),
        "companyId": holder.company_id,
        **({} if is_agency else {"locationId": account_id(holder)}),
        "userId": short_id(account_id(holder), "installer"),
        "planId": object_id(holder.company_id, "plan"),
        "traceId": trace_id(),
    }
    return json.dumps(content, separators=(",", ":")).encode()
