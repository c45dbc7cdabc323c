"""What `tenants check` prints."""

from collections.abc import Iterator

from ghl_snapshots.capture.account_check import AccountCheck, CallCheck
from ghl_snapshots.core.summary import counted
from ghl_snapshots.local.terminal import table

_HEADINGS = ("call", "scope", "")


def describe_check(check: AccountCheck) -> Iterator[str]:
    """Whose account it is, every call with what came of it, and what a full capture takes, line by line."""
    yield f"The credential is asked about {check.account}, {counted(check.locations, 'location')}."
    yield from table([_HEADINGS, *(_row(call) for call in check.calls)])
    if check.quota is not None:
        of = f" of {check.quota.daily:,}" if check.quota.daily else ""
        yield f"Left of the day's requests: {check.quota.remaining:,}{of}."
    yield f"A full capture takes {counted(check.planned_calls, 'call')} and about {check.seconds:.0f} s."
    missing = sum(1 for call in check.calls if call.problem and call.endpoint.must)
    left_out = sum(1 for call in check.calls if call.problem and not call.endpoint.must)
    if missing:
        yield f"Snapshots would be incomplete: {counted(missing, 'call')} that they need would fail."
    if left_out:
        yield f"{counted(left_out, 'call')} would be left out, which no snapshot needs to be complete."


def _row(call: CallCheck) -> tuple[str, str, str]:
    result = "granted" if call.asked else "nothing to ask about"
    if call.problem:
        result = f"{'MISSING' if call.endpoint.must else 'left out'}: {call.problem}"
    return f"GET {call.endpoint.path}", call.endpoint.scope, result
