"""Photos are kept without metadata on author and place; other files are refused."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.intake.admission import DailyQuota
from services.intake.photos import PhotoInvalid, strip_metadata
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Scope
from services.runtime.secrets.vault import TextItem, build_attachment_id
from tests.unit.intake.conftest import Door, report

SECRET = b"48.8924N 2.2153E, telephone de l'agent"


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def jpeg(*more: bytes) -> bytes:
    """Build a JPEG like a camera: JFIF, its additions, tables, scan."""
    tables = segment(0xDB, bytes(65)) + segment(0xC0, bytes(15)) + segment(0xC4, bytes(28))
    return (
        b"\xff\xd8"
        + segment(0xE0, b"JFIF\0" + bytes(9))
        + b"".join(more)
        + tables
        + segment(0xDA, bytes(10))
        + b"\x12\x34\xff\x00\x56\xff\xd9"
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(kind + content))
    )


def png(*more: bytes) -> bytes:
    """Build one grey pixel."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + b"".join(more)
        + chunk(b"IDAT", zlib.compress(b"\0\x80"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    ("plain", "told"),
    [
        (
            jpeg(),
            jpeg(segment(0xE1, b"Exif\0\0" + SECRET), segment(0xED, SECRET), segment(0xFE, SECRET))
            + SECRET,
        ),
        (png(), png(chunk(b"eXIf", SECRET), chunk(b"tEXt", b"Author\0" + SECRET)) + SECRET),
    ],
)
def test_metadata_is_removed_and_the_picture_stays(plain: bytes, told: bytes) -> None:
    assert strip_metadata(told)[1] == strip_metadata(plain)[1] == plain
    assert SECRET not in strip_metadata(told)[1]


@pytest.mark.parametrize("whole", [jpeg(), png()])
def test_a_picture_that_is_cut_off_is_refused(whole: bytes) -> None:
    for length in range(len(whole)):
        with pytest.raises(PhotoInvalid):
            strip_metadata(whole[:length])


def huge_png(side: int) -> bytes:
    """Build a few bytes that need `side` squared pixels in a browser."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + head
        + chunk(b"IDAT", zlib.compress(bytes(side)))
        + chunk(b"IEND", b"")
    )


def huge_jpeg(side: int) -> bytes:
    frame = segment(0xC2, b"\x08" + struct.pack(">HH", side, side) + bytes(10))
    return b"\xff\xd8" + frame + segment(0xDA, bytes(10)) + b"\x12\xff\xd9"


@pytest.mark.parametrize("make", [huge_png, huge_jpeg])
def test_a_picture_that_would_blow_up_in_a_browser_is_refused(make: Callable[[int], bytes]) -> None:
    assert strip_metadata(make(8_000))[1] == make(8_000)
    with pytest.raises(PhotoInvalid, match="million pixels"):
        strip_metadata(make(30_000))


@given(
    st.binary(max_size=400),
    st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff\xda", b"\x89PNG\r\n\x1a\n"]),
)
def test_any_bytes_are_a_photo_or_refused(rest: bytes, start: bytes) -> None:
    try:
        kind, picture = strip_metadata(start + rest)
    except PhotoInvalid:
        return
    assert kind in ("image/jpeg", "image/png")
    assert len(picture) <= len(start + rest)


async def test_a_photo_is_kept_once_and_named_by_a_report(door: Door) -> None:
    async with await door.as_(Role.SITE_MANAGER) as http:
        first = await http.post(
            "/api/v1/attachments",
            content=jpeg(segment(0xE1, SECRET)),
            headers={"Content-Type": "image/jpeg"},
        )
        again = await http.post("/api/v1/attachments", content=jpeg())
        assert (first.status_code, first.json()) == (201, again.json())
        assert (
            await http.post("/api/v1/reports", json=report(attachments=[first.json()["id"]]))
        ).status_code == 202
        assert (await http.get(first.json()["url"])).status_code == 403, (
            "a site does not read texts"
        )
    async with await door.as_(Role.CELL) as cell:
        response = await cell.get(first.json()["url"])
        assert (response.status_code, response.content, response.headers["content-type"]) == (
            200,
            jpeg(),
            "image/jpeg",
        )
        assert response.headers["x-content-type-options"] == "nosniff"
        assert (await cell.get("/api/v1/attachments/none")).status_code == 404
    assert build_attachment_id(first.json()["id"]) in {e.key for e in door.texts_log.entries}
    item = await door.intake.vault.texts.get(f"report-{door.inputs.appended[0][1].report_id}")
    assert item is not None
    assert item.fields["attachments"] == [first.json()["id"]]


async def test_a_photo_is_shown_in_its_realm_alone(door: Door) -> None:
    """A reader of the exercise saw a photo of the live realm."""
    exercise = Scope(realms=("92~ex-1",))
    async with (
        await door.as_(Role.SITE_MANAGER) as http,
        await door.as_(Role.CELL, scope=exercise) as pupil,
    ):
        live = (await http.post("/api/v1/attachments", content=jpeg())).json()["url"]
        played = (await http.post("/api/v1/attachments?realm=92~ex-1", content=jpeg())).json()[
            "url"
        ]
        assert live != played, "the same picture in two realms is two photos"
        assert (await pupil.get(live)).json()["code"] == "out_of_scope"
        assert (await pupil.get(played)).status_code == 200
        own = (await pupil.post("/api/v1/attachments", content=jpeg())).json()["url"]
        assert (await pupil.get(own)).status_code == 200, "heard in its own realm"
        assert (await pupil.post("/api/v1/attachments?realm=92", content=jpeg())).json()[
            "code"
        ] == "out_of_scope"
        assert (await http.post("/api/v1/attachments?realm=/", content=jpeg())).status_code == 422
        await door.intake.vault.texts.put(
            build_attachment_id("old"), TextItem(raw=jpeg(), content_type="image/jpeg")
        )
        assert (await pupil.get("/api/v1/attachments/old")).status_code == 403, (
            "kept before photos had a realm"
        )
        async with await door.as_(Role.CELL) as cell:
            assert (await cell.get("/api/v1/attachments/old")).status_code == 200


async def test_photos_are_limited_per_sender_and_day(tmp_path: Path) -> None:
    """The report goes without its photo. The status is 403, because a phone retries after 429."""
    door = Door(tmp_path, photos_per_day=2)
    photos = [jpeg(segment(0xE0, b"JFIF\0" + bytes((n,)))) for n in range(3)]
    async with await door.as_(Role.SITE_MANAGER) as http, await door.as_(Role.CELL) as other:
        responses = [
            await http.post("/api/v1/attachments", content=p)
            for p in (*photos[:2], photos[0], photos[2])
        ]
        assert [a.status_code for a in responses] == [201, 201, 201, 403], (
            "the same again is no second one"
        )
        assert responses[-1].json()["code"] == "photo_quota"
        assert (await http.post("/api/v1/reports", json=report())).status_code == 202
        assert (await other.post("/api/v1/attachments", content=photos[2])).status_code == 201
    await door.close()


async def test_photos_of_an_exercise_leave_the_quota_of_the_live_realm(tmp_path: Path) -> None:
    door = Door(tmp_path, photos_per_day=1)
    photos = [jpeg(segment(0xE0, b"JFIF\0" + bytes((n,)))) for n in range(3)]
    async with await door.as_(Role.SITE_MANAGER) as http:
        responses = [
            await http.post("/api/v1/attachments", content=photo, params={"realm": realm})
            for photo, realm in zip(photos, ("92~ex-1", "92~ex-2", "92"), strict=True)
        ]
    assert [answer.status_code for answer in responses] == [201, 403, 201]
    await door.close()


async def test_a_photo_that_could_not_be_kept_uses_up_no_quota(tmp_path: Path) -> None:
    """A phone comes again every few seconds while the log is away."""
    door = Door(tmp_path, photos_per_day=2)
    async with await door.as_(Role.SITE_MANAGER) as http:
        door.texts_log.away = True
        assert {
            (await http.post("/api/v1/attachments", content=jpeg())).status_code for _ in range(5)
        } == {503}
        door.texts_log.away = False
        assert (await http.post("/api/v1/attachments", content=jpeg())).status_code == 201
    await door.close()


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [((1, 1, 1, 1), [True] * 3 + [False]), ((6, 5, 4), [True, False, True]), ((11,), [False])],
)
def test_a_quota_is_of_items_and_of_bytes_and_begins_anew_each_day(
    sizes: tuple[int, ...], kept: list[bool]
) -> None:
    now = [0.0]
    quota = DailyQuota(3, 10, clock=lambda: now[0])
    assert [quota.count_item("a", size) for size in sizes] == kept
    assert quota.count_item("b", 10)
    now[0] += 86_400
    assert quota.count_item("a", 10)


async def test_anything_but_a_photo_is_refused_with_a_sentence(door: Door) -> None:
    async with await door.as_(Role.CELL) as http:
        for body in (
            b"",
            b"<svg onload=alert(1)>",
            b"GIF89a" + bytes(40),
            jpeg()[:40],
            huge_png(30_000),
        ):
            answer = await http.post("/api/v1/attachments", content=body)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")
        assert (
            await http.post("/api/v1/attachments", content=jpeg() + bytes(1 << 20))
        ).status_code == 413
        assert (await http.get("/api/v1/attachments")).status_code == 405
    async with door.client() as stranger:
        assert (await stranger.post("/api/v1/attachments", content=jpeg())).status_code == 401
    assert door.texts_log.entries == []


EXIF = segment(0xE1, b"Exif\0\0 GPS 48.89 2.20")
TOLD = (b"GPS", b"48.89")


@pytest.mark.parametrize(
    "told",
    [
        jpeg() + jpeg(EXIF),
        jpeg() + b"ftypmp42 GPS 48.89 \xff\xd9",
        jpeg(segment(0xE2, b"MPF\0 GPS 48.89")),
        jpeg(segment(0xE0, b"JFXX\0 GPS 48.89")),
        jpeg()[:-2]
        + segment(0xFE, b"GPS 48.89")
        + segment(0xDA, bytes(10))
        + b"\x12\xff\x00\x34\xff\xd0\x56"
        + EXIF
        + b"\xff\xd9",
    ],
    ids=["second picture", "film", "index of pictures", "preview", "between scans"],
)
def test_hidden_data_in_or_behind_the_picture_is_removed(told: bytes) -> None:
    kind, photo = strip_metadata(told)
    assert kind == "image/jpeg"
    assert photo.startswith(b"\xff\xd8")
    assert photo.endswith(b"\xff\xd9")
    assert not any(s in photo for s in TOLD)
    assert b"\x12\x34\xff\x00\x56" in photo, "the picture itself is untouched"


def test_a_colour_profile_stays() -> None:
    profile = segment(0xE2, b"ICC_PROFILE\0\x01\x01colours")
    assert profile in strip_metadata(jpeg(profile))[1]
