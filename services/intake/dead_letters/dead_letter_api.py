"""List, read and replay refused messages over HTTP.

    GET  /api/v1/refused               newest first
    GET  /api/v1/refused/{id}          with its bytes; the access is logged (rule D59, access)
    POST /api/v1/refused/{id}/replay   unchanged, or with the body of this request

A replay runs as its sender, under the sender's rights and mapping of today. A message that has
taken effect since then has no second effect. One without a time counts from its first arrival. A
corrected replay names its author and is unconfirmed until a person confirms it.
"""

import base64
from typing import Any, Final
from urllib.parse import unquote

import structlog
from aiokafka.errors import KafkaError

from schemas.topics import TOPICS_BY_NAME, partition_of
from services.intake.dead_letters.dead_letter_store import (
    CORRECTOR_HEADER,
    check_correction,
    get_author_token,
)
from services.intake.http.exchange import BINARY_TYPE, Headers, ListQuery, Scope
from services.runtime.http.pagination import paginate_preordered
from services.runtime.http.problems import ProblemError, build_conflict
from services.runtime.identity.accounts import AccessStore
from services.runtime.identity.principals import Principal
from services.runtime.kafka.clients import BrokerAway
from services.runtime.kafka.dead_letters import (
    TOPIC,
    DeadLetter,
    DeadLetterKind,
    RecordGone,
    build_row,
    get_time,
    read_dead_letters,
    replay_record,
)
from services.runtime.secrets.vault import VaultTexts

DEAD_LETTER_PATH: Final = "/api/v1/refused"
ORIGINAL_SENDER: Final = "vigie.sender"
"""Key of an ASGI scope made by the front: the principal of a replayed message."""
FIRST_RECEIVED_AT: Final = "vigie.came"
"""Key of such a scope: the time of the message's first arrival."""
CORRECTOR: Final = "vigie.corrector"
"""Key of such a scope: token of the author of a correction, else None."""
NATIVE: Final = "native"
"""Integration with the fields of a report."""
TEXT_S: Final = 2.0
DEFAULT_LIMIT: Final = 100
"""Default length of the list."""
log = structlog.get_logger(__name__)


class DeadLetterApi:
    """Read refused messages and prepare replays. All methods raise ProblemError and BrokerAway."""

    def __init__(self, kafka: str, texts: VaultTexts, access: AccessStore, live_realm: str) -> None:
        self._kafka = kafka
        self._texts = texts
        self._access = access
        self._partitions = (partition_of(live_realm, TOPICS_BY_NAME[TOPIC].partitions),)

    async def list_messages(self, part: ListQuery, reader: Principal) -> dict[str, Any]:
        """List refused messages, newest first. `?source=` selects those of one principal."""
        source = part.filters.get("source")
        letters = [
            letter
            for letter in reversed(await self._letters(reader))
            if source is None or letter.source == source
        ]
        page_letters, following = paginate_preordered(
            letters, lambda letter: letter.id, part.limit, part.cursor
        )
        return {"items": [build_row(letter) for letter in page_letters], "next": following}

    async def show_message(self, id: str, reader: Principal) -> dict[str, Any]:
        """Return a refused message with its bytes in base64, and as text with replacements."""
        letter = await self._find(id, reader)
        body = await self._body(letter)
        log.info("refusal.read", letter=id, reader=reader.id)
        body_fields = (
            {}
            if body is None
            else {
                "body_base64": base64.b64encode(body).decode(),
                "body": body.decode("utf-8", "replace"),
            }
        )
        return build_row(letter) | {"body": None} | body_fields

    async def build_replay(
        self, id: str, new_body: bytes, author: Principal
    ) -> tuple[Scope, bytes] | dict[str, Any]:
        """Return the request to route again with its body.

        A record of a topic is published again instead, and the result says where it is now.
        """
        letter = await self._find(id, author)
        original = await self._body(letter)
        if new_body == original:
            new_body = b""
        if new_body and letter.input_type == NATIVE:
            check_correction(letter, original, new_body)
        log.info("refusal.replayed", letter=id, author=author.id, corrected=bool(new_body))
        self._access.trace(author, "refusal.replayed", id)
        if new_body:
            self._access.trace(author, "refusal.corrected", id)
        if letter.topic is not None:
            try:
                partition, offset = await replay_record(
                    self._kafka,
                    letter,
                    new_body or None,
                    [(CORRECTOR_HEADER, get_author_token(author).encode())],
                )
            except RecordGone as error:
                raise ProblemError("erased") from error
            return {"id": id, "topic": letter.topic, "partition": partition, "offset": offset}
        body = new_body or original
        if body is None:
            raise ProblemError("erased")
        path, _, query = letter.headers.get("path", "").partition("?")
        sender = self._access.principal(letter.source) if letter.source else None
        if sender is None:
            raise build_conflict(
                "L’émetteur n’existe plus ou est arrêté.", "The sender is gone or disabled."
            )
        headers: Headers = [
            (b"content-type", (letter.content_type or BINARY_TYPE).encode("latin-1", "replace")),
            (b"idempotency-key", letter.id.encode()),
        ]
        return {
            "type": "http",
            "method": "POST",
            "path": unquote(path),
            "query_string": query.encode("latin-1", "replace"),
            "headers": headers,
            "client": None,
            ORIGINAL_SENDER: sender,
            FIRST_RECEIVED_AT: get_time(letter),
            CORRECTOR: get_author_token(author) if new_body else None,
        }, body

    async def _letters(self, reader: Principal) -> list[DeadLetter]:
        """Return the refused messages of the realms that the reader may see."""
        try:
            letters = [
                letter
                async for letter in read_dead_letters(self._kafka, self._partitions)
                if letter.lane is DeadLetterKind.REFUSED
            ]
        except (KafkaError, OSError) as error:
            raise BrokerAway(type(error).__name__) from error
        return [letter for letter in letters if reader.sees(letter.realm)]

    async def _find(self, id: str, reader: Principal) -> DeadLetter:
        dead_letter = next(
            (letter for letter in await self._letters(reader) if letter.id == id), None
        )
        if dead_letter is None:
            raise ProblemError("not_found")
        return dead_letter

    async def _body(self, letter: DeadLetter) -> bytes | None:
        if letter.text_id is None:
            return None
        item = await self._texts.get(letter.text_id, wait_s=TEXT_S)
        return None if item is None else item.raw
