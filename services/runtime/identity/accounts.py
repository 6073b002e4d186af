"""Accounts, tokens and codes: the `access` topic in memory, with a local file as a fallback.

The compacted topic is the truth. Every process follows it and saves its records in
`vault/access-<service>.json`, so that tokens and logins work after a restart without Kafka, Redis
or any other server. Tokens are random (256 bits): a keyed blake2b is enough for them and costs a
microsecond per request.
"""

import asyncio
import base64
import secrets
import time
from collections.abc import Sequence
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Self, TypeVar

import structlog

from schemas.base import DAY_MS, Instant
from services.runtime.http.problems import ProblemError
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import (
    TRACE_DAYS,
    AccessRecords,
    Account,
    Code,
    EndedSession,
    Principal,
    Record,
    Scope,
    Source,
    Token,
    Trace,
    get_topic_key,
    normalize_login,
)
from services.runtime.kafka.clients import BrokerAway, KeyedWriter
from services.runtime.kafka.compacted_topic import (
    KeyedEntry,
    Tombstones,
    TopicFollower,
    count_unsigned,
)
from services.runtime.process.machine import now_ms
from services.runtime.process.settings import Settings
from services.runtime.process.tasks import cancel_and_wait
from services.runtime.secrets.keyring import MasterKey, write_private

TOPIC: Final = "access"
LOCAL_ADMIN: Final = "local-admin"
"""Principal of the commands on this machine, and of the first-start code."""
TWO_FACTOR_ROLES: Final = frozenset({Role.ADMIN, Role.COORDINATOR, Role.DIRECTOR, Role.ELECTED})
"""Roles that need more than a password to log in."""
CODE_LIFE_MS: Final = 2 * DAY_MS
"""Life of a one-time code that an administrator hands out."""
TOKEN_PREFIX: Final = "vigie_"  # noqa: S105  a prefix, not a secret
TOKEN_WAIT_S: Final = 0.5
"""Longest wait in seconds for an unknown token to appear on the topic."""
CODE_WAIT_S: Final = 8.0
"""Longest wait in seconds for an unknown one-time code.

The person waits, and got the code a moment ago.
"""
START_WAIT_S: Final = 2.0
"""Longest wait in seconds for the first reading of the topic if a token is unknown."""
UNKNOWN_PER_S: Final = 20.0
"""Unknown tokens per second that may cause a look at the topic; more are refused at once."""
SAVE_AFTER_S: Final = 0.2
FLUSH_S: Final = 2.0

_R = TypeVar("_R", Principal, Token, Account, Code, EndedSession, Source, Trace)
log = structlog.get_logger(__name__)


class UnknownPrincipal(LookupError):
    """No such principal, token or login."""


class LoginTaken(ValueError):
    """Another account has this login."""


class AccessStore:
    """Access records of a process; reads are synchronous and from memory.

    Usage: `async with AccessStore.open(settings, "console") as access`.
    """

    def __init__(self, settings: Settings, service: str, master: MasterKey) -> None:
        self._hash_key = master.derive_key("access.hashes")
        self._tombstones = Tombstones.of(master)
        self.session_key: Final = master.derive_key("access.sessions")
        self._secrets = settings.data.secrets
        self._second_factor = settings.second_factor == "required"
        self._records = AccessRecords(
            settings.data.root / "vault" / f"access-{service}.json", master.derive_key("access")
        )
        self._writer = KeyedWriter(settings.kafka)
        self._follower = TopicFollower(
            settings.kafka, [TOPIC], self._apply_entries, reset=self._restart
        )
        self._changed = asyncio.Event()
        self._unknown = (0.0, UNKNOWN_PER_S)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    def open(cls, settings: Settings, service: str, *, master: MasterKey | None = None) -> Self:
        """Read the local file; Kafka is followed once the store is entered.

        Raises OSError, MasterKeyInvalid.
        """
        settings.data.make()
        store = cls(settings, service, master or MasterKey.open(settings.data.secrets))
        store._records.load()
        return store

    async def __aenter__(self) -> Self:
        self._tasks = [
            asyncio.create_task(self._follower.run(), name="access.follow"),
            asyncio.create_task(self._reconcile(), name="access.reconcile"),
            asyncio.create_task(self._save_and_flush(), name="access.save"),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        await cancel_and_wait(self._tasks)
        await asyncio.to_thread(self._records.save)
        await self._writer.stop()

    def bearer(self, token: str, *, now: Instant | None = None) -> Principal | None:
        """Return the principal of a valid token, from memory."""
        token_record = self._records.token(self.hash(token))
        if token_record is None or not token_record.valid(now_ms() if now is None else now):
            return None
        return self.principal(token_record.principal)

    async def authenticate_bearer(self, token: str) -> Principal | None:
        """Return the principal of a token, looking for an unknown token on the topic.

        Another process may just have created it. Raises ProblemError `starting` until the topic has
        been read: an unknown caller is not yet a stranger then, and a key that a source brought
        along (a routing key) does not look like one of our tokens.
        """
        if (principal := self.bearer(token)) is not None or self._records.token(
            self.hash(token)
        ) is not None:
            return principal
        if not self.caught_up.is_set():
            return await self._bearer_at_start(token)
        if not token.startswith(TOKEN_PREFIX) or not self._may_look():
            return None
        await self._follower.settle(TOKEN_WAIT_S)
        return self.bearer(token)

    async def _bearer_at_start(self, token: str) -> Principal | None:
        try:
            await asyncio.wait_for(self.caught_up.wait(), START_WAIT_S)
        except TimeoutError:
            raise ProblemError("starting", retry_after_s=round(START_WAIT_S)) from None
        return self.bearer(token)

    def principal(self, id: str) -> Principal | None:
        """Return an enabled principal."""
        principal_record = self._records.get(Principal, id)
        return (
            principal_record
            if principal_record is not None and principal_record.disabled_at is None
            else None
        )

    def all(self, kind: type[_R]) -> list[_R]:
        """Return every record of a kind, including disabled and revoked ones."""
        return self._records.all(kind)

    def account(self, login: str) -> Account | None:
        """Return an account by its login, in any spelling (`normalize_login`)."""
        normal_login = normalize_login(login)
        return next(
            (a for a in self.all(Account) if normalize_login(a.login) == normal_login), None
        )

    def account_of(self, principal: str) -> Account | None:
        """Return the account of a principal; None without one, or after a login by code alone."""
        return self._records.get(Account, principal)

    def lacks_second_factor(self, account: Account) -> bool:
        """Return whether an account must add a second factor before it may do anything else.

        A passkey is a second factor with its own way of login.
        """
        principal = self._records.get(Principal, account.id)
        needs_second_factor = (
            self._second_factor and principal is not None and principal.role in TWO_FACTOR_ROLES
        )
        return needs_second_factor and account.totp_secret is None and not account.printed

    def source(self, principal: str) -> Source | None:
        """Return the source record of a principal."""
        return self._records.get(Source, principal)

    def is_session_closed(self, session: str) -> bool:
        """Return whether this session was closed."""
        return self._records.get(EndedSession, session) is not None

    def code(self, code: str, *, now: Instant | None = None) -> Code | None:
        """Return a one-time code that may still be used."""
        at = now_ms() if now is None else now
        return next(
            (
                c
                for c in self._list_codes(code)
                if c.used_at is None and (c.expires_at is None or at < c.expires_at)
            ),
            None,
        )

    async def find_code(self, code: str) -> Code | None:
        """Return a one-time code, looking for an unknown code on the topic.

        Another process may just have created it. Raises ProblemError `code_unchecked` if the topic
        does not answer in time, because the code may then still be right.
        """
        if not self._knows(code) and self._may_look():
            is_current = await self._follower.settle(CODE_WAIT_S)
            if not is_current and not self._knows(code):
                raise ProblemError("code_unchecked", retry_after_s=round(CODE_WAIT_S))
        return self.code(code)

    def _knows(self, code: str) -> bool:
        """Return whether a code and its owner are known, even if it is used."""
        code_record = next(iter(self._list_codes(code)), None)
        return (
            code_record is not None
            and self._records.get(Principal, code_record.principal) is not None
        )

    def _list_codes(self, code: str) -> list[Code]:
        """Return the records of a one-time code, used ones too."""
        hash_ = self.hash(normalize_code(code))
        return [c for c in self.all(Code) if compare_digest(c.hash, hash_)]

    def hash(self, secret: str) -> str:
        """Return the keyed hash that stands for a token or code in storage."""
        return blake2b(
            secret.encode("utf-8", "surrogatepass"), key=self._hash_key, digest_size=32
        ).hexdigest()

    async def wait_until_current(self, timeout_s: float) -> bool:
        """Wait until everything that the topic holds now is known here; return False on timeout."""
        return await self._follower.settle(timeout_s)

    @property
    def caught_up(self) -> asyncio.Event:
        """Set once the topic has been read to its end."""
        return self._follower.caught_up

    def fault(self) -> str | None:
        """Return the reason why no new person can log in, or None. For readiness."""
        if any(task.done() and task.get_name() != "access.reconcile" for task in self._tasks):
            return "the access topic is no longer followed: restart this process"
        if not self.all(Principal) and not self.caught_up.is_set():
            return "no accounts known yet: the access topic has not been read"
        return None

    async def put(self, record: Record) -> None:
        """Write a record, which then counts here and everywhere. Raises BrokerAway."""
        key, value = self._records.seal(record)
        _, offset = await self._writer.put(TOPIC, key, value)
        self._records.pending.discard(key)
        if offset > self._records.offset(key):
            self._set(key, offset, value, record)

    def note(self, record: Record) -> None:
        """Write a record that must count here at once, with or without Kafka.

        For example a used code or a closed session. It is sent once Kafka is available.
        """
        key, value = self._records.seal(record)
        self._records.pending.add(key)
        self._set(key, self._records.offset(key), value, record)

    def trace(self, author: Principal, act: str, about: str = "") -> None:
        """Record an act with its author, even while Kafka is away; see Trace."""
        at = now_ms()
        self.note(
            Trace(
                id=f"{at:013d}-{secrets.token_hex(4)}",
                at=at,
                author=author.id,
                act=act,
                about=about[:120],
            )
        )
        log.info("access.trace", act=act, author=author.id, about=about)

    async def create_token(
        self, principal: Principal, *, expires_at: Instant | None = None, token: str | None = None
    ) -> tuple[str, str]:
        """Return (token id, token) for a principal, writing the principal if it is new or changed.

        The token is shown only this once. `token` is one that a source has already (a routing key);
        it must be long and random all the same.
        """
        if self._records.get(Principal, principal.id) != principal:
            await self.put(principal)
        token = token or TOKEN_PREFIX + secrets.token_urlsafe(32)
        return await self._register(principal.id, token, expires_at), token

    async def _register(
        self, principal_id: str, token: str, expires_at: Instant | None = None
    ) -> str:
        hash_ = self.hash(token)
        record = Token(
            id=f"t-{hash_[:12]}",
            principal=principal_id,
            hash=hash_,
            created_at=now_ms(),
            expires_at=expires_at,
        )
        await self.put(record)
        return record.id

    async def revoke_token(self, id: str) -> None:
        """Revoke a token. Raises UnknownPrincipal, BrokerAway."""
        token = self._records.get(Token, id)
        if token is None:
            raise UnknownPrincipal(id)
        if token.revoked_at is None:
            await self.put(token.model_copy(update={"revoked_at": now_ms()}))

    async def add_account(self, principal: Principal, login: str) -> None:
        """Add a person's account without a password. Raises LoginTaken, BrokerAway.

        The person logs in with a one-time code first.
        """
        if self.account(login) is not None:
            raise LoginTaken(login)
        await self.put(principal)
        await self.put(Account(id=principal.id, login=login))

    async def end_sessions(self, principal_id: str) -> None:
        """End all sessions of an account at once, in every process.

        Raises UnknownPrincipal, BrokerAway.
        """
        account = self._records.get(Account, principal_id)
        if (
            account is None
            and principal_id == LOCAL_ADMIN
            and self.principal(LOCAL_ADMIN) is not None
        ):
            # The owner of the first code has no account until now
            account = Account(id=LOCAL_ADMIN, login=LOCAL_ADMIN)
        if account is None:
            raise UnknownPrincipal(principal_id)
        await self.put(account.model_copy(update={"epoch": account.epoch + 1}))

    async def set_enabled(self, principal_id: str, *, enabled: bool) -> None:
        """Enable or disable a principal. Raises UnknownPrincipal, BrokerAway.

        If it is disabled, its tokens and sessions stop at once. If it is enabled again, its tokens
        count again.
        """
        principal = self._records.get(Principal, principal_id)
        if principal is None:
            raise UnknownPrincipal(principal_id)
        await self.put(principal.model_copy(update={"disabled_at": None if enabled else now_ms()}))
        if not enabled and self.account_of(principal_id) is not None:
            await self.end_sessions(principal_id)

    async def issue_code(
        self,
        principal_id: str,
        *,
        expires_at: Instant | None,
        purpose: str = "issued",
        code: str | None = None,
    ) -> str:
        """Create a one-time code that opens a session of this principal. Raises BrokerAway."""
        plain_code = code or generate_code()
        hash_ = self.hash(normalize_code(plain_code))
        await self.put(
            Code.model_validate(
                {
                    "id": f"c-{hash_[:12]}",
                    "principal": principal_id,
                    "hash": hash_,
                    "purpose": purpose,
                    "expires_at": expires_at,
                }
            )
        )
        return plain_code

    def use_code(self, code: Code) -> None:
        """Mark a code as used, so that it opens no second session, even while Kafka is away."""
        self.note(code.model_copy(update={"used_at": now_ms()}))
        if code.purpose == "first_start":
            (self._secrets / "admin.code").unlink(missing_ok=True)

    async def bootstrap(self) -> None:
        """Create the credentials of the first start. Raises BrokerAway, OSError.

        They are `secrets/admin.token` for commands on this machine and, until an administrator has
        a password or a passkey, `secrets/admin.code` for one login. Idempotent; waits for the
        topic.
        """
        await self.caught_up.wait()
        await self._prune()
        local = Principal(
            id=LOCAL_ADMIN,
            role=Role.ADMIN,
            label="administrateur de cette machine",
            speaks_as="cellule",
            created_at=now_ms(),
        )
        if self._records.get(Principal, LOCAL_ADMIN) is None:
            await self.put(local)
        token = self._secret_file("admin.token", TOKEN_PREFIX + secrets.token_urlsafe(32))
        if self._records.token(self.hash(token)) is None:
            await self._register(LOCAL_ADMIN, token)
        admins = {
            p.id for p in self.all(Principal) if p.role is Role.ADMIN and p.disabled_at is None
        }
        if not any((a.password_hash or a.passkeys) and a.id in admins for a in self.all(Account)):
            code = self._secret_file("admin.code", generate_code())
            if not any(c.hash == self.hash(normalize_code(code)) for c in self.all(Code)):
                await self.issue_code(
                    LOCAL_ADMIN, expires_at=None, purpose="first_start", code=code
                )

    async def _prune(self) -> None:
        """Erase records that decide nothing any more.

        These are expired closed sessions, codes used or expired a month ago, and old traces.
        """
        now = now_ms()
        old: list[Record] = [s for s in self.all(EndedSession) if s.until < now]
        old += [c for c in self.all(Code) if (c.used_at or c.expires_at or now) < now - 30 * DAY_MS]
        old += [t for t in self.all(Trace) if t.at < now - TRACE_DAYS * DAY_MS]
        for record in old:
            await self._writer.put(
                TOPIC, get_topic_key(record), self._tombstones.make(TOPIC, get_topic_key(record))
            )
            self._drop(get_topic_key(record))

    def _secret_file(self, name: str, fresh: str) -> str:
        path = self._secrets / name
        write_private(path, fresh.encode() + b"\n")
        return path.read_text().strip()

    async def _apply_entries(self, entries: Sequence[KeyedEntry]) -> None:
        for e in entries:
            if e.offset <= self._records.offset(e.key):
                continue
            if self._tombstones.mark_of(e.topic, e.key, e.value) is not None:
                self._records.pending.discard(e.key)
                self._drop(e.key)
                continue
            record = None if e.value is None else self._records.open(e.key, e.value)
            if record is None:
                self._restore(e)
                continue
            epochs = self._epochs_passed(record)
            if epochs < 0 or (e.key in self._records.pending and epochs == 0):
                continue
            self._records.pending.discard(e.key)
            assert e.value is not None
            self._set(e.key, e.offset, e.value, record)

    def _restore(self, e: KeyedEntry) -> None:
        """Keep a known record against an unsigned one (often a bare null), and write it again."""
        sealed_record = self._records.sealed.get(e.key)
        if sealed_record is None:
            return
        count_unsigned(e.topic)
        log.error(
            "access.unsigned_erasure",
            key=e.key,
            offset=e.offset,
            then="ignored: what is known here is written to the topic again",
        )
        self._records.sealed[e.key] = (e.offset, sealed_record[1])
        self._records.pending.add(e.key)
        self._changed.set()

    def _epochs_passed(self, record: Record | None) -> int:
        """Return how often the sessions of an account were ended since the known record; else 0.

        Two processes write accounts. A record that one of them only notes (a used code) must never
        undo a decision of the other (a password, a second factor, a logout). A record that was
        overwritten is written again.
        """
        local_account = self.account_of(record.id) if isinstance(record, Account) else None
        if local_account is None or not isinstance(record, Account):
            return 0
        epochs = record.epoch - local_account.epoch
        if epochs < 0 and self.caught_up.is_set():
            self.note(local_account)
            return epochs
        return max(epochs, 0)

    def _restart(self, _topic: str, _partition: int) -> None:
        """Forget all offsets, because the topic was created again: every record on it is newer."""
        self._records.sealed = {
            key: (-1, value) for key, (_, value) in self._records.sealed.items()
        }

    async def _reconcile(self) -> None:
        """Write records again that only the local file knows, after the first reading.

        They were lost on the topic, or erased without a signature. A signed erasure is a record, so
        its key would have been read.
        """
        await self.caught_up.wait()
        sealed_records, pending = self._records.sealed, self._records.pending
        stale = [
            key for key, (offset, _) in sealed_records.items() if offset < 0 and key not in pending
        ]
        if stale:
            log.error(
                "access.records_missing",
                restored=len(stale),
                of=len(sealed_records),
                hint="written to the access topic again from the local file",
            )
            pending.update(stale)
            self._changed.set()

    async def _save_and_flush(self) -> None:
        records = self._records
        while True:
            try:
                await asyncio.wait_for(self._changed.wait(), FLUSH_S)
                await asyncio.sleep(SAVE_AFTER_S)
                self._changed.clear()
                await asyncio.to_thread(records.save)
            except TimeoutError:
                pass  # Nothing is new; pending records are tried again below
            except OSError as error:
                log.error(
                    "access.save_failed",
                    error=str(error),
                    hint="logins would be lost if Kafka were away at the next start",
                )
            for key in list(records.pending):
                value = records.sealed[key][1]
                try:
                    _, offset = await self._writer.put(TOPIC, key, value)
                except BrokerAway:
                    break
                if records.sealed.get(key, (0, b""))[1] == value:
                    records.sealed[key] = (offset, value)
                    records.pending.discard(key)

    def _set(self, key: str, offset: int, value: bytes, record: Record) -> None:
        self._records.put(key, offset, value, record)
        self._changed.set()

    def _drop(self, key: str) -> None:
        self._records.drop(key)
        self._changed.set()

    def _may_look(self) -> bool:
        at, allowance = self._unknown
        now = time.monotonic()
        allowance = min(UNKNOWN_PER_S, allowance + (now - at) * UNKNOWN_PER_S)
        self._unknown = (now, allowance - 1 if allowance >= 1 else allowance)
        return allowance >= 1


def generate_code() -> str:
    """Return 80 random bits that can be read aloud: `ABCD-EFGH-JKLM-NPQR`."""
    text = base64.b32encode(secrets.token_bytes(10)).decode()
    return "-".join(text[i : i + 4] for i in range(0, 16, 4))


def normalize_code(code: str) -> str:
    """Return a code without differences of typing: case, spaces and dashes do not count."""
    return "".join(c for c in code.upper() if c.isalnum())


def create_principal(
    role: Role,
    *,
    duty: str | None = None,
    scope: Scope | None = None,
    speaks_as: str | None = None,
    label: str = "",
    id: str | None = None,
) -> Principal:
    """Create a principal with a fresh id."""
    principal_id = id or f"{role.value.replace('_', '-')}-{secrets.token_hex(4)}"
    return Principal(
        id=principal_id,
        role=role,
        duty=duty,
        scope=scope or Scope(),
        speaks_as=speaks_as,
        label=label,
        created_at=now_ms(),
    )
