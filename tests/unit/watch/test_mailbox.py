"""Each mail of a mailbox reaches the front once, also after a kill."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from pydantic import ValidationError
from typer.testing import CliRunner

from services.cli.system.source import app
from services.runtime.identity.principals import Source
from services.watch import mail_reader
from services.watch.engine import FrontAway
from services.watch.front import FrontClient
from services.watch.mail_reader import (
    HttpMailFront,
    MailMemory,
    MailPosition,
    MailReader,
    find_mailbox_name,
    watch_mailbox,
)
from services.watch.mailbox import (
    READ_BYTES,
    LoginRefused,
    Mailbox,
    MailboxFault,
    MailboxSettings,
    parse_address,
)
from services.watch.membership import Turn
from services.watch.sharing import SharedHolds
from services.watch.store import FeedStore
from tests.imap_server import ImapServer, run_imap_server
from tests.unit.intake.conftest import Door
from tests.unit.intake.machines.test_machines import reports
from tests.unit.intake.machines.test_mail import register, write_mail
from tests.unit.watch.test_sharing import MASTER, SharedTopic
from tests.waiting import eventually

NOW = datetime(2027, 2, 11, 9, 0, tzinfo=UTC)


@pytest.fixture
def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "front")


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[ImapServer]:
    async with run_imap_server(tmp_path) as running:
        yield running


def open_client(door: Door) -> FrontClient:
    return FrontClient(lambda: ["http://vigie"], httpx.ASGITransport(door.intake.front))


def open_reader(server: ImapServer, door: Door, key: str, folder: Path) -> MailReader:
    settings = MailboxSettings(
        mailbox_url=server.url, mailbox_key=key, mailbox_ca=server.certificate
    )
    address = parse_address(settings.mailbox_url)
    front = HttpMailFront(open_client(door), key)
    return MailReader(
        lambda: Mailbox(address, settings.mailbox_ca),
        address.name,
        front,
        folder / "mailbox.json",
        lambda: NOW,
    )


@pytest.fixture
async def reader(server: ImapServer, door: Door, tmp_path: Path) -> MailReader:
    return open_reader(server, door, await register(door), tmp_path)


@pytest.mark.parametrize("starttls", [False, True])
async def test_a_mail_becomes_one_report_and_is_marked_as_read(
    tmp_path: Path, door: Door, starttls: bool
) -> None:
    async with run_imap_server(tmp_path, starttls=starttls) as server:
        reader = open_reader(server, door, await register(door), tmp_path)
        server.deliver(write_mail())
        assert [await reader.run_round() for _ in range(2)] == [1, 0]
        server.deliver(write_mail(id="2@enedis.fr", subject="Deuxième poste"))
        assert await reader.run_round() == 1
    assert [kind for kind, _, _ in reports(door)] == ["outage_power", "outage_power"]
    assert [mail.seen for mail in server.mails.values()] == [True, True]
    assert server.refused == []


async def test_mails_keep_their_order_and_a_reply_ends_the_trouble(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    server.deliver(write_mail())
    server.deliver(
        write_mail(
            id="2@enedis.fr",
            subject="Re: Poste source rétabli",
            headers=("References: <1@enedis.fr>",),
        )
    )
    assert await reader.run_round() == 2
    assert [kind for kind, _, _ in reports(door)] == ["outage_power", "reopening"]


@pytest.mark.parametrize("has_id", [True, False])
@pytest.mark.parametrize("read_only", [True, False])
async def test_a_kill_before_the_position_is_kept_repeats_no_report(
    server: ImapServer,
    reader: MailReader,
    door: Door,
    monkeypatch: pytest.MonkeyPatch,
    has_id: bool,
    read_only: bool,
) -> None:
    server.read_only = read_only
    await reader.run_round()
    mail = write_mail()
    server.deliver(mail if has_id else mail.replace(b"Message-ID: <1@enedis.fr>\r\n", b""))
    with monkeypatch.context() as patch, pytest.raises(OSError, match="killed"):
        patch.setattr(MailPosition, "write", _fail)
        await reader.run_round()
    assert await reader.run_round() == 1
    assert len(reports(door)) == 1
    assert await reader.run_round() == 0


def _fail(*_: Any) -> None:
    raise OSError("killed")


async def test_mails_that_were_read_before_the_first_look_do_not_count(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    server.deliver(write_mail(id="old@enedis.fr"), seen=True)
    server.deliver(write_mail())
    server.deliver(write_mail(id="older@enedis.fr"), seen=True)
    assert [await reader.run_round() for _ in range(2)] == [1, 0]
    assert len(reports(door)) == 1


async def test_a_mail_that_somebody_read_after_the_first_look_counts(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    await reader.run_round()
    server.deliver(write_mail(), seen=True)
    assert await reader.run_round() == 1
    assert len(reports(door)) == 1


async def test_new_numbers_lose_nothing_and_repeat_no_report(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    """A server that was restored numbers its mails anew (UIDVALIDITY)."""
    server.deliver(write_mail(), number=40)
    await reader.run_round()
    ancient, posted = write_mail(id="0@enedis.fr"), server.mails[40].content
    server.mails.clear()
    server.validity += 1
    server.deliver(ancient, arrived=date(2027, 1, 1))
    server.deliver(posted, seen=True)
    server.deliver(write_mail(id="2@enedis.fr", subject="Deuxième poste"), seen=True)
    assert [await reader.run_round() for _ in range(2)] == [2, 0]
    assert len(reports(door)) == 2


async def test_another_mailbox_begins_anew(
    server: ImapServer, reader: MailReader, door: Door, tmp_path: Path
) -> None:
    MailPosition("vigie@other.example/INBOX", 7, 99, NOW).write(tmp_path / "mailbox.json")
    server.deliver(write_mail())
    assert await reader.run_round() == 1
    assert len(reports(door)) == 1


async def test_a_refused_mail_is_kept_by_the_front_and_stops_no_other(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    server.deliver(write_mail(id="s@x.example", sender="Spam <a@x.example>"))
    server.deliver(write_mail())
    assert [await reader.run_round() for _ in range(2)] == [2, 0]
    assert len(reports(door)) == 1
    assert door.intake.refused._queue.get_nowait().problem.code == "invalid"


async def test_a_front_that_is_away_gets_the_mail_later(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    await reader.run_round()
    server.deliver(write_mail())
    door.inputs.away = True
    with pytest.raises(FrontAway, match="503"):
        await reader.run_round()
    assert not server.mails[1].seen
    door.inputs.away = False
    assert await reader.run_round() == 1
    assert len(reports(door)) == 1


async def test_a_wrong_key_posts_nothing_and_names_the_variable(
    server: ImapServer, door: Door, tmp_path: Path
) -> None:
    reader = open_reader(server, door, "wrong", tmp_path)
    server.deliver(write_mail())
    with pytest.raises(FrontAway, match="VIGIE_MAILBOX_KEY"):
        await reader.run_round()
    assert not (tmp_path / "mailbox.json").exists()


async def test_an_empty_mailbox_is_a_sign_of_life_of_its_source(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    book = door.intake.book
    assert not any(book.health(source.id).last_seen for source in door.intake.access.all(Source))
    await reader.run_round()
    (source,) = door.intake.access.all(Source)
    assert book.health(source.id).last_seen is not None
    assert reports(door) == []
    assert server.commands[-1].endswith("LOGOUT")


async def test_attachments_are_not_fetched(
    server: ImapServer, reader: MailReader, door: Door
) -> None:
    mail = write_mail(
        kind='multipart/mixed; boundary="b"',
        body="--b\r\nContent-Type: text/plain\r\n\r\nCoupure.\r\n--b\r\n"
        "Content-Type: application/pdf\r\n\r\n" + "x" * (3 * READ_BYTES) + "\r\n--b--",
    )
    server.deliver(mail)
    assert await reader.run_round() == 1
    assert len(reports(door)) == 1


async def test_a_mail_that_is_deleted_meanwhile_stops_nothing(
    server: ImapServer, reader: MailReader, door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.deliver(write_mail())
    monkeypatch.setattr(Mailbox, "list_unread", lambda _: [1, 9])
    assert await reader.run_round() == 2
    assert len(reports(door)) == 1


@pytest.mark.parametrize("plain", [True, False])
async def test_a_wrong_password_is_named_without_the_password(
    server: ImapServer, door: Door, tmp_path: Path, plain: bool
) -> None:
    server.plain = plain
    reader = open_reader(server, door, "k", tmp_path)
    server.password = "another"
    with pytest.raises(LoginRefused) as refusal:
        await reader.run_round()
    assert "another" not in str(refusal.value)
    assert "ss" not in str(refusal.value).replace("password", "")


async def test_both_ways_to_log_in_take_quotes(server: ImapServer, reader: MailReader) -> None:
    server.plain = False
    await reader.run_round()
    server.plain, server.password = True, "clé"
    with pytest.raises(LoginRefused):
        await reader.run_round()


@pytest.mark.parametrize("starttls", [False, True])
async def test_no_password_goes_to_a_server_without_a_trusted_certificate(
    tmp_path: Path, starttls: bool
) -> None:
    async with run_imap_server(tmp_path, starttls=starttls) as server:
        address = parse_address(
            MailboxSettings(mailbox_url=server.url, mailbox_key="k").mailbox_url
        )
        with pytest.raises(MailboxFault, match="certificate is not trusted"):
            await asyncio.to_thread(Mailbox(address, None).open)
    assert not [c for c in server.commands if "LOGIN" in c or "AUTHENTICATE" in c]


async def test_no_password_goes_to_a_server_without_tls(tmp_path: Path) -> None:
    async with run_imap_server(tmp_path, starttls=True) as server:
        server.offers_tls = False
        address = parse_address(
            MailboxSettings(mailbox_url=server.url, mailbox_key="k").mailbox_url
        )
        with pytest.raises(MailboxFault):
            await asyncio.to_thread(Mailbox(address, server.certificate).open)
    assert not [c for c in server.commands if "LOGIN" in c or "AUTHENTICATE" in c]


async def test_a_folder_that_does_not_exist_is_a_fault(
    server: ImapServer, reader: MailReader
) -> None:
    server.folder = "Autres"
    with pytest.raises(MailboxFault, match="refuses the folder"):
        await reader.run_round()


async def test_the_command_looks_and_changes_nothing(
    server: ImapServer,
    reader: MailReader,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("VIGIE_MAILBOX_URL", server.url)
    monkeypatch.setenv("VIGIE_MAILBOX_KEY", "k")
    monkeypatch.setenv("VIGIE_MAILBOX_CA", str(server.certificate))
    server.deliver(write_mail())
    look = await asyncio.to_thread(CliRunner().invoke, app, ["mailbox"])
    assert (
        "vigie@dept.example@127.0.0.1/Alarmes : dernier courriel n° 1, courriels non lus : 1"
        in look.output
    )
    assert "pas encore relevé" in look.output
    assert not server.mails[1].seen
    server.password = "another"
    refused = await asyncio.to_thread(CliRunner().invoke, app, ["mailbox"])
    assert (refused.exit_code, "refuses the user or the password" in refused.output) == (1, True)


async def test_the_process_tries_again_after_a_fault(
    server: ImapServer, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = MailboxSettings(
        data_dir=tmp_path / "data",
        mailbox_url=server.url,
        mailbox_key=await register(door),
        mailbox_ca=server.certificate,
    )
    monkeypatch.setattr(mail_reader, "FrontClient", lambda _: open_client(door))
    waits: list[float] = []

    async def note_wait(wait: float, _: float) -> None:
        waits.append(wait)
        server.folder = "Alarmes"
        if len(waits) == 4:
            raise asyncio.CancelledError

    monkeypatch.setattr(mail_reader, "_sleep_and_measure", note_wait)
    server.deliver(write_mail())
    server.folder = "Autres"
    with pytest.raises(asyncio.CancelledError):
        await watch_mailbox(settings)
    assert (waits, len(reports(door))) == ([30.0, 30.0, 30.0, 30.0], 1)


class MailboxMachine:
    """One machine of a cluster that may read the mailbox."""

    def __init__(self, settings: MailboxSettings, topic: SharedTopic) -> None:
        settings.data.make()
        self._memory = MailMemory(settings)
        self._topic = topic
        self._store = FeedStore(settings.data.feeds)
        self.name = find_mailbox_name(settings)
        machine = settings.data.root.name
        self.holds = SharedHolds(machine, self._store, {self.name: self._memory}, topic, MASTER)
        self.holds.is_current = True
        topic.readers.append(self.holds)
        self.position = settings.data.mail_position
        self._task = asyncio.create_task(watch_mailbox(settings, self.holds, self._memory))

    async def die(self, ended: set[asyncio.Task[None]]) -> None:
        """End after the present look: a thread that looks cannot be cut off."""
        self._topic.readers.remove(self.holds)
        ended.add(self._task)
        await asyncio.wait([self._task])
        self._store.close()


async def test_one_machine_reads_the_mailbox_and_another_goes_on_at_its_place(
    server: ImapServer, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mail_reader, "FrontClient", lambda _: open_client(door))

    turns: list[float] = []
    ended: set[asyncio.Task[None]] = set()

    async def rest(wait: float, _: float) -> None:
        turns.append(wait)
        if asyncio.current_task() in ended:
            raise asyncio.CancelledError
        await asyncio.sleep(0.01)

    monkeypatch.setattr(mail_reader, "_sleep_and_measure", rest)
    key, topic = await register(door), SharedTopic()
    first, second = (
        MailboxMachine(
            MailboxSettings(
                data_dir=tmp_path / name,
                mailbox_url=server.url,
                mailbox_key=key,
                mailbox_ca=server.certificate,
            ),
            topic,
        )
        for name in ("first", "second")
    )
    first.holds.turn = Turn([first.name])
    server.deliver(write_mail())
    await eventually(lambda: len(reports(door)) == 1 and second.position.exists())
    await first.die(ended)
    logins, turn = count_logins(server), len(turns)
    server.deliver(write_mail(id="2@enedis.fr"))
    await eventually(lambda: len(turns) > turn + 3)
    assert count_logins(server) == logins, "it is not the turn of the second"
    second.holds.turn = Turn([first.name])
    await eventually(lambda: server.mails[2].seen)
    await second.die(ended)
    fetches = [command for command in server.commands if "UID FETCH" in command]
    assert [command.split()[3] for command in fetches] == ["1", "2"]


def count_logins(server: ImapServer) -> int:
    return sum("AUTHENTICATE" in command or "LOGIN" in command for command in server.commands)


@pytest.mark.parametrize(
    ("url", "key", "sentence"),
    [
        ("imap://u:p@h", "k", "imaps://, imap"),
        ("https://u:p@h", "k", "imaps://, imap"),
        ("imaps://h/INBOX", "k", "a user and a password"),
        ("imaps://u:p@h/Re%C3%A7us", "k", "a folder in ASCII"),
        ("imaps://u:secret@h", "", "VIGIE_MAILBOX_KEY"),
    ],
)
def test_settings_that_cannot_work_are_refused_without_the_password(
    url: str, key: str, sentence: str
) -> None:
    with pytest.raises(ValidationError, match=sentence) as refusal:
        MailboxSettings(mailbox_url=url, mailbox_key=key)
    assert "secret" not in str(refusal.value)
