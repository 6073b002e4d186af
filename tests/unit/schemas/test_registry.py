"""A message is found by its wire name, whichever modules a program has imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

from schemas.base import UnknownType, message_class


def test_a_message_is_found_by_a_program_that_imported_none() -> None:
    script = (
        "from schemas.base import message_class;"
        "print(message_class('vigie.ReportReceived.v1').__module__)"
    )
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    assert output.stdout == b"schemas.reports\n"


def test_an_unknown_wire_name_is_refused() -> None:
    with pytest.raises(UnknownType, match=r"vigie\.Unheard\.v1"):
        message_class("vigie.Unheard.v1")
