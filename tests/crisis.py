"""The crisis that many tests read: S04, 36 minutes after the cut, on the shared whole system."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tests.system import RunningVigie

SCENARIO: Final = "S04"
REALM: Final = "92~ex-navigateur"
UNTIL_MIN: Final = 36.4
RESPONDERS: Final = Path(__file__).with_name("responders.yaml")


def play_crisis(vigie: RunningVigie) -> None:
    """Play it as fast as the deciders follow."""
    speed, until = ("--speed", "max"), ("--until", str(UNTIL_MIN))
    answers = ("--responders", str(RESPONDERS))
    played = vigie.cli("play", SCENARIO, *speed, "--realm", REALM, *until, *answers)
    assert played.returncode == 0, played.stdout + played.stderr
