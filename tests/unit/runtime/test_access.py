"""The access store without Kafka: its writer is a list that the test may hand to another store."""

from pathlib import Path

import pytest

from services.runtime.http.problems import ProblemError
from services.runtime.identity import accounts
from services.runtime.identity.accounts import (
    AccessStore,
    LoginTaken,
    create_principal,
    normalize_code,
)
from services.runtime.identity.permissions import PERMISSIONS_BY_ROLE, Permission, Role
from services.runtime.identity.principals import Account, EndedSession, Principal, Scope
from services.runtime.identity.sessions import Sessions
from services.runtime.kafka.clients import BrokerAway
from services.runtime.kafka.compacted_topic import KeyedEntry, Tombstones
from tests.keyed import MemoryKeyedLog, create_memory_access


@pytest.fixture
def log() -> MemoryKeyedLog:
    return MemoryKeyedLog()


@pytest.fixture
def store(tmp_path: Path, log: MemoryKeyedLog) -> AccessStore:
    return create_memory_access(tmp_path, log)


async def test_a_token_opens_until_it_is_revoked_or_over(store: AccessStore) -> None:
    principal = create_principal(
        Role.SOURCE, speaks_as="enedis", scope=Scope(types=("outage_power",))
    )
    token_id, token = await store.create_token(principal)
    assert store.bearer(token) == principal
    assert store.bearer(token + "x") is None
    _, short = await store.create_token(principal, expires_at=1000)
    assert store.bearer(short, now=999) == principal
    assert store.bearer(short, now=1000) is None
    await store.revoke_token(token_id)
    assert store.bearer(token) is None


@pytest.mark.parametrize("token", ["vigie_not_read_yet", "a-routing-key-that-a-source-had-already"])
async def test_no_token_is_refused_before_the_topic_is_read(
    store: AccessStore, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    monkeypatch.setattr(accounts, "START_WAIT_S", 0.01)
    with pytest.raises(ProblemError) as refused:
        await store.authenticate_bearer(token)
    assert refused.value.problem.code == "starting"
    store.caught_up.set()
    assert await store.authenticate_bearer(token) is None
    await store.create_token(create_principal(Role.SOURCE), token=token)
    assert await store.authenticate_bearer(token) is not None


async def test_a_disabled_principal_has_no_access(store: AccessStore) -> None:
    principal = create_principal(Role.CELL)
    _, token = await store.create_token(principal)
    await store.set_enabled(principal.id, enabled=False)
    assert store.bearer(token) is None
    await store.set_enabled(principal.id, enabled=True)
    assert store.bearer(token) is not None


async def test_tokens_and_logins_are_unreadable_on_the_topic_and_in_the_file(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    principal = create_principal(Role.CELL)
    await store.add_account(principal, "camille.martin")
    _, token = await store.create_token(principal)
    store._records.save()
    stored = b"".join(e.value or b"" for e in log.entries) + store._records._file.read_bytes()
    assert token.encode() not in stored
    assert b"camille" not in stored
    assert store._records._file.stat().st_mode & 0o777 == 0o600


async def test_another_process_knows_it_from_the_topic(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    principal = create_principal(Role.CELL)
    token_id, token = await store.create_token(principal)
    other = create_memory_access(tmp_path, log, "console")
    await other._apply_entries(log.entries)
    assert other.bearer(token) == principal
    await store.revoke_token(token_id)
    await other._apply_entries(log.entries[-1:])
    assert other.bearer(token) is None
    await other._apply_entries(log.entries), "old news change nothing"
    assert other.bearer(token) is None


async def test_a_code_used_in_one_process_takes_back_nothing_that_another_decided(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    """A sign-out at the front and a login at the console may arrive in either order."""
    principal = create_principal(Role.CELL)
    await store.add_account(principal, "cellule")
    console = create_memory_access(tmp_path, log, "console")
    await console._apply_entries(log.entries)
    for each in (store, console):
        each.caught_up.set()
    account = console.account("cellule")
    assert account is not None
    console.note(account.model_copy(update={"totp_used": 7}))
    await store.end_sessions(principal.id)
    await console._apply_entries(log.entries)
    assert console.account_of(principal.id) == account.model_copy(update={"epoch": 1})
    assert f"account:{principal.id}" not in console._records.pending
    late = account.model_copy(
        update={"totp_used": 9}
    )  # the console had not heard of it when it wrote
    await console._writer.put("access", *console._records.seal(late))
    await store._apply_entries(log.entries)
    await console._apply_entries(log.entries)
    for each in (store, console):
        assert each.account_of(principal.id) == account.model_copy(update={"epoch": 1})
        assert f"account:{principal.id}" in each._records.pending, "it is written again"


async def test_an_old_account_on_the_topic_is_read_at_the_start_and_never_written(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    principal = create_principal(Role.CELL)
    await store.add_account(principal, "cellule")
    await store.end_sessions(principal.id)
    store._records.save()
    restarted = create_memory_access(tmp_path, log)
    await restarted._apply_entries(log.entries)
    assert restarted.account_of(principal.id) == store.account_of(principal.id)
    assert not restarted._records.pending


async def test_logins_work_from_the_local_file_alone(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    principal = create_principal(Role.ADMIN)
    await store.add_account(principal, "admin")
    _, token = await store.create_token(principal)
    store._records.save()
    restarted = create_memory_access(tmp_path, log)
    assert restarted.bearer(token) == principal
    assert restarted.account("ADMIN") == Account(id=principal.id, login="admin")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'{"records": {}}',
        b'{"records": {"a": 1}, "pending": []}',
        b'{"records": {"a": "x"}, "pending": 3}',
    ],
)
def test_a_local_file_that_is_none_is_passed_over(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path, content: bytes
) -> None:
    """The topic has everything; the process must start."""
    store._records._file.parent.mkdir(exist_ok=True)
    store._records._file.write_bytes(content)
    assert create_memory_access(tmp_path, log).all(Principal) == []


async def test_erased_accounts_do_not_return_from_the_file(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    live_principal, erased = create_principal(Role.CELL), create_principal(Role.CELL)
    await store.put(live_principal)
    await store.put(erased)
    store._records.save()
    await store._writer.put(
        "access",
        f"principal:{erased.id}",
        store._tombstones.make("access", f"principal:{erased.id}"),
    )
    restarted = create_memory_access(tmp_path, log)
    await restarted._apply_entries([log.entries[0], log.entries[2]])  # compacted
    restarted.caught_up.set()
    await restarted._reconcile()
    assert restarted.principal(live_principal.id) == live_principal
    assert restarted.principal(erased.id) is None


async def test_a_stranger_neither_revokes_a_token_nor_opens_a_closed_session(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    """Unsigned null values on the topic removed an administrator's token and reopened a session."""
    principal = create_principal(Role.ADMIN)
    token_id, token = await store.create_token(principal)
    sessions = Sessions(store)
    session = sessions.admit(principal)
    sessions.end(session)
    store._records.save()
    keys = [f"token:{token_id}", f"principal:{principal.id}", f"ended:{session.id}"]
    strangers = Tombstones(b"k" * 32)
    nulls = [
        KeyedEntry("access", 0, 100 + n, key, value)
        for key in keys
        for n, value in enumerate((None, b"x", strangers.make("access", key)))
    ]
    restarted = create_memory_access(tmp_path, log)
    for one in (store, restarted):
        await one._apply_entries(nulls)
        one.caught_up.set()
        await one._reconcile()
        assert one.bearer(token) == principal
        assert Sessions(one).read(session.cookie) is None
        assert set(keys) <= one._records.pending, "written to the topic again"


async def test_old_sessions_are_erased_by_a_signed_record(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    await store.put(EndedSession(id="s-1", until=1))
    store.caught_up.set()
    await store._prune()
    assert not store.is_session_closed("s-1")
    assert log.entries[-1].value is not None
    other = create_memory_access(tmp_path, log)
    await other._apply_entries(log.entries)
    assert not other.is_session_closed("s-1")


async def test_a_lost_topic_gets_its_content_back_from_the_file(
    store: AccessStore, tmp_path: Path
) -> None:
    principal = create_principal(Role.CELL)
    _, token = await store.create_token(principal)
    store._records.save()
    restarted = create_memory_access(tmp_path, MemoryKeyedLog())
    restarted.caught_up.set()
    await restarted._reconcile()
    assert restarted.bearer(token) == principal
    assert len(restarted._records.pending) == 2


async def test_a_used_code_is_used_although_kafka_is_away_and_after_a_restart(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    principal = create_principal(Role.ADMIN)
    await store.put(principal)
    code = await store.issue_code(principal.id, expires_at=None)
    login_code = store.code(f" {code.lower()} ")
    assert login_code is not None
    log.away = True
    store.use_code(login_code)
    assert store.code(code) is None
    store._records.save()
    restarted = create_memory_access(tmp_path, log)
    await restarted._apply_entries(log.entries)
    assert restarted.code(code) is None


async def test_first_start_writes_a_token_and_a_code_and_a_second_start_neither(
    store: AccessStore, log: MemoryKeyedLog, tmp_path: Path
) -> None:
    store.caught_up.set()
    await store.bootstrap()
    secrets = tmp_path / "secrets"
    token, code = ((secrets / name).read_text().strip() for name in ("admin.token", "admin.code"))
    assert {(secrets / n).stat().st_mode & 0o777 for n in ("admin.token", "admin.code")} == {0o600}
    principal = store.bearer(token)
    assert principal is not None
    assert principal.role is Role.ADMIN
    entry_count = len(log.entries)
    await store.bootstrap()
    assert len(log.entries) == entry_count
    login_code = store.code(code)
    assert login_code is not None
    store.use_code(login_code)
    assert not (secrets / "admin.code").exists()


async def test_a_killed_first_start_is_finished_by_the_next(
    store: AccessStore, log: MemoryKeyedLog
) -> None:
    store.caught_up.set()
    log.away = True
    with pytest.raises(BrokerAway):
        await store.bootstrap()
    log.away = False
    await store.bootstrap()
    assert store.bearer((store._secrets / "admin.token").read_text().strip()) is not None


async def test_a_login_belongs_to_one_account(store: AccessStore) -> None:
    await store.add_account(create_principal(Role.CELL), "cellule")
    with pytest.raises(LoginTaken):
        await store.add_account(create_principal(Role.CELL), "Cellule")


async def test_records_of_a_stranger_on_the_topic_are_ignored(store: AccessStore) -> None:
    await store._apply_entries(
        [
            KeyedEntry("access", 0, 0, "principal:x", b"{}"),
            KeyedEntry("access", 0, 1, "nonsense", b"x"),
            KeyedEntry("access", 0, 2, "token:y", None),
        ]
    )
    assert store.all(Principal) == []


def test_observers_kiosks_and_auditors_change_nothing_but_notes_of_exercises() -> None:
    reads = {
        Permission.PICTURE_READ,
        Permission.REPORT_STATUS,
        Permission.LOG_READ,
        Permission.AUDIT_READ,
        Permission.DEAD_LETTERS,
        Permission.EVIDENCE_EXPORT,
    }
    assert (
        PERMISSIONS_BY_ROLE[Role.OBSERVER] - {Permission.EXERCISE_OBSERVE}
        | PERMISSIONS_BY_ROLE[Role.KIOSK]
        | PERMISSIONS_BY_ROLE[Role.AUDITOR]
        <= reads
    )
    assert set(PERMISSIONS_BY_ROLE) == set(Role)


def test_codes_are_read_in_any_typed_form() -> None:
    assert normalize_code("abcd-efgh 2345") == "ABCDEFGH2345"
