"""Characters that change how other text is read.

Kept in the original, replaced for display, and left out of messages to people.
"""

import re
from typing import Final

_CONTROLS: Final = r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f"
_DIRECTION_MARKS: Final = r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
"""All characters that Unicode calls `Bidi_Control`."""
_INVISIBLE: Final = (
    r"\xad\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2028\u2029\u2060-\u2065\u206a-\u206f"
    r"\u3164\ufeff\uffa0\ufff0-\ufffb"
)
_TAGS: Final = r"\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
_SIGN: Final = r"[\u2190-\ufe0f\U0001f000-\U0001faff]"
_JOINER: Final = rf"(?<!{_SIGN})[\u200c\u200d]|[\u200c\u200d](?!{_SIGN})"
"""A joiner stays between two signs: it makes one of several emoji."""
_HIDDEN: Final = re.compile(
    rf"[{_CONTROLS}{_DIRECTION_MARKS}{_INVISIBLE}{_TAGS}]|{_JOINER}|\r(?!\n)"
)
"""Control characters except tabs and line ends, directional marks, shapeless letters."""
_LINE_ENDS: Final = re.compile(r"\r\n|[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""All characters that some program takes for the end of a line, besides `\\n`."""


def replace_control_characters(text: str) -> str:
    """Return foreign text with each invisible character replaced by a visible sign.

    Nothing in them moves a cursor, colours a screen, reverses what stands around them, or makes two
    different names look the same.
    """
    return _HIDDEN.sub("\N{REPLACEMENT CHARACTER}", text)


def remove_control_characters(text: str) -> str:
    """Return a text without invisible characters, and with one kind of line end.

    For messages: a mail relay, a gateway or a telephone exchange refuses a text with some of them.
    """
    if text.isprintable():
        return text
    return _HIDDEN.sub("", _LINE_ENDS.sub("\n", text))
