"""Store and serve photos of reports, stripped of data that identifies people, places or times.

A report names its photos by id. The id is derived from sender and picture, so a photo that is sent
again is the same attachment. A photo belongs to one realm and is readable only with access to it.

Only the structure of the file is read and nothing is decoded, so no picture can exhaust memory. A
picture that could exhaust a browser is refused by its declared size. EXIF (places, device names),
XMP, comments and text are removed. Data needed to show the picture stays.
"""

import re
from hashlib import sha256
from typing import Final
from urllib.parse import parse_qsl
from uuid import NAMESPACE_URL, uuid5

import structlog

from schemas.topics import RealmNameInvalid, parse_realm
from services.intake.admission import DailyQuota, name_quota
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
from services.intake.reports.native import REALM_FAULT
from services.runtime.http.problems import ProblemError, build_field_problem
from services.runtime.identity.permissions import Permission
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import BrokerAway
from services.runtime.secrets.vault import TextItem, VaultTexts, build_attachment_id

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
_JPEG_START: Final = b"\xff\xd8"
_JPEG_KEPT_APPS: Final = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""Application segments that stay, with their first bytes: JFIF, colour profile, Adobe transform.

Phones use the same segment numbers for previews and further pictures.
"""
_JPEG_COMMENT: Final = 0xFE
_JPEG_SCAN: Final = 0xDA
_JPEG_END: Final = 0xD9
_JPEG_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a segment."""
_SCAN_END: Final = re.compile(rb"\xff(?![\x00\xd0-\xd7\xff])")
"""First marker after the data of a scan. Restart markers are part of the data (ITU T.81, B.1.1)."""
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs"}
)
MAX_PIXELS: Final = 64_000_000
"""Maximum number of pixels, above that of phone cameras. A browser needs four bytes for each."""
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers, which hold height and width."""
PHOTO_PATH: Final = "/api/v1/attachments"
WAIT_S: Final = 1.0
_PHOTO_HEADERS: Final[Headers] = [(b"cache-control", b"no-store"), DATA_CONTENT_POLICY]
log = structlog.get_logger(__name__)


class PhotoInvalid(ValueError):
    """The data is no complete JPEG or PNG, or the picture is too large to be shown."""


def strip_metadata(data: bytes) -> tuple[str, bytes]:
    """Return the media type and the stripped picture. Raises NoPhoto."""
    if data.startswith(_JPEG_START):
        return JPEG, _strip_jpeg(data)
    if data.startswith(_PNG_START):
        return PNG, _strip_png(data)
    raise PhotoInvalid("it begins like neither")


def _strip_jpeg(data: bytes) -> bytes:
    """Keep segments and scans up to the end of the picture (ITU T.81, B.1).

    Phones append more data with places and names, which is removed.
    """
    segments, at, has_scan = [_JPEG_START], len(_JPEG_START), False
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            raise PhotoInvalid("a segment does not begin with a marker")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _JPEG_END and has_scan:
            return b"".join((*segments, data[at : at + 2]))
        if marker in _JPEG_STANDALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            raise PhotoInvalid("a segment is cut off")
        if marker == _JPEG_SCAN:
            if (over := _SCAN_END.search(data, end)) is None:
                raise PhotoInvalid("the picture is cut off")
            segments.append(data[at : over.start()])
            at, has_scan = over.start(), True
            continue
        if marker in _JPEG_FRAMES:
            _check_size(data[at + 7 : at + 9], data[at + 5 : at + 7])
        app_signature = _JPEG_KEPT_APPS.get(marker)
        app = 0xE0 <= marker <= 0xEF
        if marker != _JPEG_COMMENT and (
            not app or (app_signature is not None and data.startswith(app_signature, at + 4))
        ):
            segments.append(data[at:end])
        at = end
    raise PhotoInvalid("there is no picture in it")


def _strip_png(data: bytes) -> bytes:
    """Keep the chunks needed to show the picture (ISO/IEC 15948, 5)."""
    chunks, at = [_PNG_START], len(_PNG_START)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if end > len(data) or (len(chunks) == 1 and kind != b"IHDR"):
            raise PhotoInvalid("a chunk is cut off or out of place")
        if kind == b"IHDR":
            _check_size(data[at + 8 : at + 12], data[at + 12 : at + 16])
        if kind in _PNG_KEPT:
            chunks.append(data[at:end])
        if kind == b"IEND":
            return b"".join(chunks)
        at = end
    raise PhotoInvalid("it has no end")


def _check_size(width: bytes, height: bytes) -> None:
    """Check the number of pixels. Raises NoPhoto."""
    if int.from_bytes(width, "big") * int.from_bytes(height, "big") > MAX_PIXELS:
        raise PhotoInvalid(f"more than {MAX_PIXELS // 1_000_000} million pixels")


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
            quota = name_quota(principal.id, realm)
            if not self._quota.count_item(quota, len(photo)):
                raise ProblemError("photo_quota")
            try:
                await self._texts.put(
                    build_attachment_id(id), TextItem({"realm": realm}, photo, content_type)
                )
            except BrokerAway:
                self._quota.give_back(quota, len(photo))
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
