"""A header by which the console recognises the front; only the installation's key can make it.

The front says which client called, and how (`X-Forwarded-*`). Any other program that reaches the
console's port could set these headers, too: to look like a new client at every guess of a password,
or to claim TLS.
"""

import hmac
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final, Self

from services.runtime.secrets.keyring import MasterKey

HEADER: Final = "X-Vigie-Front"
MINUTE_S: Final = 60
MAX_DRIFT_MINUTES: Final = 1
"""Minutes by which the clocks of front and console may differ."""
_NAME: Final = HEADER.lower().encode()
_FORWARDING_HEADERS: Final = frozenset(
    {b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-host", b"forwarded"}
)

Application = Callable[[Any, Any, Any], Awaitable[None]]


class FrontMark:
    """Maker and checker of the header."""

    def __init__(self, master: MasterKey) -> None:
        self._key = master.derive_key("front")
        self._minute, self._mark = -1, ""

    @classmethod
    def open(cls, secrets: Path) -> Self:
        """Return the mark of this installation. Raises OSError, MasterKeyInvalid."""
        return cls(MasterKey.open(secrets))

    def make(self, now_s: float | None = None) -> str:
        """Return the value of the header for this minute."""
        minute = _compute_minute(now_s)
        if minute != self._minute:
            self._mark, self._minute = self._of(minute), minute
        return self._mark

    def is_valid(self, value: str, now_s: float | None = None) -> bool:
        """Return whether the front made this value within about a minute."""
        if hmac.compare_digest(value.encode(), self.make(now_s).encode()):
            return True
        minute = _compute_minute(now_s)
        near = (minute + step for step in range(-MAX_DRIFT_MINUTES, MAX_DRIFT_MINUTES + 1))
        return any(hmac.compare_digest(value.encode(), self._of(one).encode()) for one in near)

    def _of(self, minute: int) -> str:
        return hmac.new(self._key, str(minute).encode(), "sha256").hexdigest()


def _compute_minute(now_s: float | None) -> int:
    return int((time.time() if now_s is None else now_s) // MINUTE_S)


class FrontGuard:
    """The console's application behind the front.

    Forwarding headers of a request count only if it bears the mark of the front.
    """

    def __init__(self, app: Application, mark: FrontMark) -> None:
        self._app, self._mark = app, mark

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] == "http":
            scope = self._judge_scope(scope)
        await self._app(scope, receive, send)

    def _judge_scope(self, scope: Any) -> Any:
        header_values = {name: value.decode("latin-1") for name, value in scope["headers"]}
        if not self._mark.is_valid(header_values.get(_NAME, "")):
            other_headers = [
                (n, v) for n, v in scope["headers"] if n not in _FORWARDING_HEADERS and n != _NAME
            ]
            return {**scope, "headers": other_headers}
        trusted_scope = {**scope, "headers": [(n, v) for n, v in scope["headers"] if n != _NAME]}
        if caller := header_values.get(b"x-forwarded-for"):
            trusted_scope["client"] = (caller, 0)
        if (scheme := header_values.get(b"x-forwarded-proto")) in ("http", "https"):
            trusted_scope["scheme"] = scheme
        return trusted_scope
