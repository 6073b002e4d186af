"""Sockets lie in a folder of their user alone, however long the path of the data directory is."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.runtime.process.sockets import (
    MAX_PATH_BYTES,
    choose_socket_folder,
    open_unix_socket,
    remove_socket_folder,
)


@pytest.fixture
def deep(tmp_path: Path) -> Iterator[Path]:
    """Create a `run` folder with a path too long for a socket."""
    run = tmp_path / ("d" * MAX_PATH_BYTES) / "run"
    run.mkdir(parents=True)
    yield run
    folder = choose_socket_folder(run)
    if folder.exists():
        remove_socket_folder(folder, run)


def test_a_short_path_is_taken_as_it_is() -> None:
    assert choose_socket_folder(Path("/var/lib/vigie/run")) == Path("/var/lib/vigie/run")


def test_a_path_that_is_too_long_gives_the_same_private_folder_at_every_start(deep: Path) -> None:
    folder = choose_socket_folder(deep)
    assert len(os.fsencode(folder / "console.sock")) <= MAX_PATH_BYTES
    assert choose_socket_folder(deep) == folder
    assert (stat.S_IMODE(folder.stat().st_mode), folder.stat().st_uid) == (0o700, os.geteuid())


def test_a_folder_that_others_may_enter_is_not_taken(deep: Path) -> None:
    first = choose_socket_folder(deep)
    first.chmod(0o755)
    second = choose_socket_folder(deep)
    try:
        assert second != first
        assert stat.S_IMODE(second.stat().st_mode) == 0o700
    finally:
        first.chmod(0o700)
        remove_socket_folder(second, deep)


def test_a_foreign_link_is_not_followed(deep: Path, tmp_path: Path) -> None:
    first = choose_socket_folder(deep)
    first.rmdir()
    first.symlink_to(tmp_path)
    try:
        second = choose_socket_folder(deep)
        assert second != first
        remove_socket_folder(second, deep)
    finally:
        first.unlink()


def test_a_socket_is_the_owners_and_takes_the_place_of_one_left_over(deep: Path) -> None:
    path = choose_socket_folder(deep) / "console.sock"
    open_unix_socket(path).close()
    with open_unix_socket(path) as listening, socket.socket(socket.AF_UNIX) as caller:
        caller.connect(str(path))
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert listening.get_inheritable()
