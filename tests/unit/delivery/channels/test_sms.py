"""SMS: cost of a text, allowed senders, replies of people."""

from __future__ import annotations

from unicodedata import normalize

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.people.directory import is_e164_number, normalize_dialled_number
from schemas.people.replies import parse_area_reply, parse_reply
from schemas.words import Answer
from services.delivery.channels.sms.origin import (
    OriginInvalid,
    choose_sms_text,
    normalize_provider_number,
    parse_origin,
)
from services.delivery.channels.sms.settings import SmsSettings, lint
from services.runtime.http.sms_text import decode_gsm7, decode_text, encode_text, simplify_text
from tests.integration.delivery.outgoing import LINK, outgoing

GSM7 = "@£$¥èéùìòÇ\nØøÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#%&'()*+,-./0123456789:;<=>?¡ABCXYZÄÖÑÜ§¿abcxyzäöñüà^{}\\[~]|€"


@pytest.mark.parametrize(
    ("text", "alphabet", "segments"),
    [
        ("", "gsm7", 1),
        ("a" * 160, "gsm7", 1),
        ("a" * 161, "gsm7", 2),
        ("a" * 306, "gsm7", 2),
        ("a" * 307, "gsm7", 3),
        ("€" * 80, "gsm7", 1),
        ("€" * 81, "gsm7", 2),
        ("à" * 160, "gsm7", 1),
        ("ê" * 70, "ucs2", 1),
        ("ê" * 71, "ucs2", 2),
        ("ê" * 134, "ucs2", 2),
        ("ê" * 135, "ucs2", 3),
        ("🚒" * 35, "ucs2", 1),
        ("🚒" * 36, "ucs2", 2),
        ("🚒" * 67, "ucs2", 3),
    ],
)
def test_segments_are_counted_as_operators_bill_them(
    text: str, alphabet: str, segments: int
) -> None:
    """160 and 153 septets, 70 and 67 UTF-16 units; an escaped character costs two.

    33 pairs fit a long segment: 67 pairs need three.
    """
    encoded = encode_text(text)
    assert (encoded.alphabet, len(encoded.segments)) == (alphabet, segments)


@given(st.text(st.sampled_from(GSM7), max_size=700))
def test_gsm7_reads_back_and_no_character_is_cut(text: str) -> None:
    encoded = encode_text(text)
    assert encoded.alphabet == "gsm7"
    assert "".join(map(decode_gsm7, encoded.segments)) == text
    assert all(len(s) <= (160 if len(encoded.segments) == 1 else 153) for s in encoded.segments)


@given(st.text(max_size=300))
def test_ucs2_reads_back_and_no_pair_is_cut(text: str) -> None:
    encoded = encode_text(text + "ê")
    assert encoded.alphabet == "ucs2"
    whole = "".join(s.decode("utf-16-be") for s in encoded.segments)
    assert whole == (text + "ê").encode("utf-16-be", "replace").decode("utf-16-be")


def test_a_french_call_costs_gsm7() -> None:
    """One stray apostrophe would more than double the price of a call-out."""
    for lang in ("fr", "en"):
        text = choose_sms_text(outgoing("+33612345678", lang).text, answerable=True)
        assert encode_text(text).alphabet == "gsm7"
        assert len(encode_text(text).segments) <= 2
        assert LINK in text
    assert simplify_text("« Œuvre d’été : ça ira… »") == '"OEuvre d\'été : ca ira..."'.replace(
        '"OE', '" OE'
    ).replace('..."', '... "')


@pytest.mark.parametrize(
    ("pasted", "sent"),
    [
        (normalize("NFD", "Évacué à l’école"), "Évacué à l'école"),
        ("Salle n° 3, 40 °C", "Salle no 3, 40 oC"),
        ("week\u2011end,\u2009250 m²", "week-end, 250 m2"),
        ("A → B ; ½ journée\u200b", "A -> B ; 1/2 journée"),
        ("L’Haÿ", "L'Hay"),
        ("Ελλάδα ł", "Ελλάδα ł"),
    ],
)
def test_pasted_characters_cost_gsm7_too(pasted: str, sent: str) -> None:
    assert simplify_text(pasted) == sent


def test_messages_of_handsets_are_read_in_their_alphabet() -> None:
    """SMPP 3.4 5.2.19: 0 network default, 1 ASCII or default, 3 Latin-1, 8 UCS-2.

    A class of message (0x10 …) keeps its alphabet.
    """
    assert decode_text("Reçu, é".encode("latin-1"), 3) == "Reçu, é"
    assert (
        decode_text(encode_text("Reçu").whole, 8)
        == decode_text(encode_text("Reçu").whole, 0x18)
        == "Reçu"
    )
    assert (
        decode_text(encode_text("présent").whole, 0)
        == decode_text(encode_text("présent").whole, 0x11)
        == "présent"
    )
    assert decode_text(b"OK, 8h", 1) == "OK, 8h"
    assert decode_text(encode_text("présent").whole, 1) == "présent"


def test_people_are_asked_to_write_back_only_where_it_arrives() -> None:
    text = outgoing("+33612345678").text
    assert "pondez 1" in choose_sms_text(text, answerable=True)
    assert "pondez 1" not in choose_sms_text(text, answerable=False)


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("1", Answer.ACK),
        (" OK!", Answer.ACK),
        ("ok je pars", Answer.ACK),
        ("Oui", Answer.ACK),
        ("2", Answer.DECLINE),
        ("NON, désolé", Answer.DECLINE),
        ("Présent", Answer.ACK),
        ("pre\u0301sent", Answer.ACK),
        ("REÇU", Answer.ACK),
        ("Je prends.", Answer.ACK),
        ("Je ne peux pas", Answer.DECLINE),
        ("C’est fait", Answer.ACK),
        ("1️⃣ 👍", Answer.ACK),
        ("1 je ne peux pas être là avant 9 h", Answer.ACK),
        ("Oui je prends, je ne peux pas joindre le site", Answer.ACK),
        ("ok mais je ne peux pas", None),
        ("oui mais non", None),
        ("1 ou 2 ?", None),
        ("1 dans 2 min", Answer.ACK),
        ("Reçu, mais je ne peux pas venir, désolé", None),
        ("ok mais indisponible ce soir", None),
        ("Oui et non", None),
        ("oui, non", None),
        ("ok impossible", None),
        ("1 impossible de venir avant demain", None),
        ("Oui je prends, impossible de joindre le site", Answer.ACK),
        ("oui mais je suis en congé", None),
        ("ok, pas dispo", None),
        ("reçu mais malade", None),
        ("1, le gardien est en congé", Answer.ACK),
        ("oui, moi non plus", Answer.ACK),
        ("n° 1", None),
        ("👍", None),
        ("12", None),
        ("", None),
        ("STOP", None),
        ("Qui êtes-vous ?", None),
    ],
)
def test_only_the_first_word_or_an_offered_answer_counts(reply: str, answer: Answer | None) -> None:
    assert parse_reply(reply) is answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("1", Answer.ACK),
        ("concernés", Answer.ACK),
        ("Oui, notre site est concerné", Answer.ACK),
        ("nous sommes concernés", Answer.ACK),
        ("2", Answer.DECLINE),
        ("non concerné", Answer.DECLINE),
        ("Pas concerné", Answer.DECLINE),
        ("Non, le gymnase n’est pas concerné", Answer.DECLINE),
        ("Notre collège n’est pas du tout concerné", Answer.DECLINE),
        ("le site n’est plus concerné", Answer.DECLINE),
        ("ok, pas concerné", None),
        ("2, concerné", None),
        ("le gymnase n’est pas concerné, le collège est concerné", None),
        ("concerné, mais la crèche n’est pas concernée", None),
        ("quelle zone ?", None),
    ],
)
def test_a_site_says_in_its_words_whether_an_order_concerns_it(
    reply: str, answer: Answer | None
) -> None:
    assert parse_area_reply(reply) is answer


@pytest.mark.parametrize(
    ("text", "kind"),
    [("VIGIE", "name"), ("Vigie 92", "name"), ("38000", "short_code"), ("+33700000000", "number")],
)
def test_senders_that_operators_carry(text: str, kind: str) -> None:
    assert parse_origin(text).kind == kind


@pytest.mark.parametrize(
    "text",
    [
        "",
        "V",
        "VI",
        "Département",
        "ALERTE-CRISE-92",
        "123456",
        "0612345678",
        "12",
        "+0612345678",
        "VIGIE\n",
    ],
)
def test_senders_that_operators_refuse_or_replace(text: str) -> None:
    with pytest.raises(OriginInvalid):
        parse_origin(text)


@given(st.text(max_size=20))
def test_no_sender_passes_that_smpp_or_an_operator_cannot_carry(text: str) -> None:
    try:
        origin = parse_origin(text)
    except OriginInvalid:
        return
    assert text.isascii()
    assert len(text) <= 11 or origin.kind == "number"
    assert origin.answerable == (origin.kind != "name")


def test_numbers_are_those_of_the_whole_world() -> None:
    assert is_e164_number("+33612345678")
    assert not any(
        map(
            is_e164_number,
            (
                "0612345678",
                "33612345678",
                "+33 6 12 34 56 78",
                "+3361234567890123",
                "tel:+33612345678",
            ),
        )
    )
    assert {
        normalize_provider_number(n)
        for n in ("33612345678", "+33612345678", "0033612345678", "0612345678")
    } == {"+33612345678"}
    assert [
        normalize_dialled_number(n)
        for n in ("06 12 34 56 78", "+1 (202) 555-0100", "38000", "+33 6 12 34 56", "")
    ] == ["+33612345678", "+12025550100", None, None, None]


def faults(**values: str) -> list[tuple[str, bool]]:
    return [(f.variable, f.error) for f in lint(SmsSettings(**values))]  # type: ignore[arg-type]


def test_the_linter_names_settings_that_would_fail_later() -> None:
    assert faults() == []
    assert faults(sms_url="smpps://vigie:secret@smsc.example", sms_sender="38000") == []
    assert faults(sms_url="smpps://vigie:secret@smsc.example", sms_sender="VIGIE") == [
        ("VIGIE_SMS_SENDER", False)
    ]
    assert faults(sms_url="smpp://vigie:muchtoolong@smsc.example", sms_sender="0612345678") == [
        ("VIGIE_SMS_SENDER", True),
        ("VIGIE_SMS_URL", False),
        ("VIGIE_SMS_URL", True),
    ]
    assert faults(sms_url="http://sms.example/jobs", sms_sender="38000") == [
        ("VIGIE_SMS_URL", True),
        ("VIGIE_SMS_TOKEN", True),
    ]
    with pytest.raises(ValueError, match="smpp"):
        SmsSettings(sms_url="ftp://x")  # type: ignore[arg-type]
