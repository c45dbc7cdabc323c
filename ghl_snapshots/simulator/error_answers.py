"""Effects that answer with an error in the words of GHL, or of the gateway in front of it."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus

from ghl_snapshots.simulator.faults import Effect
from ghl_snapshots.simulator.messages import Refusal, Reply, Request, trace_id

_PAGE = """<!DOCTYPE html>
<html lang="en-US">
<head><title>{title}</title><meta name="robots" content="noindex, nofollow" /></head>
<body>
<div id="cf-wrapper"><div id="cf-error-details">
<h1>{title}</h1><p>Cloudflare Ray ID: <strong>{ray}</strong></p>
</div></div>
</body>
</html>
"""
_TITLES = {
    403: "Attention Required! | Cloudflare",
    520: "services.leadconnectorhq.com | 520: Web server is returning an unknown error",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refuse(Effect):
    """Answer with a refusal of GHL's in these words; the request counts against no limit."""

    status: int
    message: str

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The refusal."""
        return Refusal(self.status, self.message).reply()


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayPage(Effect):
    """Answer with an HTML page of Cloudflare's, such as 403, 502 or 520, without GHL's rate-limit headers."""

    status: int

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The page."""
        ray = trace_id().replace("-", "")[:16]
        title = _TITLES.get(self.status) or f"{self.status}: {HTTPStatus(self.status).phrase}"
        return Reply(
            status=self.status,
            body=_PAGE.format(title=title, ray=ray).encode(),
            headers={
                "Content-Type": "text/html; charset=UTF-8",
                "Server": "cloudflare",
                "CF-RAY": f"{ray}-FRA",
            },
            from_gateway=True,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryAt(Effect):
    """Answer 429 with Retry-After as an HTTP date, at least so many seconds ahead (it has whole seconds)."""

    seconds: float

    def reply(self, request: Request, answer: Callable[[Request], Reply]) -> Reply:
        """The refusal with its date."""
        date = formatdate(math.ceil(time.time() + self.seconds), usegmt=True)
        refused = Refusal(HTTPStatus.TOO_MANY_REQUESTS, "Too Many Requests").reply()
        return Reply(status=refused.status, body=refused.body, headers={"Retry-After": date})
