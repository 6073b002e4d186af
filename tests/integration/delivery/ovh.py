"""A fake of OVH's SMS API, as strict as the real one: it refuses undocumented requests."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

import orjson
from aiohttp import web

SERVICE: Final = "/1.0/sms/sms-ab1234-1"
SECRET: Final = "s3cr3t"
TOKEN: Final = f"application:{SECRET}:consumer"
DESCRIBED: Final[dict[str, Callable[[Any], bool]]] = {
    "charset": lambda v: v == "UTF-8",
    "class": lambda v: v in ("flash", "phoneDisplay", "sim", "toolkit"),
    "coding": lambda v: v in ("7bit", "8bit"),
    "differedPeriod": lambda v: isinstance(v, int),
    "message": lambda v: isinstance(v, str) and v != "",
    "noStopClause": lambda v: isinstance(v, bool),
    "priority": lambda v: v in ("high", "low", "medium", "veryLow"),
    "receivers": lambda v: isinstance(v, list) and all(isinstance(one, str) for one in v),
    "receiversDocumentUrl": lambda v: isinstance(v, str),
    "receiversSlotId": lambda v: isinstance(v, str),
    "sender": lambda v: isinstance(v, str),
    "senderForResponse": lambda v: isinstance(v, bool),
    "tag": lambda v: isinstance(v, str) and len(v) <= 20,
    "validityPeriod": lambda v: isinstance(v, int),
}
"""The documented parameters of a job, with their accepted values."""
RECEIVERS: Final = ("receivers", "receiversDocumentUrl", "receiversSlotId")
SENDERS: Final = ("VIGIE",)
"""Names that the account may send as."""
UNKNOWN: Final = "+33600000000"
"""A number that the API calls invalid."""


@dataclass
class OvhApi:
    """One SMS account at `now`."""

    now: datetime
    taken: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Id → job."""
    receipts: dict[int, int] = field(default_factory=dict)
    """Id → `deliveryReceipt` of sent messages."""
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Id → received message."""
    asked: list[str] = field(default_factory=list)
    """Every path that was asked for, in order."""
    rights: tuple[str, ...] = ("POST", "GET")
    garbage: bytes | None = None
    """The body of every answer, with status 200, as of a proxy that answers for the API."""

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.asked.append(request.path.removeprefix(SERVICE))
        if self.garbage is not None:
            return web.Response(body=self.garbage, content_type="text/html")
        if (refusal := self._refuse_signature(request, body)) is not None:
            return refusal
        if request.method not in self.rights:
            return said(403, "Client::Forbidden", "This call has not been granted")
        path = request.path.removeprefix(SERVICE)
        if request.method == "POST" and path == "/jobs":
            return self._take_job(orjson.loads(body))
        if request.method == "GET" and path in ("/outgoing", "/incoming"):
            return self._list(path, request)
        if request.method == "GET" and path.startswith("/incoming/"):
            return web.json_response(self.answers[int(path.rpartition("/")[2])])
        return said(404, "Client::NotFound", f"Got an invalid (or empty) URL {request.path}")

    def _refuse_signature(self, request: web.Request, body: bytes) -> web.Response | None:
        headers = request.headers
        stamp = headers.get("X-Ovh-Timestamp", "")
        if abs(int(stamp or 0) - self.now.timestamp()) > 30:
            return said(400, "Client::BadRequest", "Query out of time")
        signed = "+".join(
            (SECRET, "consumer", request.method, str(request.url), body.decode(), stamp)
        )
        right = "$1$" + hashlib.sha1(signed.encode()).hexdigest()
        if (
            headers.get("X-Ovh-Application"),
            headers.get("X-Ovh-Consumer"),
            headers.get("X-Ovh-Signature"),
        ) != ("application", "consumer", right):
            return said(400, "Client::BadRequest", "Invalid signature")
        return None

    def _take_job(self, job: dict[str, Any]) -> web.Response:
        if unknown := [name for name in job if name not in DESCRIBED]:
            return said(
                400,
                "Client::BadRequest",
                f"Received not described parameters: ({', '.join(unknown)})",
            )
        if wrong := [name for name, value in job.items() if not DESCRIBED[name](value)]:
            return said(400, "Client::BadRequest", f"[{wrong[0]}] Given data is not valid")
        if "message" not in job:
            return said(400, "Client::BadRequest", "[message] Missing parameter")
        if len([form for form in RECEIVERS if form in job]) != 1:
            return said(
                400,
                "Client::BadRequest",
                "Exactly one of receivers, receiversDocumentUrl, receiversSlotId",
            )
        if not job.get("senderForResponse") and job.get("sender") not in SENDERS:
            return said(403, "Client::Forbidden", f"Sender {job.get('sender')} does not exist")
        valid = [number for number in job["receivers"] if number != UNKNOWN]
        ids = [1000 + len(self.taken) + n for n in range(len(valid))]
        self.taken |= dict.fromkeys(ids, job)
        refused = [number for number in job["receivers"] if number == UNKNOWN]
        return web.json_response(
            {
                "totalCreditsRemoved": len(valid),
                "invalidReceivers": refused,
                "ids": ids,
                "validReceivers": valid,
            }
        )

    def _list(self, path: str, request: web.Request) -> web.Response:
        if unknown := set(request.query) - {"creationDatetime.from", "deliveryReceipt"}:
            return said(
                400,
                "Client::BadRequest",
                f"Received not described parameters: ({', '.join(sorted(unknown))})",
            )
        since = datetime.fromisoformat(request.query["creationDatetime.from"])
        if since.tzinfo is None or since > self.now or self.now - since > timedelta(days=1):
            return said(
                400, "Client::BadRequest", "[creationDatetime.from] Given data is not valid"
            )
        if path == "/incoming":
            return web.json_response(sorted(self.answers))
        receipt_code = int(request.query["deliveryReceipt"])
        return web.json_response([id for id, code in self.receipts.items() if code == receipt_code])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """Give the address of its jobs."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}{SERVICE}/jobs"
        finally:
            await runner.cleanup()


def said(status: int, kind: str, message: str) -> web.Response:
    """Give an error as the API does."""
    return web.json_response({"class": kind, "message": message}, status=status)
