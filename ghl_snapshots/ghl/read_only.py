"""The choke point: an adapter of `requests` that reads one GHL and refuses everything else.

It is used without a session. A session would put the entry of a `.netrc` in the place of our Authorization
header, follow redirects, and send a cookie that came with one tenant's answer along with the next one's call.
"""

from typing import Any, Final
from urllib.parse import urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse
from urllib3.connectionpool import ConnectionPool

from ghl_snapshots.core.errors import ErrorKind, GhlError
from ghl_snapshots.ghl.timed_connections import POOL_CLASSES

TOKEN_PATH: Final = "/oauth/token"  # noqa: S105 (a path)
LOCATION_TOKEN_PATH: Final = "/oauth/locationToken"  # noqa: S105 (a path)


class ReadOnlyAdapter(HTTPAdapter):
    """Lets out GET, and POST to the two OAuth token paths, to one GHL; refuses everything else."""

    def __init__(self, base_url: str) -> None:
        self._base = urlsplit(base_url)
        self._pool: ConnectionPool | None = None
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 (passed on)
        """Use connections whose reads keep to the deadline."""
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = POOL_CLASSES

    def send(
        self,
        request: requests.PreparedRequest,
        *args: Any,  # noqa: ANN401 (passed on)
        **kwargs: Any,  # noqa: ANN401 (passed on)
    ) -> requests.Response:
        """Send the request if it is one that may leave.

        Raises:
            GhlError: REFUSED; not a byte has left.
        """
        self._permit(request)
        return super().send(request, *args, **kwargs)

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> ConnectionPool:  # noqa: ANN401 (passed on)
        """The one connection pool, which the first request has opened: only one server is ever asked."""
        if self._pool is None:
            self._pool = super().get_connection_with_tls_context(*args, **kwargs)
        return self._pool

    def request_url(self, request: requests.PreparedRequest, _proxies: object) -> str:
        """The path to ask for; a proxy there is none."""
        return request.path_url

    def build_response(self, _req: requests.PreparedRequest, resp: BaseHTTPResponse) -> requests.Response:
        """The answer as urllib3 has it, in `raw`: without its cookies, which would never be sent back."""
        response = requests.Response()
        response.status_code = resp.status
        response.raw = resp
        return response

    def _permit(self, request: requests.PreparedRequest) -> None:
        url = urlsplit(request.url or "")
        if (url.scheme, url.netloc) != (self._base.scheme, self._base.netloc):
            raise _refused(f"a request to {url.scheme}://{url.hostname}: only {self._base.geturl()} is asked")
        if request.method == "GET" and request.body is None:
            return
        if request.method == "POST" and not url.query and url.path in self._token_paths():
            return
        raise _refused(
            f"{request.method} {url.path}: GHL is only read, by GET without a body; POST is for its two "
            "token paths"
        )

    def _token_paths(self) -> tuple[str, str]:
        base = self._base.path.rstrip("/")
        return base + TOKEN_PATH, base + LOCATION_TOKEN_PATH


def _refused(what: str) -> GhlError:
    return GhlError(ErrorKind.REFUSED, f"refused to send {what}", attempts=0)
