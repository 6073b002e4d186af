"""SMS encoding of a text: GSM-7 or UCS-2, and its segments (3GPP TS 23.038, 23.040)."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal
from unicodedata import category, normalize

_BASIC_ALPHABET: Final = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞ\x1bÆæßÉ "
    "!\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
_ESCAPE: Final = 0x1B
_EXTENSION_TABLE: Final = {
    "\f": 0x0A,
    "^": 0x14,
    "{": 0x28,
    "}": 0x29,
    "\\": 0x2F,
    "[": 0x3C,
    "~": 0x3D,
    "]": 0x3E,
    "|": 0x40,
    "€": 0x65,
}
_CODE_BY_CHARACTER: Final[dict[str, tuple[int, ...]]] = {
    c: (n,) for n, c in enumerate(_BASIC_ALPHABET) if n != _ESCAPE
} | {c: (_ESCAPE, n) for c, n in _EXTENSION_TABLE.items()}
_GSM7_TEXT: Final = re.compile(f"[{re.escape(''.join(_CODE_BY_CHARACTER))}]*")
_EXTENSION_CHARACTER: Final = re.compile(f"[{re.escape(''.join(_EXTENSION_TABLE))}]")
_CHARACTER_BY_CODE: Final = {codes: c for c, codes in _CODE_BY_CHARACTER.items()}

_CODECS: Final = {3: "latin-1", 8: "utf-16-be"}
"""`data_coding` of SMPP 3.4 (5.2.19) → codec of its octets.

1 (ASCII) is missing: its letters are those of GSM-7, which some programs mean by it.
"""
_MESSAGE_CLASSES: Final = range(0x10, 0x20)
"""General data coding of GSM 03.38 with a message class: bits 3–2 are the alphabet."""

_REPLACEMENTS: Final = str.maketrans(
    {
        "’": "'",
        "‘": "'",
        "“": '"',
        "”": '"',
        "«": '"',
        "»": '"',
        "–": "-",
        "—": "-",
        "…": "...",
        "\u00a0": " ",
        "\u202f": " ",
        "\t": " ",
        "â": "a",
        "ê": "e",
        "ë": "e",
        "î": "i",
        "ï": "i",
        "ô": "o",
        "û": "u",
        "ç": "c",
        "œ": "oe",
        "Œ": "OE",
        "À": "A",
        "Â": "A",
        "È": "E",
        "Ê": "E",
        "Ë": "E",
        "Î": "I",
        "Ï": "I",
        "Ô": "O",
        "Ù": "U",
        "Û": "U",
        "°": "o",
        "\u2010": "-",
        "−": "-",
        "•": "-",
        "→": "->",
        "⁄": "/",
        "×": "x",
        "`": "'",
        "´": "'",
        "≈": "env. ",
    }
)
"""French letters and signs that GSM-7 lacks → the usual short replacement."""
_REMOVABLE_CATEGORIES: Final = frozenset({"Mn", "Cf"})
"""Unicode categories that a letter may lose: combining accents and invisible marks."""


@dataclass(frozen=True, slots=True)
class EncodedText:
    """A text as a handset gets it."""

    alphabet: Literal["gsm7", "ucs2"]
    segments: tuple[bytes, ...]
    """GSM-7 as one octet per septet, UCS-2 as big-endian UTF-16.

    No character spans two segments.
    """

    @property
    def whole(self) -> bytes:
        """All segments in one."""
        return b"".join(self.segments)


def simplify_text(text: str) -> str:
    """Return the text in letters of GSM-7 if only signs and accents prevent that."""
    plain_text = normalize("NFC", text).translate(_REPLACEMENTS)
    if _GSM7_TEXT.fullmatch(plain_text):
        return plain_text
    return "".join(c if c in _CODE_BY_CHARACTER else _simplify_character(c) for c in plain_text)


def _simplify_character(character: str) -> str:
    """Return a character without accents or width: `²` → `2`, `ÿ` → `y`, narrow space → space.

    A character that GSM-7 lacks even then stays unchanged.
    """
    bare = "".join(
        c
        for c in normalize("NFKD", character).translate(_REPLACEMENTS)
        if category(c) not in _REMOVABLE_CATEGORIES
    )
    return bare if all(c in _CODE_BY_CHARACTER for c in bare) else character


def encode_text(text: str) -> EncodedText:
    """Encode a text as GSM-7 if every character fits, else as UCS-2.

    One segment holds 160 or 70 units, each of several 153 or 67.
    """
    try:
        units = [bytes(_CODE_BY_CHARACTER[c]) for c in text]
    except KeyError:
        pairs = (c.encode("utf-16-be", errors="replace") for c in text)
        return EncodedText("ucs2", _split_segments(pairs, 140, 134))
    return EncodedText("gsm7", _split_segments(units, 160, 153))


def reduce_to_gsm7(text: str) -> str:
    """Return a text in the letters of GSM-7 alone; other characters are dropped."""
    simple = simplify_text(text)
    if _GSM7_TEXT.fullmatch(simple):
        return simple
    return "".join(c for c in simple if c in _CODE_BY_CHARACTER)


def count_septets(text: str) -> int:
    """Return the length of a text in GSM-7, or more than any SMS holds for another alphabet."""
    if _GSM7_TEXT.fullmatch(text) is None:
        return 100_000
    return len(text) + len(_EXTENSION_CHARACTER.findall(text))


def decode_text(octets: bytes, data_coding: int) -> str:
    """Decode an incoming message; an unknown alphabet is read as GSM-7, the network's own."""
    if data_coding in _MESSAGE_CLASSES:
        data_coding &= 0x0C
    codec = _CODECS.get(data_coding)
    return decode_gsm7(octets) if codec is None else octets.decode(codec, "replace")


def decode_gsm7(octets: bytes) -> str:
    """Decode GSM-7; invalid octets become `?`."""
    characters, at = [], 0
    while at < len(octets):
        width = 2 if octets[at] == _ESCAPE and at + 1 < len(octets) else 1
        characters.append(_CHARACTER_BY_CODE.get(tuple(octets[at : at + width]), "?"))
        at += width
    return "".join(characters)


def _split_segments(characters: Iterable[bytes], alone: int, each: int) -> tuple[bytes, ...]:
    """Split characters into one segment of at most `alone` octets, or several of at most `each`."""
    parts, part = [], b""
    for character in characters:
        if len(part) + len(character) > each:
            parts.append(part)
            part = b""
        part += character
    parts.append(part)
    whole = b"".join(parts)
    return (whole,) if len(whole) <= alone else tuple(parts)
