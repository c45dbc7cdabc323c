"""The settings that say how GHL is asked: one for the deployment, and what single tenants override of it."""

from collections.abc import Iterable, Mapping

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ghl_snapshots.core.errors import ConfigurationError


class CaptureSettings(BaseModel):
    """How GHL is asked; each of these may be overridden for a tenant."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    connect_timeout_seconds: float = Field(default=5.0, gt=0, description="For a connection to GHL.")
    read_timeout_seconds: float = Field(default=30.0, gt=0, description="Between two reads of an answer.")
    capture_timeout_seconds: float = Field(
        default=300.0,
        gt=0,
        description="For one capture in total; one that plans more than 1,000 calls has as much for each "
        "1,000. What is missing by then is an error.",
    )
    max_attempts: int = Field(default=4, ge=1, le=20, description="Tries of one request, the first included.")
    retry_wait_seconds: float = Field(
        default=1.0, gt=0, description="Longest wait before a second try; it doubles with each further one."
    )
    longest_retry_wait_seconds: float = Field(
        default=20.0, gt=0, description="Longest wait before any further try; a random part of it is waited."
    )
    daily_reserve: float = Field(
        default=0.5,
        ge=0,
        le=0.99,
        description="Part of GHL's daily quota that is left to the customer's own integrations.",
    )
    concurrency: int = Field(
        default=32,
        ge=1,
        le=128,
        description="Requests under way at once in a process, and as many more for tokens of locations.",
    )

    def overridden(self, overrides: Mapping[str, object]) -> "CaptureSettings":
        """These settings with some of them replaced.

        Raises:
            ConfigurationError: like `checked_overrides`.
        """
        own = self.model_dump(include=set(CaptureSettings.model_fields))
        return CaptureSettings.model_validate(own | checked_overrides(overrides))


def checked_overrides(values: Mapping[str, object]) -> dict[str, float]:
    """The values as numbers, each of them one that the deployment's setting of that name could have.

    Raises:
        ConfigurationError: naming each wrong one, what is wrong with it, and the names there are.
    """
    try:
        return CaptureSettings.model_validate(values).model_dump(exclude_unset=True)
    except ValidationError as error:
        raise ConfigurationError(
            f"{'; '.join(_problems(error))}. "
            f"What can be overridden: {', '.join(CaptureSettings.model_fields)}."
        ) from None


def parsed_overrides(assignments: Iterable[str]) -> dict[str, float]:
    """What texts such as `max_attempts=2` override.

    Raises:
        ConfigurationError: a text has another form, or `checked_overrides` finds something wrong.
    """
    values: dict[str, object] = {}
    for assignment in assignments:
        name, separator, value = assignment.partition("=")
        if not separator:
            raise ConfigurationError(f"{assignment!r} is no override; write it as max_attempts=2.")
        values[name.strip()] = value.strip()
    return checked_overrides(values)


def _problems(error: ValidationError) -> Iterable[str]:
    for problem in error.errors(include_input=False, include_url=False):
        unknown = problem["type"] == "extra_forbidden"
        reason = "there is no such setting" if unknown else problem["msg"]
        yield f"Override {'.'.join(map(str, problem['loc']))}: {reason}"
