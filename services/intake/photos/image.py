"""Strip photos of data that identifies people, places or times. Accepts JPEG and PNG.

Only the structure of the file is read and nothing is decoded, so no picture can exhaust memory. A
picture that could exhaust a browser is refused by its declared size. EXIF (places, device names),
XMP, comments and text are removed. Data needed to show the picture stays.
"""

from __future__ import annotations

import re
from typing import Final

JPEG: Final = "image/jpeg"
PNG: Final = "image/png"
_JPEG_START: Final = b"\xff\xd8"
_JPEG_KEPT_APPS: Final = {0xE0: b"JFIF\0", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
"""Application segments that stay, with their first bytes: JFIF, colour profile, Adobe transform.

Phones use the same segment numbers for previews and further pictures.
"""
_JPEG_COMMENT: Final = 0xFE
_JPEG_SCAN: Final = 0xDA
_JPEG_END: Final = 0xD9
_JPEG_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})
"""Markers without a segment."""
_SCAN_END: Final = re.compile(rb"\xff(?![\x00\xd0-\xd7\xff])")
"""First marker after the data of a scan. Restart markers are part of the data (ITU T.81, B.1.1)."""
_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_PNG_KEPT: Final = frozenset(
    {b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"pHYs"}
)
MAX_PIXELS: Final = 64_000_000
"""Maximum number of pixels, above that of phone cameras. A browser needs four bytes for each."""
_JPEG_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Start-of-frame markers, which hold height and width."""


class PhotoInvalid(ValueError):
    """The data is no complete JPEG or PNG, or the picture is too large to be shown."""


def strip_metadata(data: bytes) -> tuple[str, bytes]:
    """Return the media type and the stripped picture. Raises NoPhoto."""
    if data.startswith(_JPEG_START):
        return JPEG, _strip_jpeg(data)
    if data.startswith(_PNG_START):
        return PNG, _strip_png(data)
    raise PhotoInvalid("it begins like neither")


def _strip_jpeg(data: bytes) -> bytes:
    """Keep segments and scans up to the end of the picture (ITU T.81, B.1).

    Phones append more data with places and names, which is removed.
    """
    segments, at, has_scan = [_JPEG_START], len(_JPEG_START), False
    while at + 2 <= len(data):
        if data[at] != 0xFF:
            raise PhotoInvalid("a segment does not begin with a marker")
        marker = data[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker == _JPEG_END and has_scan:
            return b"".join((*segments, data[at : at + 2]))
        if marker in _JPEG_STANDALONE:
            at += 2
            continue
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if end > len(data) or end < at + 4:
            raise PhotoInvalid("a segment is cut off")
        if marker == _JPEG_SCAN:
            if (over := _SCAN_END.search(data, end)) is None:
                raise PhotoInvalid("the picture is cut off")
            segments.append(data[at : over.start()])
            at, has_scan = over.start(), True
            continue
        if marker in _JPEG_FRAMES:
            _check_size(data[at + 7 : at + 9], data[at + 5 : at + 7])
        app_signature = _JPEG_KEPT_APPS.get(marker)
        app = 0xE0 <= marker <= 0xEF
        if marker != _JPEG_COMMENT and (
            not app or (app_signature is not None and data.startswith(app_signature, at + 4))
        ):
            segments.append(data[at:end])
        at = end
    raise PhotoInvalid("there is no picture in it")


def _strip_png(data: bytes) -> bytes:
    """Keep the chunks needed to show the picture (ISO/IEC 15948, 5)."""
    chunks, at = [_PNG_START], len(_PNG_START)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind = data[at + 4 : at + 8]
        if end > len(data) or (len(chunks) == 1 and kind != b"IHDR"):
            raise PhotoInvalid("a chunk is cut off or out of place")
        if kind == b"IHDR":
            _check_size(data[at + 8 : at + 12], data[at + 12 : at + 16])
        if kind in _PNG_KEPT:
            chunks.append(data[at:end])
        if kind == b"IEND":
            return b"".join(chunks)
        at = end
    raise PhotoInvalid("it has no end")


def _check_size(width: bytes, height: bytes) -> None:
    """Check the number of pixels. Raises NoPhoto."""
    if int.from_bytes(width, "big") * int.from_bytes(height, "big") > MAX_PIXELS:
        raise PhotoInvalid(f"more than {MAX_PIXELS // 1_000_000} million pixels")
