"""Send decisions of people as commands, and wait for the decider's answer through the read model.

The id of a command derives from the Idempotency-Key, so a repeated request is the same command with
the same answer; the decider drops the second record by its id. The digest of the request is stored
for as long as the answer, because a command may hold values that the request does not contain (a
time, a speed, people). Free text goes to the encrypted `texts` first; the command carries its id.
"""

import asyncio
import hmac
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Final

import orjson
import structlog
from pydantic import ValidationError
from redis.exceptions import RedisError

from schemas.base import Command
from schemas.callouts import HeadcountAnswer, headcount_text_id
from schemas.commands import AnswerNotification
from schemas.people.attendance import AttendanceMode, StateAttendance
from schemas.topics import input_topic, select_urgent_topic
from schemas.words import Answer as Said
from services.console.http.command_texts import check_free_text
from services.console.http.fair_queue import WaitingRequests
from services.console.logbook.lines import build_author_source
from services.console.logbook.queries import build_command_result
from services.console.read_model import store
from services.console.read_model.store import Client
from services.console.resources import CommandResult
from services.runtime.http.problems import ProblemError, list_faults
from services.runtime.identity.principals import Principal
from services.runtime.identity.signed_links import AnswerLink, derive_answer_id
from services.runtime.kafka.clients import BrokerAway, RecordProducer
from services.runtime.secrets.vault import TextItem, VaultTexts

DEFAULT_WAIT_S: Final = 2.0
MAX_WAIT_S: Final = 60.0
"""Limit of `Prefer: wait=N`, long enough for slow steps of simulated realms."""
RECONNECT_S: Final = 0.5
log = structlog.get_logger(__name__)

ANSWERING_ROLE: Final = "on_call"
"""Role of a person answering from a link: the call itself records the role it was for."""

CommandAnswer = dict[str, Any]
MakeCommand = Callable[[str, str, str | None], Command]
"""(author, role, reason) → the command."""


class CommandAnswers:
    """Receiver of command answers on one Redis channel for all waiting requests.

    `run` lasts until it is cancelled.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._waiting: dict[str, set[asyncio.Future[None]]] = {}
        self._over = False

    def end(self) -> None:
        """Stop all waiting because this process stops; unanswered commands stay pending."""
        self._over = True
        for id in self._waiting:
            self._wake(id)

    async def run(self) -> None:
        """Listen until cancelled; after a lost connection, look once for missed answers."""
        while True:
            with suppress(RedisError, OSError):
                await self._listen()
            await asyncio.sleep(RECONNECT_S)

    async def _listen(self) -> None:
        async with self._client.pubsub(ignore_subscribe_messages=True) as channel:
            await channel.subscribe(store.COMMANDS)
            for id in [
                id
                for id in list(self._waiting)
                if await self._client.exists(store.build_command_key(id))
            ]:
                self._wake(id)
            while True:
                message = await channel.get_message(timeout=30.0)
                if message is not None:
                    self._wake(message["data"].decode())

    def _wake(self, id: str) -> None:
        for future in self._waiting.get(id, ()):
            if not future.done():
                future.set_result(None)

    async def read(self, id: str) -> CommandAnswer | None:
        """Return the answer, or None while there is none or the store is away."""
        with suppress(RedisError, OSError):
            raw = await self._client.get(store.build_command_key(id))
            return None if raw is None else dict(orjson.loads(raw))
        return None

    async def get_request_digest(self, id: str) -> str | None:
        """Return the digest of the request that sent this command (`key_reused`).

        The result is None if no such request is known, or while the store is away.
        """
        with suppress(RedisError, OSError):
            raw = await self._client.get(store.build_sent_key(id))
            return None if raw is None else str(raw.decode())
        return None

    async def note_sent(self, id: str, request_digest: str) -> None:
        """Record that a command is about to be sent. Without the store it is sent all the same."""
        with suppress(RedisError, OSError):
            await self._client.set(store.build_sent_key(id), request_digest, ex=store.COMMAND_TTL_S)

    async def under_way(self, id: str) -> bool:
        """Return whether a command may still be pending; True while the store is away.

        A store that was killed may have lost the newest requests. For 15 minutes after its start
        every command may be pending: its answer comes with its decision.
        """
        with suppress(RedisError, OSError):
            if await self._client.exists(store.build_sent_key(id)):
                return True
            runs_s = int((await self._client.info("server"))["uptime_in_seconds"])
            return runs_s < store.SIMULATED_COMMAND_TTL_S
        return True

    async def wait(
        self, id: str, timeout_s: float, *, ask: Callable[[], Any] | None = None
    ) -> CommandAnswer | None:
        """Return the answer if it comes in time.

        `ask` is awaited after listening has begun, so that no answer is missed.
        """
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(id, set()).add(future)
        try:
            if ask is not None:
                await ask()
            if (answer := await self.read(id)) is not None:
                return answer
            await asyncio.wait([future], timeout=0 if self._over else timeout_s)
            return await self.read(id)
        finally:
            waiting = self._waiting[id]
            waiting.discard(future)
            if not waiting:
                del self._waiting[id]


@dataclass(frozen=True, slots=True)
class IdempotencyKey:
    """An Idempotency-Key, and the digest of the request that came with it."""

    text: str
    request_digest: str


@dataclass(frozen=True, slots=True)
class CommandOutcome:
    """Present result of a command; `answer` is None while it is accepted but undecided."""

    id: str
    realm: str
    answer: CommandAnswer | None
    is_replay: bool = False


class CommandDispatcher:
    """Sender of commands that waits for their answers."""

    def __init__(
        self, producer: RecordProducer, texts: VaultTexts, answers: CommandAnswers, key: bytes
    ) -> None:
        """Take a secret of the installation as `key`, so that ids and digests reveal nothing."""
        self._producer, self._texts, self.answers, self._key = producer, texts, answers, key
        self.waits: Final = WaitingRequests()

    def command_id(self, principal: Principal, realm: str, key: IdempotencyKey | None) -> str:
        """Return the id of a command: the same for the same key, principal and realm."""
        random_part = (
            secrets.token_hex(12)
            if key is None
            else self._hash("key", principal.id, realm, key.text, size=12)
        )
        return f"cmd-{random_part}-{self._hash('issued', random_part, size=4)}"

    def realm_id(self, principal: Principal, key: IdempotencyKey | None) -> str:
        """Return an id for a realm without a given name, derived like that of a command."""
        return (
            secrets.token_hex(4)
            if key is None
            else self._hash("realm", principal.id, key.text, size=4)
        )

    def has_issued(self, id: str) -> bool:
        """Return whether this installation made this id, so that its command may be pending."""
        prefix, _, rest = id.partition("-")
        random_part, _, mark = rest.partition("-")
        return prefix == "cmd" and hmac.compare_digest(
            mark.encode(), self._hash("issued", random_part, size=4).encode()
        )

    def _hash(self, *parts: str, size: int) -> str:
        return blake2b("\x1f".join(parts).encode(), key=self._key, digest_size=size).hexdigest()

    async def find_earlier_outcome(
        self, principal: Principal, realm: str, key: IdempotencyKey | None
    ) -> CommandOutcome | None:
        """Return the earlier outcome for this key, or None. Raises ProblemError `key_reused`."""
        if key is None:
            return None
        id = self.command_id(principal, realm, key)
        if await self.answers.get_request_digest(id) not in (None, key.request_digest):
            raise ProblemError("key_reused")
        answer = await self.answers.read(id)
        return None if answer is None else CommandOutcome(id, realm, answer, is_replay=True)

    async def decide(
        self,
        service: str,
        realm: str,
        principal: Principal,
        make: MakeCommand,
        *,
        reason: str | None = None,
        key: IdempotencyKey | None = None,
        wait_s: float = DEFAULT_WAIT_S,
        more_texts: Mapping[str, Any] | None = None,
        first: Sequence[tuple[str, MakeCommand]] = (),
    ) -> CommandOutcome:
        """Send the command that `make` returns and wait for its answer.

        `more_texts` is free text stored with the reason. `first` holds (name, command) pairs to
        send before it, under ids derived from its id. Raises BrokerAway, ProblemError `key_reused`,
        `invalid` (values that the command cannot hold).
        """
        if (before := await self.find_earlier_outcome(principal, realm, key)) is not None:
            return before
        id = self.command_id(principal, realm, key)
        author, role = get_author(principal), principal.acting_role
        text_id = self.text_id(id, reason) if reason else None
        try:
            reference = f"text:{text_id}" if text_id else None
            command = make(author, role, reference)
            commands = [
                (f"{id}-{name}", earlier(author, role, reference)) for name, earlier in first
            ] + [(id, command)]
        except ValidationError as error:
            raise ProblemError("invalid", faults=list_faults(error)) from None
        for _, one in commands:
            check_free_text(one)
        if text_id is not None and reason is not None:
            await self._texts.put(text_id, TextItem({"text": reason} | dict(more_texts or {})))
        outcome = await self.send_all(
            service, realm, principal, commands, min(wait_s, MAX_WAIT_S), key
        )
        state = outcome.answer["state"] if outcome.answer else "pending"
        log.info(
            "command.sent",
            command=type(command).__name__,
            realm=realm,
            command_id=id,
            role=role,
            state=state,
        )
        return outcome

    def text_id(self, command_id: str, text: str) -> str:
        """Return the id of a command's free text.

        It depends on both, so a repeated request writes the same item.
        """
        return f"{command_id}-{self._hash('text', command_id, text, size=6)}"

    async def put_text(self, text_id: str, text: str) -> None:
        """Store free text before the command that refers to it. Raises BrokerAway."""
        await self._texts.put(text_id, TextItem({"text": text}))

    async def put_document(self, text_id: str, raw: bytes) -> None:
        """Store a frozen document before the command that refers to it. Raises BrokerAway."""
        await self._texts.put(text_id, TextItem(raw=raw, content_type="application/json"))

    async def send_all(
        self,
        service: str,
        realm: str,
        principal: Principal,
        commands: Sequence[tuple[str, Command]],
        wait_s: float,
        key: IdempotencyKey | None = None,
    ) -> CommandOutcome:
        """Send (id, command) pairs in order and wait for the answer of the last.

        The id of the last is that of the whole. Raises BrokerAway, ProblemError `invalid` (free
        text).
        """
        for _, command in commands:
            check_free_text(command)
        source = build_author_source(get_author(principal), principal.acting_role)
        last = commands[-1][0]

        async def ask() -> None:
            await self.answers.note_sent(last, key.request_digest if key else "")
            for id, command in commands:
                await self._producer.send(
                    select_urgent_topic(service, realm),
                    realm,
                    command,
                    id=id,
                    source=source,
                    correlation_id=last,
                )

        with self.waits.patience(principal.id, wait_s) as patience_s:
            return CommandOutcome(last, realm, await self.answers.wait(last, patience_s, ask=ask))


def get_author(principal: Principal) -> str:
    """Return the token of the person behind an account, or the account id if it has none."""
    return principal.person or principal.id


@dataclass(frozen=True, slots=True)
class StatedAttendance:
    """Attendance in the crisis cell, as stated behind a link. Rule D90."""

    mode: AttendanceMode
    eta_min: int | None = None


class LinkAnswers:
    """Sender of answers from a link in a message, without a login.

    The token itself identifies person and call. Rule D33.
    """

    def __init__(
        self, producer: RecordProducer, answers: CommandAnswers, texts: VaultTexts
    ) -> None:
        self._producer, self._answers, self._texts = producer, answers, texts

    async def keep(self, notification: str, answer: HeadcountAnswer) -> None:
        """Store an answer to a headcount before it is reported. Raises ProblemError `broker_away`."""
        try:
            item = TextItem({"headcount": answer.value})
            await self._texts.put(headcount_text_id(notification), item)
        except BrokerAway as error:
            raise ProblemError("broker_away", retry_after_s=2) from error

    async def send(
        self,
        link: AnswerLink,
        token: str,
        answer: Said,
        *,
        changes: bool = False,
        instead: str | None = None,
        attendance: StatedAttendance | None = None,
    ) -> CommandResult:
        """Record an answer, or how the person takes part in the crisis cell.

        A token answers once: the id of the input derives from it. With `changes` the person
        replaces an earlier answer, which works once in each direction, too. `instead` is the
        person to call instead. Each attendance replaces the one before; the same one twice within
        a minute is one (rule D90). Raises ProblemError `broker_away`.
        """
        id, author = derive_answer_id(token), {"author": link.person, "role": ANSWERING_ROLE}
        command: Command
        if attendance is not None:
            topic = select_urgent_topic("alerts", link.realm)
            minute = round(time.time()) // 60
            id += f":{attendance.mode.value}:{attendance.eta_min}:{minute}"
            command = StateAttendance(
                **author, person=link.person, mode=attendance.mode, eta_min=attendance.eta_min
            )
        else:
            topic = input_topic("delivery")
            if changes:
                id += ":recalled" if answer is Said.DECLINE else ":acknowledged"
            command = AnswerNotification(
                **author,
                notification=link.notification,
                person=link.person,
                answer=answer,
                channel="link",
                instead=instead,
            )

        async def ask() -> None:
            source = build_author_source(link.person, ANSWERING_ROLE)
            await self._producer.send(
                topic, link.realm, command, id=id, source=source, correlation_id=id
            )

        try:
            result = await self._answers.wait(id, DEFAULT_WAIT_S, ask=ask)
        except BrokerAway as error:
            raise ProblemError("broker_away", retry_after_s=2) from error
        if result is None:
            return CommandResult(id=id, command_id=id, realm=link.realm, state="pending")
        return build_command_result(result, "fr")
