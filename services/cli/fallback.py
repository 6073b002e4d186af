"""Several addresses of one Vigie: a command goes on with another machine if one is away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import httpx

CONNECT_TIMEOUT_S: Final = 3.0
"""Longest wait for a connection while other addresses are left to try."""
_UNAVAILABLE: Final = frozenset({502, 503, 504})
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout)
_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})


class FallbackTransport(httpx.BaseTransport):
    """Send each request to the first address that answers, beginning with the last good one.

    A request that a machine refuses for now (502 to 504), or takes and does not answer, goes to the
    next one if it may be sent twice: it only reads, or it has an Idempotency-Key.
    """

    def __init__(self, urls: Sequence[str], transport: httpx.BaseTransport | None = None) -> None:
        self._urls = [httpx.URL(url) for url in urls]
        self._transport = transport or httpx.HTTPTransport(trust_env=False)
        self._last_good = 0

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first useful answer. Raises httpx.RequestError if no address answers."""
        failure: httpx.RequestError | None = None
        refusal: httpx.Response | None = None
        for turn in range(len(self._urls)):
            at = (self._last_good + turn) % len(self._urls)
            try:
                answer = self._transport.handle_request(_readdress(request, self._urls[at]))
            except httpx.TransportError as error:
                if not (isinstance(error, _NOT_SENT) or _may_repeat(request)):
                    raise
                failure = error
                continue
            if refusal is not None:
                refusal.close()
            if not (answer.status_code in _UNAVAILABLE and _may_repeat(request)):
                self._last_good = at
                return answer
            refusal = answer
        if refusal is not None:
            return refusal
        assert failure is not None, "there is one address at least"
        raise failure

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()


def _may_repeat(request: httpx.Request) -> bool:
    return request.method in _SAFE_METHODS or "Idempotency-Key" in request.headers


def _readdress(request: httpx.Request, url: httpx.URL) -> httpx.Request:
    """Return the same request for another machine."""
    target = request.url.copy_with(scheme=url.scheme, host=url.host, port=url.port)
    headers = request.headers.copy()
    headers["Host"] = target.netloc.decode("ascii")
    return httpx.Request(
        request.method,
        target,
        headers=headers,
        stream=request.stream,
        extensions=request.extensions,
    )
