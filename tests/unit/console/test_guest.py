"""Strangers may look at the demonstration, and at nothing else."""

from __future__ import annotations

import pytest

from services.runtime.access_http import guest_in
from services.runtime.rights import Permission


def test_a_guest_reads_one_exercise_and_changes_nothing() -> None:
    guest = guest_in("92~ex-demo-1")
    assert guest is not None
    assert guest.scope.realms == ("92~ex-demo-1",)
    assert guest.may(Permission.PICTURE_READ)
    writing = (Permission.REPORT_POST, Permission.LEVEL_SET, Permission.REALM_RUN, Permission.NOTE_WRITE, Permission.PLAN_DECIDE)
    assert not any(guest.may(p) for p in writing)


def test_without_a_demonstration_there_is_no_guest() -> None:
    assert guest_in("") is None


def test_a_live_realm_is_never_shown_to_strangers() -> None:
    with pytest.raises(ValueError, match="live"):
        guest_in("92")
