"""A backup file opens whole and unchanged with its key, or not at all.

A running system is cut consistently.
"""

from __future__ import annotations

import errno
import io
import os
import sqlite3
import struct
import subprocess
import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from services.cli.__main__ import app
from services.runtime.backup import restore, sealed_file
from services.runtime.backup.backup import KEYRING_FILE, Cut, TailRecord, _copy_files, shorten_cuts
from services.runtime.backup.contents import (
    BackupRecord,
    BackupSection,
    ContentsWriter,
    VerifiedEnd,
    read_contents,
)
from services.runtime.backup.restore import verify_backup
from services.runtime.backup.sealed_file import (
    FRAME_BYTES,
    MAGIC,
    SealedInvalid,
    SealedReader,
    SealedWriter,
    SecretTooShort,
)
from services.runtime.process.files import open_atomic_file
from services.runtime.process.settings import DataDir, Settings
from services.runtime.secrets.signing import SigningKey

SECRET = b"correct horse battery"


@pytest.fixture(scope="module", autouse=True)
def _each_key_is_derived_once() -> Iterator[None]:
    """Derive each key once, because a derivation is slow on purpose."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed_file, "_derive_key", lru_cache(sealed_file._derive_key))
        yield


def seal(plain: bytes) -> bytes:
    file = io.BytesIO()
    writer = SealedWriter(file, SECRET)
    writer.write(plain)
    writer.close()
    return file.getvalue()


def opened(raw: bytes, length: int, secret: bytes = SECRET) -> bytes:
    reader = SealedReader(io.BytesIO(raw), secret)
    plain = reader.read(length)
    reader.close()
    return plain


@pytest.fixture(scope="module")
def plain() -> bytes:
    return os.urandom(2 * FRAME_BYTES + 17)


@pytest.fixture(scope="module")
def whole(plain: bytes) -> bytes:
    return seal(plain)


def test_a_backup_restores_its_content(plain: bytes, whole: bytes) -> None:
    assert opened(whole, len(plain)) == plain
    assert opened(seal(b""), 0) == b""


def test_a_wrong_key_differs_from_a_changed_file(plain: bytes, whole: bytes) -> None:
    with pytest.raises(SealedInvalid, match="chiffré avec une autre clé"):
        opened(whole, len(plain), b"incorrect horse battery")
    with pytest.raises(SealedInvalid, match="pas une sauvegarde de Vigie"):
        opened(b"PK\x03\x04" + whole, len(plain))


def test_a_short_key_is_refused() -> None:
    with pytest.raises(SecretTooShort):
        SealedWriter(io.BytesIO(), b"short")


@pytest.mark.parametrize("end", ["in the head", "in a length", "in a frame", "between frames"])
def test_a_file_that_was_cut_off_does_not_open(plain: bytes, whole: bytes, end: str) -> None:
    head = len(MAGIC) + 39
    first = head + 4 + int.from_bytes(whole[head : head + 4], "big")
    cut = {
        "in the head": head - 1,
        "in a length": first + 2,
        "in a frame": len(whole) - 1,
        "between frames": first,
    }[end]
    with pytest.raises(SealedInvalid, match="tronqué"):
        opened(whole[:cut], len(plain))


def test_exchanged_and_added_frames_do_not_open(plain: bytes, whole: bytes) -> None:
    head = len(MAGIC) + 39
    first = head + 4 + int.from_bytes(whole[head : head + 4], "big")
    second = first + 4 + int.from_bytes(whole[first : first + 4], "big")
    exchanged = whole[:head] + whole[first:second] + whole[head:first] + whole[second:]
    for raw in (exchanged, whole + whole[head:first], whole[:head] + whole[first:]):
        with pytest.raises(SealedInvalid, match="modifié"):
            opened(raw, len(plain))


@pytest.fixture(scope="module")
def small() -> bytes:
    return seal(b"a log of the night " * 50)


@settings(max_examples=25)
@given(
    at=st.floats(min_value=0, max_value=1, exclude_max=True),
    by=st.integers(min_value=1, max_value=255),
)
def test_no_changed_byte_is_taken(small: bytes, at: float, by: int) -> None:
    raw = bytearray(small)
    raw[int(at * len(raw))] ^= by
    with pytest.raises(SealedInvalid):
        opened(bytes(raw), 950)


RECORDS = (
    BackupRecord(
        0, 1_800_000_000_000, b"92", b'{"a":1}', (("ce_id", b"x"), ("ce_type", "é".encode()))
    ),
    BackupRecord(1, 1_800_000_000_001, None, b"", ()),
    BackupRecord(7, 0, b"", None, (("empty", b""), ("none", None))),
)


def written(tmp_path: Path) -> bytes:
    file = io.BytesIO()
    out = ContentsWriter(SealedWriter(file, SECRET))
    out.begin(BackupSection("alerts.log", 3))
    for record in RECORDS:
        out.record(record)
    out.begin(BackupSection(file="secrets/x"))
    out.block(b"one")
    out.block(b"two")
    out.finish({"logs": []}, SigningKey.open(tmp_path))
    return file.getvalue()


def test_records_and_files_come_back_as_they_were_and_the_manifest_is_signed(
    tmp_path: Path,
) -> None:
    items = list(read_contents(SealedReader(io.BytesIO(written(tmp_path)), SECRET)))
    assert items[:-1] == [
        BackupSection("alerts.log", 3),
        *RECORDS,
        BackupSection(file="secrets/x"),
        b"one",
        b"two",
    ]
    assert isinstance(items[-1], VerifiedEnd)
    assert items[-1].key.fingerprint == SigningKey.open(tmp_path).public.fingerprint
    assert items[-1].manifest["sections"]["alerts.log/3"]["entries"] == 3


def test_an_unsigned_manifest_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SigningKey, "sign", lambda _self, _content: b"\0" * 64)
    with pytest.raises(SealedInvalid, match="pas signé"):
        list(read_contents(SealedReader(io.BytesIO(written(tmp_path)), SECRET)))


def steps(*of: tuple[int, int, str, int]) -> deque[TailRecord]:
    """Build steps of (offset, previous sequence number, source, sequence number received)."""
    return deque(
        (
            TailRecord(offset, (0, before), source, (0, received_seq))
            for offset, before, source, received_seq in of
        ),
        maxlen=100,
    )


def test_a_receiver_ahead_is_cut_with_all_its_own_receivers() -> None:
    cuts = {
        "alerts": Cut(10, (0, 10)),
        "continuity": Cut(20, (0, 20)),
        "delivery": Cut(30, (0, 30)),
    }
    tails = {
        "alerts": steps((8, 8, "continuity", 17), (9, 9, "continuity", 19)),
        "continuity": steps((17, 17, "alerts", 10), (18, 18, "alerts", 11), (19, 19, "", 0)),
        "delivery": steps((28, 28, "alerts", 9), (29, 29, "alerts", 10)),
    }
    # continuity 18 heard of alerts 11, which is not in: cut there; then alerts 9 heard of continuity 19, then delivery 29 of alerts 10
    assert shorten_cuts(cuts, tails) == {
        "alerts": Cut(9, (0, 9)),
        "continuity": Cut(17, (0, 17)),
        "delivery": Cut(29, (0, 29)),
    }


def test_logs_that_agree_are_kept_whole() -> None:
    cuts = {"alerts": Cut(10, (0, 10)), "delivery": Cut(30, (1, 30))}
    assert (
        shorten_cuts(
            cuts, {"alerts": steps((9, 9, "", 0)), "delivery": steps((29, 29, "alerts", 10))}
        )
        == cuts
    )


def entry(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">cI", kind, len(content)) + content


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"topic":"alerts.log","partition":0,"packed":1}', "celle-ci ne comprend pas"),
        (b"{", "celle-ci ne comprend pas"),
        (
            b'{"topic":"alerts.log","partition":800}',
            "version plus récente de Vigie : celle-ci ignore alerts.log/800",
        ),
        (
            b'{"topic":"drones.log","partition":0}',
            "version plus récente de Vigie : celle-ci ignore drones.log/0",
        ),
    ],
)
def test_a_file_of_a_newer_version_differs_from_a_damaged_one(
    tmp_path: Path, content: bytes, says: str
) -> None:
    file = tmp_path / "x.backup"
    file.write_bytes(seal(entry(b"S", content)))
    with pytest.raises(SealedInvalid, match=says):
        verify_backup(file, SECRET)


def test_a_head_of_another_version_differs_from_a_damaged_one(tmp_path: Path) -> None:
    file = tmp_path / "x.backup"
    file.write_bytes(b"VIGIE-BACKUP-2\n" + bytes(100))
    with pytest.raises(SealedInvalid, match="autre version de Vigie"):
        verify_backup(file, SECRET)


def test_a_wrong_key_leaves_the_new_directory_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had formatted a broker there and started it before it looked at the file."""
    file = tmp_path / "x.backup"
    file.write_bytes(written(tmp_path))
    monkeypatch.setenv("VIGIE_BACKUP_KEY", "incorrect horse battery")
    done = CliRunner().invoke(app, ["restore", str(file), "--data", str(tmp_path / "new")])
    assert (done.exit_code, done.output) == (1, f"{file} : chiffré avec une autre clé\n")
    assert not (tmp_path / "new").exists()


async def test_a_restore_reports_success_only_after_flushing_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "x.backup"
    file.write_bytes(written(tmp_path))
    on_disk: dict[int, int] = {}
    sync = os.fsync

    def counted(handle: int) -> None:
        sync(handle)
        on_disk[os.fstat(handle).st_ino] = os.fstat(handle).st_size

    @asynccontextmanager
    async def sending(_: str) -> AsyncIterator[Callable[..., Awaitable[None]]]:
        async def send(_section: BackupSection, _record: BackupRecord) -> None: ...

        yield send

    monkeypatch.setattr(os, "fsync", counted)
    monkeypatch.setattr(restore, "_open_sender", sending)
    settings_ = Settings(data_dir=tmp_path / "new")
    settings_.data.make()
    assert await restore._write(settings_, file, SECRET, print) == (3, 1)
    put_back = settings_.data.secrets / "x"
    assert put_back.read_bytes() == b"onetwo"
    assert on_disk[put_back.stat().st_ino] == 6


def test_two_that_write_one_file_at_once_write_two_whole_ones(tmp_path: Path) -> None:
    """An hourly backup that met the one before wrote into its file and made it unreadable."""
    file = tmp_path / "vigie.backup"
    with open_atomic_file(file, 0o600) as first:
        first.write(b"first, longer")
        with open_atomic_file(file, 0o600) as second:
            second.write(b"second")
        assert file.read_bytes() == b"second"
    assert file.read_bytes() == b"first, longer"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_that_did_not_become_whole_leaves_the_one_before(tmp_path: Path) -> None:
    file = tmp_path / "vigie.backup"
    file.write_bytes(b"yesterday")
    with pytest.raises(KeyboardInterrupt), open_atomic_file(file) as target:
        target.write(b"to")
        raise KeyboardInterrupt
    assert file.read_bytes() == b"yesterday"
    assert list(tmp_path.iterdir()) == [file]


def test_the_next_backup_removes_only_the_rest_of_a_killed_one(tmp_path: Path) -> None:
    """`kill -9` left its part for ever, as large as it had come."""
    old, foreign_files = (
        tmp_path / ".monday.backup.0123abcd.vigie-part",
        [".x.0123abcd.part", "x.0123abcd.vigie-part", ".x.vigie-part"],
    )
    command = [sys.executable, "-c", _WRITING, str(tmp_path / "monday.backup")]
    killed = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert killed.stdout is not None
    assert killed.stdout.readline() == b"writing\n"
    (partial_file,) = tmp_path.iterdir()
    for name in (old.name, *foreign_files, partial_file.name):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (1, 1))

    def next_backup() -> set[str]:
        with open_atomic_file(tmp_path / "tuesday.backup") as target:
            target.write(b"tuesday")
        return {file.name for file in tmp_path.iterdir()}

    assert next_backup() == {*foreign_files, partial_file.name, "tuesday.backup"}, (
        "it is being written still, however slowly"
    )
    killed.kill()
    killed.communicate()
    partial_file.touch()
    assert partial_file.name in next_backup(), "too young: it may be on the way to being held"
    os.utime(partial_file, (1, 1))
    assert next_backup() == {*foreign_files, "tuesday.backup"}


_WRITING = """
import pathlib, sys
from services.runtime.process.files import open_atomic_file
with open_atomic_file(pathlib.Path(sys.argv[1])):
    print("writing", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_a_device_a_pipe_or_a_folder_is_not_replaced(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    """`vigie backup /dev/null` replaced the device by a file, for all programs of the machine."""
    make(target := tmp_path / "target")
    with (
        pytest.raises(FileExistsError, match=r"no ordinary file.*target'$"),
        open_atomic_file(target) as file,
    ):
        file.write(b"x")
    assert not target.is_file()
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_is_not_there_is_named_by_the_file_that_was_asked_for(tmp_path: Path) -> None:
    with (
        pytest.raises(FileNotFoundError, match=r"typo/x\.backup'$"),
        open_atomic_file(tmp_path / "typo" / "x.backup"),
    ):
        pytest.fail("begun")


def test_a_full_disk_is_named_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`[Errno 28] No space left on device`: of the stick, or of the data?"""

    async def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("services.cli.data.backup.back_up", full)
    monkeypatch.setenv("VIGIE_BACKUP_KEY", SECRET.decode())
    monkeypatch.setenv("VIGIE_KAFKA", "127.0.0.1:9")
    monkeypatch.setenv("VIGIE_DATA_DIR", str(tmp_path))
    (tmp_path / "secrets").mkdir()
    done = CliRunner().invoke(app, ["backup", str(tmp_path / "x.backup")])
    assert (done.exit_code, done.output) == (
        1,
        f"{tmp_path / 'x.backup'} : No space left on device\n",
    )


def test_the_copies_of_a_killed_backup_are_removed(tmp_path: Path) -> None:
    """In a keyring that was left behind, erased texts and names still had their keys."""
    data = DataDir(tmp_path)
    data.make()
    sqlite3.connect(tmp_path / KEYRING_FILE).close()
    left_over = data.run / "backup-7"
    left_over.mkdir()
    (left_over / "secrets-keyring.db").touch()
    with _copy_files(data, [KEYRING_FILE]) as copies:
        assert copies[KEYRING_FILE].is_file()
        assert not left_over.exists()
    assert list(data.run.glob("backup-*")) == []


def test_two_backups_at_once_have_copies_of_their_own(tmp_path: Path) -> None:
    """In two containers both were process 7, and the first to end removed the copies of both."""
    data = DataDir(tmp_path)
    data.make()
    sqlite3.connect(tmp_path / KEYRING_FILE).close()
    with _copy_files(data, [KEYRING_FILE]) as first:
        with _copy_files(data, [KEYRING_FILE]) as second:
            assert first[KEYRING_FILE] != second[KEYRING_FILE]
        assert first[KEYRING_FILE].is_file()
    assert list(data.run.glob("backup-*")) == []
