"""Store and serve photos of reports: `/api/v1/attachments`, encrypted in `texts`.

A report names its photos by id. The id is derived from sender and picture, so a photo that is sent
again is the same attachment. A photo belongs to one realm and is readable only with access to it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl
from uuid import NAMESPACE_URL, uuid5

import structlog

from schemas.topics import RealmNameInvalid, parse_realm
from services.intake.admission import DailyQuota
from services.intake.http.exchange import (
    DATA_CONTENT_POLICY,
    BodyReader,
    Headers,
    Receive,
    Scope,
    Send,
    send_json,
    send_response,
)
from services.intake.photos.image import JPEG, PNG, PhotoInvalid, strip_metadata
from services.intake.reports.native import REALM_FAULT
from services.runtime.http.problems import ProblemError, build_field_problem
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.vault import TextItem, VaultTexts, build_attachment_id

PHOTO_PATH: Final = "/api/v1/attachments"
WAIT_S: Final = 1.0
_PHOTO_HEADERS: Final[Headers] = [(b"cache-control", b"no-store"), DATA_CONTENT_POLICY]
log = structlog.get_logger(__name__)


class PhotoApi:
    """Handlers of photo routes. Each gets the principal that the front identified."""

    def __init__(
        self, reader: BodyReader, texts: VaultTexts, quota: DailyQuota, live_realm: str
    ) -> None:
        self._reader = reader
        self._texts = texts
        self._quota = quota
        self._live_realm = live_realm

    async def post(self, principal: Principal, scope: Scope, receive: Receive, send: Send) -> None:
        """Store a photo and answer 201 with its id.

        The realm is `?realm=`, else the sender's own. Raises ProblemError `invalid`,
        `out_of_scope`, `body_too_large`, `photo_quota`, BrokerAway, ClientGone.
        """
        realm = self._realm_of(principal, scope)
        body = await self._reader.read(scope, receive)
        try:
            content_type, photo = strip_metadata(body)
        except PhotoInvalid as error:
            raise build_field_problem(
                "body",
                "photo",
                f"une photo {JPEG} ou {PNG} entière est attendue",
                f"a whole {JPEG} or {PNG} is expected: {error}",
            ) from error
        finally:
            self._reader.room.give_back(len(body))
        id = str(uuid5(NAMESPACE_URL, f"{principal.id}/{realm}/{sha256(photo).hexdigest()}"))
        # A photo that is sent again counts once.
        if await self._texts.get(build_attachment_id(id)) is None:
            if not self._quota.count_item(principal.id, len(photo)):
                raise ProblemError("photo_quota")
            try:
                await self._texts.put(
                    build_attachment_id(id), TextItem({"realm": realm}, photo, content_type)
                )
            except BrokerAway:
                self._quota.give_back(principal.id, len(photo))
                raise
        await send_json(
            send,
            201,
            {
                "id": id,
                "content_type": content_type,
                "bytes": len(photo),
                "url": f"{PHOTO_PATH}/{id}",
            },
        )

    def _realm_of(self, principal: Principal, scope: Scope) -> str:
        requested_realm = dict(parse_qsl(scope.get("query_string", b"").decode("latin-1"))).get(
            "realm"
        )
        realm = requested_realm or principal.own_realm(self._live_realm)
        try:
            parse_realm(realm)
        except RealmNameInvalid:
            raise ProblemError("invalid", faults=(REALM_FAULT,)) from None
        if not principal.sees(realm):
            raise ProblemError("out_of_scope", field="realm")
        return realm

    async def get(self, principal: Principal, id: str, send: Send) -> None:
        """Answer with a photo and log the access.

        A photo without a known realm is hidden from readers limited to some realms. Raises
        ProblemError `not_found`, `out_of_scope`. Rule D59, access.
        """
        item = await self._texts.get(build_attachment_id(id), wait_s=WAIT_S)
        if item is None or item.raw is None or item.content_type not in (JPEG, PNG):
            raise ProblemError("not_found")
        if not principal.sees(item.fields.get("realm")):
            raise ProblemError("out_of_scope", field="realm")
        log.info(
            "attachment.read",
            attachment=id,
            reader=principal.id,
            permission=Permission.REPORT_RAW.value,
        )
        await send_response(
            send, 200, item.raw, [(b"content-type", item.content_type.encode()), *_PHOTO_HEADERS]
        )
