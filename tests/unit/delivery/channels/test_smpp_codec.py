"""PDUs of SMPP 3.4 read back as written; foreign bytes break only their session."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.delivery.channels.sms.smpp.driver import read_receipt
from services.delivery.channels.sms.smpp.pdu import (
    PDU_HEADER,
    PartNumber,
    Pdu,
    PduHead,
    PduInvalid,
    ShortMessage,
    TlvTag,
    build_bind_body,
    read_message_id,
)

SEGMENT = {TlvTag.SAR_MSG_REF_NUM: b"\x01\x02", TlvTag.SAR_TOTAL_SEGMENTS: b"\x03"}
_address = st.text(st.sampled_from("0123456789"), max_size=15)


@given(
    _address,
    _address,
    st.binary(max_size=1500),
    st.sampled_from((0, 8)),
    st.integers(0, 1),
    st.binary(max_size=20),
)
def test_a_short_message_reads_back(
    source: str, destination: str, text: bytes, coding: int, priority: int, reference: bytes
) -> None:
    message = ShortMessage(
        source,
        destination,
        text,
        data_coding=coding,
        priority=priority,
        validity="000000010000000R",
        tlvs={TlvTag.USER_MESSAGE_REFERENCE: reference},
    )
    read = ShortMessage.load(message.dump())
    assert (read.source, read.destination, read.text, read.data_coding, read.priority) == (
        source,
        destination,
        text,
        coding,
        priority,
    )
    assert read.tlvs[TlvTag.USER_MESSAGE_REFERENCE] == reference
    assert (TlvTag.MESSAGE_PAYLOAD in read.tlvs) == (len(text) > 254)


@given(st.binary(max_size=80))
def test_bytes_that_are_no_message_are_refused_by_name(body: bytes) -> None:
    try:
        ShortMessage.load(body)
    except PduInvalid:
        return


@given(st.binary(min_size=16, max_size=16))
def test_a_head_has_a_sane_length_or_is_refused(octets: bytes) -> None:
    try:
        head = PduHead.load(octets)
    except PduInvalid:
        return
    assert PDU_HEADER.size <= head.length <= 65_536


def test_bytes_of_the_specification() -> None:
    """Section 3.2.3 of SMPP 3.4: an enquire_link is its header alone."""
    assert Pdu(0x15, 1).dump() == bytes.fromhex("00000010000000150000000000000001")
    assert build_bind_body("VIGIE", "s3cr3t")[:13] == b"VIGIE\0s3cr3t\0"
    assert read_message_id(b"abc\0") == "abc"
    with pytest.raises(ValueError, match="16"):
        build_bind_body("x" * 16, "")


@pytest.mark.parametrize(
    ("text", "tlvs", "expected"),
    [
        (
            b"id:77 sub:001 dlvrd:001 submit date:2611250900 done date:2611250901 stat:DELIVRD err:000 text:x",
            {},
            ("77", "received", None),
        ),
        (b"id:77 stat:UNDELIV err:069 text:", {}, ("77", "failed", "sms_undeliv_069")),
        (b"id:77 stat:ENROUTE err:000", {}, ("77", None, None)),
        (b"id:77 stat:UNDELIV err:1 text:id:9 stat:DELIVRD", {}, ("77", "failed", "sms_undeliv_1")),
        (
            b"",
            {TlvTag.RECEIPTED_MESSAGE_ID: b"78\0", TlvTag.MESSAGE_STATE: b"\x02"},
            ("78", "received", None),
        ),
        (
            b"id:77 stat:DELIVRD",
            {TlvTag.RECEIPTED_MESSAGE_ID: b"78\0", TlvTag.MESSAGE_STATE: b"\x03"},
            ("78", "failed", "sms_expired"),
        ),
        (b"hello", {}, None),
    ],
)
def test_receipts_are_read_from_tlvs_or_from_their_text(
    text: bytes, tlvs: dict[int, bytes], expected: tuple[object, ...] | None
) -> None:
    receipt = read_receipt(ShortMessage("336", "38000", text, esm_class=4, tlvs=tlvs))
    assert (receipt and (receipt.message_id, receipt.state, receipt.error)) == expected


def test_a_notice_on_the_way_is_no_text_of_a_person() -> None:
    """The front read it as a report of the person that was called."""
    on_the_way, reply = (
        ShortMessage("336", "38000", b"id:77 stat:ENROUTE", esm_class=bits) for bits in (0x20, 0)
    )
    assert (on_the_way.is_receipt, reply.is_receipt) == (True, False)


@pytest.mark.parametrize(
    ("message", "written", "part"),
    [
        (ShortMessage("336", "38000", b"1"), b"1", None),
        (
            ShortMessage("336", "38000", b"\x05\x00\x03\x4d\x02\x02non", esm_class=0x40),
            b"non",
            PartNumber("udh0-77", 2, 2),
        ),
        (
            ShortMessage("336", "38000", b"\x06\x08\x04\x04\x00\x02\x01oui", esm_class=0x40),
            b"oui",
            PartNumber("udh8-1024", 1, 2),
        ),
        (
            ShortMessage(
                "336", "38000", b"\x0a\x24\x03\x01\x00\x01\x00\x03\x4d\x02\x02x", esm_class=0x40
            ),
            b"x",
            PartNumber("udh0-77", 2, 2),
        ),
        (
            ShortMessage("336", "38000", b"2", tlvs=SEGMENT | {TlvTag.SAR_SEGMENT_SEQNUM: b"\x02"}),
            b"2",
            PartNumber("sar-258", 2, 3),
        ),
        (ShortMessage("336", "38000", b"2", tlvs={TlvTag.SAR_SEGMENT_SEQNUM: b"\x02"}), b"2", None),
        (
            ShortMessage("336", "38000", b"2", tlvs=SEGMENT | {TlvTag.SAR_SEGMENT_SEQNUM: b"\x04"}),
            b"2",
            None,
        ),
        (ShortMessage("336", "38000", b"\x05\x00\x03\x4d\x01\x01a", esm_class=0x40), b"a", None),
        (ShortMessage("336", "38000", b"\xffab", esm_class=0x40), b"\xffab", None),
        (ShortMessage("336", "38000", b"", esm_class=0x40), b"", None),
    ],
)
def test_parts_of_a_long_message_are_separate_from_its_text(
    message: ShortMessage, written: bytes, part: PartNumber | None
) -> None:
    assert (message.text_octets, message.part) == (written, part)


@given(st.binary(max_size=40))
def test_no_header_breaks_the_reading(text: bytes) -> None:
    message = ShortMessage("336", "38000", text, esm_class=0x40)
    assert text.endswith(message.text_octets)
    assert message.part is None or 1 <= message.part.number <= message.part.total
