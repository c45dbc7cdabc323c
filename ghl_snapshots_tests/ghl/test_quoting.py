"""What GHL answers is quoted without the token that was sent, in whatever part or case it is echoed."""

from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote, quote_plus

import pytest

from ghl_snapshots.ghl.quoting import quoted

TOKEN = "0f6b7c1d-42aa-4f3e-9c1b-77d0a1e2f3b4-and-more"


@pytest.mark.parametrize(
    "echo", [TOKEN, TOKEN[:30], TOKEN[:30].upper(), TOKEN[10:], TOKEN[:8], f"{TOKEN[:30]}...{TOKEN[-9:]}"]
)
def test_a_secret_is_not_quoted_in_part_or_in_another_case(echo: str) -> None:
    shown = quoted(f"The token {echo} is not valid", TOKEN)
    assert shown.replace("...", "").replace("[redacted]", "") == "“The token  is not valid”"


def test_what_is_no_part_of_the_secret_stays() -> None:
    assert quoted("The location 42aa-4f İs away", TOKEN, "") == "“The location 42aa-4f İs away”"


def test_a_short_secret_is_redacted_whole_only() -> None:
    assert quoted("a pass, a passw", "passw") == "“a pass, a [redacted]”"


@pytest.mark.parametrize(
    "echo",
    [
        quote("s3cr3t/with+odd=chars&more", safe=""),
        quote_plus("s3cr3t/with+odd=chars&more"),
        *(b64encode(f"{id_}:s3cr3t/with+odd=chars&more".encode()).decode() for id_ in ("id", "app", "abcd")),
        urlsafe_b64encode(b"s3cr3t/with+odd=chars&more").decode(),
    ],
)
def test_a_secret_is_not_quoted_as_a_form_or_a_header_encodes_it(echo: str) -> None:
    shown = quoted(echo, "s3cr3t/with+odd=chars&more")
    assert "[redacted]" in shown
    assert len(shown.replace("[redacted]", "")) < 14
