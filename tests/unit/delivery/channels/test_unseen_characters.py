"""A character that nobody sees, pasted into a name or a text, keeps no message from being sent."""

from __future__ import annotations

from dataclasses import replace

import pytest
from lxml import etree

from services.delivery.channels.base import Outgoing
from services.delivery.channels.email import EmailDriver
from services.delivery.channels.voice import build_speech
from services.messages import MessageText
from services.runtime.http.control_characters import remove_control_characters
from tests.unit.messages.test_messages import EVERYTHING, LINK, NAMES, POWER, row, said

PASTED = ("\x00", "\x0b", "\x0c", "\x1b[31m", "\x1f", "\x85", "\n", "\u2028", "\u202e", "\u200b")
SITE = {"members": 1, "communes": 1, "places": "92050", "only_site": "cen-1", "site": "cen-1"}


def sent(text: MessageText) -> Outgoing:
    return Outgoing("92", row(), "a1", 1, False, "a@vigie.example.fr", text, LINK)


@pytest.mark.parametrize("letter", PASTED, ids=ascii)
@pytest.mark.parametrize("template", ["incident_wave", "plan_proposed", "alarm_rto", "headcount"])
def test_a_name_with_an_unseen_character_is_mailed(template: str, letter: str) -> None:
    names = replace(
        NAMES,
        sites={id: (f"Nom{letter} long", *more) for id, (_, *more) in NAMES.sites.items()},
        plans=dict.fromkeys(NAMES.plans, f"Plan{letter} long"),
    )
    text = said(names=names, template=template, values=EVERYTHING | POWER | SITE)
    mail = EmailDriver("smtp://relay", "vigie@vigie.example.fr").message(sent(text))
    assert "long" in str(mail["Subject"])
    assert mail.as_bytes()


@pytest.mark.parametrize("letter", PASTED, ids=ascii)
@pytest.mark.parametrize("template", ["callout", "callout_correction"])
def test_a_text_of_the_cell_with_an_unseen_character_is_spoken(template: str, letter: str) -> None:
    text = said(template=template, text=f"Restez{letter} chez vous.")
    assert "chez vous." in "".join(etree.fromstring(build_speech(sent(text), LINK)).itertext())


def test_every_end_of_a_line_is_one_and_unseen_characters_go() -> None:
    assert (
        remove_control_characters("a\r\nb\rc\x0bd\u2028e\x1f\u00ad\u202ef\n") == "a\nb\nc\nd\nef\n"
    )
    assert remove_control_characters("J’ai 3 € ❤️‍🔥") == "J’ai 3 € ❤️‍🔥"
