"""What `tenants check` prints."""

from collections.abc import Iterator

from ghl_snapshots.capture.account_check import AccountCheck, CallCheck
from ghl_snapshots.core.model import LeftOutReason
from ghl_snapshots.core.summary import counted
from ghl_snapshots.local.terminal import table

_HEADINGS = ("call", "scope", "")


def describe_check(check: AccountCheck) -> Iterator[str]:
    """Whose account it is, every call with what came of it, and what a full capture takes, line by line."""
    yield f"The credential is asked about {check.account}, {counted(check.locations, 'location')}."
    for reason in LeftOutReason:
        of_reason = [each for each in check.left_out if each.reason is reason]
        if of_reason:
            first = f"{of_reason[0].location_id}: {of_reason[0].message}"
            yield f"Left out ({reason}): {counted(len(of_reason), 'location')}, such as {first}."
    yield from table([_HEADINGS, *(_row(call) for call in check.calls)])
    if check.quota is not None:
        of = f" of {check.quota.daily:,}" if check.quota.daily else ""
        yield f"Left of the day's requests: {check.quota.remaining:,}{of}."
    if not check.locations:
        yield "There is no location that could be asked: nothing would be captured."
        return
    yield f"A full capture takes {counted(check.planned_calls, 'call')} and about {check.seconds:.0f} s."
    missing = sum(1 for call in check.calls if call.error)
    left_out = sum(1 for call in check.calls if call.left_out and not call.error)
    if missing:
        yield f"Snapshots would be incomplete: {counted(missing, 'call')} would fail."
    if left_out:
        yield f"{counted(left_out, 'call')} would be left out, and snapshots complete without."


def _row(call: CallCheck) -> tuple[str, str, str]:
    result = "granted" if call.asked else "nothing to ask about"
    if call.error:
        result = f"MISSING: {call.error}"
    elif call.left_out is not None:
        result = f"left out ({call.left_out.reason}): {call.left_out.message}"
    return f"GET {call.endpoint.path}", call.endpoint.scope, result
