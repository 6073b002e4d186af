"""`POST /api/v1/attachments`, `GET /api/v1/attachments/{id}`: photos of reports, encrypted in `texts` like all that may be personal.

A report names its photos by id. The id is derived from the sender and the picture, so the same photo again is the same attachment, and a
phone that lost the answer sends it once more.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from uuid import NAMESPACE_URL, uuid5

import structlog

from services.intake.exchange import DATA_POLICY, BodyReader, Headers, Receive, Scope, Send, answer, answer_json
from services.intake.photos import JPEG, PNG, NoPhoto, bare
from services.intake.quota import DailyQuota
from services.runtime.kafka import BrokerAway
from services.runtime.principals import Principal
from services.runtime.problems import ProblemError, fault
from services.runtime.rights import Permission
from services.runtime.vault import TextItem, Texts

PATH: Final = "/api/v1/attachments"
WAIT_S: Final = 1.0
_SHOWN: Final[Headers] = [(b"cache-control", b"no-store"), DATA_POLICY]
log = structlog.get_logger(__name__)


def attachment_text(id: str) -> str:
    """Where an attachment lies in `texts`."""
    return f"attachment-{id}"


class Attachments:
    """Handlers; each gets the principal that the front has identified."""

    def __init__(self, reader: BodyReader, texts: Texts, quota: DailyQuota) -> None:
        self._reader = reader
        self._texts = texts
        self._quota = quota

    async def post(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """201 once the photo is kept. Raises ProblemError `invalid`, `body_too_large`, `photo_quota`, BrokerAway, ClientGone."""
        body = await self._reader.read(scope, receive)
        try:
            content_type, photo = bare(body)
        except NoPhoto as error:
            raise ProblemError(
                "invalid",
                faults=(
                    fault(
                        "body", "photo", f"une photo {JPEG} ou {PNG} entière est attendue", f"a whole {JPEG} or {PNG} is expected: {error}"
                    ),
                ),
            ) from error
        finally:
            self._reader.room.give_back(len(body))
        id = str(uuid5(NAMESPACE_URL, f"{principal.id}/{sha256(photo).hexdigest()}"))
        if await self._texts.get(attachment_text(id)) is None:  # the same again is no second one
            if not self._quota.take(principal.id, len(photo)):
                raise ProblemError("photo_quota")
            try:
                await self._texts.put(attachment_text(id), TextItem(raw=photo, content_type=content_type))
            except BrokerAway:
                self._quota.give_back(principal.id, len(photo))
                raise
        await answer_json(send, 201, {"id": id, "content_type": content_type, "bytes": len(photo), "url": f"{PATH}/{id}"})

    async def get(self, principal: Principal, id: str, send: Send) -> None:
        """The photo; the reading is logged (D59). Raises ProblemError `not_found`."""
        item = await self._texts.get(attachment_text(id), wait_s=WAIT_S)
        if item is None or item.raw is None or item.content_type not in (JPEG, PNG):
            raise ProblemError("not_found")
        log.info("attachment.read", attachment=id, reader=principal.id, permission=Permission.REPORT_RAW.value)
        await answer(send, 200, item.raw, [(b"content-type", item.content_type.encode()), *_SHOWN])
