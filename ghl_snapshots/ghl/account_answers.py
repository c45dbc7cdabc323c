"""What GHL's answers about one location or company say together.

By itself an answer is a verdict on its own call. Of the token or the location it says something only where no
other answer contradicts it, so all are judged together, after the last: the order in which they came cannot
matter, and none keeps another call from being made.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, TypeAlias

from ghl_snapshots.core.errors import ErrorKind, ForeignAnswerError, GhlError
from ghl_snapshots.ghl.endpoint_fetch import EndpointFetch, failed_fetch
from ghl_snapshots.ghl.fetch_target import FetchTarget
from ghl_snapshots.ghl.refusals import refusal_of_call
from ghl_snapshots.ghl.token_source import TokenSource

Position: TypeAlias = tuple[int, ...]
"""Where a fetch stands among those of its account: the numbers of its endpoint and of its parent entities."""

_CLOSING: Final = frozenset({ErrorKind.FORBIDDEN_LOCATION, ErrorKind.SUSPENDED})
"""What GHL says of a location as a whole."""


@dataclass(slots=True, kw_only=True, eq=False)
class AccountAnswers:
    """What was answered about one location or company, asked with one token."""

    targets: Sequence[FetchTarget]
    """The calls to make, in payload order; those for each entity of an answer come on top."""
    token_source: TokenSource
    is_token_proven: bool = False
    """Whether GHL has accepted the token in another account's calls."""
    failure: GhlError | None = None
    """Why there is no token, so that nothing can be asked."""
    fetches: dict[Position, EndpointFetch] = field(default_factory=dict)
    witnesses: list[EndpointFetch] = field(default_factory=list)
    """Calls that were made for the verdict alone."""

    @property
    def is_token_accepted(self) -> bool:
        """Whether an answer shows that GHL accepts the token, be it by naming the scope that it lacks."""
        return self.is_token_proven or any(
            fetch.requests or fetch.is_foreign or fetch.kind is ErrorKind.MISSING_SCOPE for fetch in self._all
        )

    @property
    def is_token_refused(self) -> bool:
        """Whether an answer refuses the token itself, and none shows that GHL accepts it."""
        kinds = self.token_source.renewed_after
        return not self.is_token_accepted and any(fetch.kind in kinds for fetch in self._all)

    @property
    def is_proven(self) -> bool:
        """Whether what came without naming its account, if anything, is the account's."""
        if self.token_source.names_account:
            return True
        is_named = any(fetch.target.names_account and fetch.entities for fetch in self._all)
        return is_named or not any(
            not fetch.target.names_account and (fetch.entities or fetch.is_foreign) for fetch in self._all
        )

    @property
    def final_error(self) -> GhlError | None:
        """What ends every call: no token, or words for the whole where no call that names it is answered."""
        if self.failure is not None:
            return self.failure
        if any(fetch.target.names_account and fetch.requests for fetch in self._all):
            return None
        words = [fetch.failure for fetch in self._all if fetch.failure and fetch.kind in _CLOSING]
        # The answer of another account names both.
        return min(words, key=lambda error: not isinstance(error, ForeignAnswerError), default=None)

    @property
    def are_doubtful(self) -> bool:
        """Whether one more answer could change what they say together."""
        return self.failure is None and (
            self.is_token_refused or self.final_error is not None or not self.is_proven
        )

    def clear(self) -> None:
        """Begin anew, with another token."""
        self.fetches.clear()
        self.witnesses.clear()

    def settled(self) -> Iterator[EndpointFetch]:
        """The fetches in payload order, each with the error that all answers together make of it."""
        final_error = self.final_error
        if final_error is not None:
            yield from (failed_fetch(target, final_error) for target in self.targets)
            return
        is_token_accepted, is_proven = self.is_token_accepted, self.is_proven
        for fetch in self._in_order:
            if fetch.entities and not (fetch.target.names_account or is_proven):
                yield failed_fetch(fetch.target, self._unproven(fetch.target))
            elif fetch.failure is not None and is_token_accepted:
                yield replace(fetch, failure=refusal_of_call(fetch.failure))
            else:
                yield fetch

    @property
    def _in_order(self) -> list[EndpointFetch]:
        return [self.fetches[position] for position in sorted(self.fetches)]

    @property
    def _all(self) -> list[EndpointFetch]:
        return [*self._in_order, *self.witnesses]

    def _unproven(self, target: FetchTarget) -> GhlError:
        refused = next(fetch.failure for fetch in self.witnesses if fetch.failure is not None)
        return GhlError(
            ErrorKind.UNPROVEN,
            "the answer names no location, and nothing proves that the token is that of "
            f"{target.location_id}; nothing of the answer is stored. GET /locations/{{locationId}} would "
            f"prove it: {refused.message}",
            status=refused.status,
        )
