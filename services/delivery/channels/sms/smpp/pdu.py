"""PDUs of SMPP 3.4 (sections 4 and 5.3 of the specification): bytes ↔ values. No I/O.

Only the commands of an ESME are known; an unknown command keeps its number and body, an unknown TLV
its bytes.
"""

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

PDU_HEADER: Final = struct.Struct(">IIII")
MAX_BYTES: Final = 65_536
"""Limit of one PDU; the longest that we send is below 2 KiB."""
RESPONSE_BIT: Final = 0x8000_0000


class SmppCommand(IntEnum):
    BIND_TRANSCEIVER = 0x09
    SUBMIT_SM = 0x04
    DELIVER_SM = 0x05
    UNBIND = 0x06
    ENQUIRE_LINK = 0x15
    GENERIC_NACK = RESPONSE_BIT


class SmppStatus(IntEnum):
    """Status codes with a meaning here; any other number stays a number."""

    OK = 0x00
    INVALID_COMMAND = 0x03
    SYSTEM_ERROR = 0x08
    INVALID_SOURCE = 0x0A
    INVALID_DESTINATION = 0x0B
    BIND_FAILED = 0x0D
    INVALID_PASSWORD = 0x0E
    INVALID_SYSTEM_ID = 0x0F
    QUEUE_FULL = 0x14
    SUBMIT_FAILED = 0x45
    THROTTLED = 0x58
    TEMPORARY = 0x64
    REJECTED = 0x66


PASSING_STATUSES: Final = frozenset(
    {SmppStatus.SYSTEM_ERROR, SmppStatus.QUEUE_FULL, SmppStatus.THROTTLED, SmppStatus.TEMPORARY}
)
"""Statuses of a message that was certainly not taken, but may be later."""


class TlvTag(IntEnum):
    """Optional parameters."""

    RECEIPTED_MESSAGE_ID = 0x001E
    USER_MESSAGE_REFERENCE = 0x0204
    SAR_MSG_REF_NUM = 0x020C
    SAR_TOTAL_SEGMENTS = 0x020E
    SAR_SEGMENT_SEQNUM = 0x020F
    MESSAGE_PAYLOAD = 0x0424
    MESSAGE_STATE = 0x0427


RECEIPT_BITS: Final = (0x04, 0x20)
"""Bits 5–2 of `esm_class` of a deliver_sm: a receipt of the SMSC, or its notice on the way."""
USER_DATA_HEADER_BIT: Final = 0x40
"""Bit of `esm_class`: the text begins with a user data header."""
CONCATENATION_ELEMENTS: Final = {0x00: 3, 0x08: 4}
"""Header elements that number the parts of a long message, and their length.

Their last two octets are the number of parts and that of this part; the reference is before them.
"""


class PduInvalid(ValueError):
    """Error: bytes that are no PDU, so the session has lost its place in the stream."""


@dataclass(frozen=True, slots=True)
class Pdu:
    """One PDU; `command` has the RESPONSE bit for a response."""

    command: int
    sequence: int
    status: int = 0
    body: bytes = b""

    def dump(self) -> bytes:
        """Encode for the wire."""
        return (
            PDU_HEADER.pack(
                PDU_HEADER.size + len(self.body), self.command, self.status, self.sequence
            )
            + self.body
        )


@dataclass(frozen=True, slots=True)
class PduHead:
    """The 16 octets before a body."""

    length: int
    command: int
    status: int
    sequence: int

    @classmethod
    def load(cls, octets: bytes) -> "PduHead":
        """Decode a head. Raise PduInvalid."""
        head = cls(*PDU_HEADER.unpack(octets))
        if not PDU_HEADER.size <= head.length <= MAX_BYTES:
            raise PduInvalid(f"a PDU of {head.length} octets")
        return head


@dataclass(frozen=True, slots=True)
class PartNumber:
    """Place of a text in a long message."""

    reference: str
    """Reference that the parts of a message share, with the way in which it was given."""
    number: int
    total: int


@dataclass(frozen=True, slots=True)
class ShortMessage:
    """submit_sm and deliver_sm. Texts as octets of `data_coding` (0 = GSM-7, 8 = UCS-2)."""

    source: str
    destination: str
    text: bytes
    source_ton: int = 1
    source_npi: int = 1
    data_coding: int = 0
    esm_class: int = 0
    registered_delivery: int = 0
    priority: int = 0
    validity: str = ""
    """`YYMMDDhhmmss000R`, relative; empty = the SMSC's own."""
    tlvs: Mapping[int, bytes] = field(default_factory=dict)

    def dump(self) -> bytes:
        """Encode for the wire; a text over 254 octets becomes message_payload.

        Raise ValueError for an address that cannot be written.
        """
        long = len(self.text) > 254
        tlvs: dict[int, bytes] = dict(self.tlvs)
        if long:
            tlvs[TlvTag.MESSAGE_PAYLOAD] = self.text
        text = b"" if long else self.text
        return b"".join(
            (
                _encode_string("", 6),
                bytes((self.source_ton, self.source_npi)),
                _encode_string(self.source, 21),
                bytes((1, 1)),
                _encode_string(self.destination, 21),
                bytes((self.esm_class, 0, self.priority)),
                _encode_string("", 17),
                _encode_string(self.validity, 17),
                bytes((self.registered_delivery, 0, self.data_coding, 0, len(text))),
                text,
                *(encode_tlv(t, v) for t, v in tlvs.items()),
            )
        )

    @classmethod
    def load(cls, body: bytes) -> "ShortMessage":
        """Decode a body. Raise PduInvalid."""
        reader = _BodyReader(body)
        reader.string()
        source_ton, source_npi = reader.octets(2)
        source = reader.string()
        reader.octets(2)
        destination = reader.string()
        esm_class, _, priority = reader.octets(3)
        reader.string()
        validity = reader.string()
        registered_delivery, _, data_coding, _, length = reader.octets(5)
        text = reader.octets(length)
        tlvs = reader.tlvs()
        return cls(
            source,
            destination,
            text or tlvs.get(TlvTag.MESSAGE_PAYLOAD, b""),
            source_ton,
            source_npi,
            data_coding,
            esm_class,
            registered_delivery,
            priority,
            validity,
            tlvs,
        )

    @property
    def is_receipt(self) -> bool:
        return self.esm_class & 0x3C in RECEIPT_BITS

    @property
    def _header(self) -> bytes:
        """User data header: its length, then elements (3GPP TS 23.040 9.2.3.24).

        A text that is shorter than its header has none, and is read as it is.
        """
        has_header = self.esm_class & USER_DATA_HEADER_BIT and self.text
        length = 1 + self.text[0] if has_header else 0
        return self.text[:length] if length <= len(self.text) else b""

    @property
    def text_octets(self) -> bytes:
        """Octets of the text without the header."""
        return self.text[len(self._header) :]

    @property
    def part(self) -> PartNumber | None:
        """Place of this text in a long message; None for a whole one, and for senseless numbers."""
        sar_tags = (TlvTag.SAR_MSG_REF_NUM, TlvTag.SAR_TOTAL_SEGMENTS, TlvTag.SAR_SEGMENT_SEQNUM)
        if all(self.tlvs.get(tag) for tag in sar_tags):
            reference, total, number = (self.tlvs[tag] for tag in sar_tags)
            return _number_part("sar", reference, int.from_bytes(total), int.from_bytes(number))
        elements = self._header[1:]
        while len(elements) >= 2:
            kind, value = elements[0], elements[2 : 2 + elements[1]]
            if CONCATENATION_ELEMENTS.get(kind) == len(value):
                return _number_part(f"udh{kind}", value[:-2], value[-2], value[-1])
            elements = elements[2 + elements[1] :]
        return None


def _number_part(kind: str, reference: bytes, total: int, number: int) -> PartNumber | None:
    """Return the place of a part, or None if there is only one or the numbers contradict."""
    if not 1 <= number <= total or total == 1:
        return None
    return PartNumber(f"{kind}-{int.from_bytes(reference)}", number, total)


def build_bind_body(system_id: str, password: str) -> bytes:
    """Encode the body of bind_transceiver, interface version 3.4.

    Raise ValueError for a name or password that SMPP cannot carry.
    """
    return (
        _encode_string(system_id, 16)
        + _encode_string(password, 9)
        + _encode_string("VIGIE", 13)
        + bytes((0x34, 0, 0))
        + _encode_string("", 41)
    )


def read_message_id(body: bytes) -> str:
    """Return the id in a submit_sm_resp; empty if the SMSC gave none."""
    return _BodyReader(body).string() if body else ""


def encode_tlv(tag: int, value: bytes) -> bytes:
    """Encode one optional parameter."""
    return struct.pack(">HH", tag, len(value)) + value


def _encode_string(text: str, size: int) -> bytes:
    octets = text.encode("ascii") + b"\0"
    if len(octets) > size or b"\0" in octets[:-1]:
        raise ValueError(f"does not fit a field of {size} octets")
    return octets


class _BodyReader:
    """Reader of a body from its beginning. Raises PduInvalid at its end."""

    def __init__(self, body: bytes) -> None:
        self._body, self._at = body, 0

    def octets(self, count: int) -> bytes:
        if self._at + count > len(self._body):
            raise PduInvalid("a body that ends too early")
        body_part = self._body[self._at : self._at + count]
        self._at += count
        return body_part

    def string(self) -> str:
        end = self._body.find(b"\0", self._at)
        if end < 0:
            raise PduInvalid("a string without an end")
        return self.octets(end + 1 - self._at)[:-1].decode("latin-1")

    def tlvs(self) -> dict[int, bytes]:
        tlvs_by_tag = {}
        while self._at < len(self._body):
            tag, length = struct.unpack(">HH", self.octets(4))
            tlvs_by_tag[tag] = self.octets(length)
        return tlvs_by_tag
