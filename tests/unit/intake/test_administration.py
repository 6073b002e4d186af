"""Identity, tokens and accounts over HTTP, without Kafka and without a console."""

from __future__ import annotations

import json
import time
from urllib.parse import quote

import pytest

from schemas.base import DAY_MS
from services.intake.dead_letters.dead_letter_api import DeadLetterApi
from services.runtime.identity.permissions import Role
from services.runtime.identity.principals import Principal, Scope
from services.runtime.kafka.dead_letters import DeadLetter, DeadLetterKind
from tests.unit.intake.conftest import Door


async def test_whoami_shows_rights_and_scope(door: Door) -> None:
    async with await door.as_(
        Role.SOURCE, speaks_as="enedis", scope=Scope(types=("outage_power",))
    ) as http:
        identity = (await http.get("/api/v1/whoami")).json()
    assert (identity["role"], identity["source"], identity["scope"]["types"]) == (
        "source",
        "enedis",
        ["outage_power"],
    )
    assert identity["permissions"] == ["maintenance.write", "report.post", "report.status"]


async def test_tokens_are_made_used_and_revoked_over_http(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        made = (
            await http.post(
                "/api/v1/tokens",
                json={"role": "source", "label": "capteurs", "scope": {"sites": ["a"]}},
            )
        ).json()
        async with door.client(Authorization=f"Bearer {made['token']}") as sender:
            assert (await sender.get("/api/v1/whoami")).json()["id"] == made["principal"]["id"]
            assert (await sender.get("/api/v1/tokens")).status_code == 403
            assert (await http.delete(f"/api/v1/tokens/{made['id']}")).status_code == 200
            assert (await sender.get("/api/v1/whoami")).status_code == 401
        listed = (await http.get("/api/v1/tokens")).json()["items"]
        assert next(t for t in listed if t["id"] == made["id"])["revoked_at"] is not None
        assert made["token"] not in json.dumps(listed)
        assert "hash" not in listed[0]
        assert (await http.post("/api/v1/tokens", json={"role": "king"})).json()["errors"][0][
            "field"
        ] == "role"
        assert (await http.post("/api/v1/tokens", json={})).status_code == 422
        assert (await http.delete("/api/v1/tokens/none")).status_code == 404
        assert (await http.put("/api/v1/tokens")).status_code == 405


@pytest.mark.parametrize(
    ("asked", "days"), [({}, 365), ({"days": None}, 365), ({"days": 0}, None), ({"days": 7}, 7)]
)
async def test_a_token_ends_after_a_year_by_default(
    door: Door, asked: dict[str, int | None], days: int | None
) -> None:
    async with await door.as_(Role.ADMIN) as http:
        made = (await http.post("/api/v1/tokens", json={"role": "source", **asked})).json()
    remaining_days = (
        None
        if made["expires_at"] is None
        else round((made["expires_at"] - time.time() * 1000) / DAY_MS, 2)
    )
    assert remaining_days == days


async def test_tokens_of_sources_and_the_machine_never_expire_by_default(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        source = (
            await http.post(
                "/api/v1/sources", json={"name": "supervision", "dialect": "alertmanager"}
            )
        ).json()
        made = (await http.post("/api/v1/tokens", json={"principal": source["id"]})).json()
        tokens = (await http.get("/api/v1/tokens")).json()["items"]
    assert [
        t["expires_at"] for t in [made, *(t for t in tokens if t["principal"] == source["id"])]
    ] == [None] * 3


async def test_an_account_from_its_code_to_its_second_factor(door: Door) -> None:
    import pyotp

    async with await door.as_(Role.ADMIN) as http:
        made = await http.post(
            "/api/v1/users", json={"login": "cellule", "role": "cell", "duty": "cellule_situation"}
        )
        assert made.status_code == 201
        assert door.intake.access.code(made.json()["code"]) is not None
        assert (
            await http.post("/api/v1/users", json={"login": "Cellule", "role": "cell"})
        ).status_code == 409
        assert (
            await http.post("/api/v1/users/cellule/password", json={"password": "short"})
        ).json()["errors"][0]["field"] == "password"
        assert (
            await http.post(
                "/api/v1/users/cellule/password", json={"password": "a long enough one"}
            )
        ).json()["has_password"]
        secret = pyotp.random_base32()
        factor = "/api/v1/users/cellule/second-factor"
        assert (
            await http.post(factor, json={"secret": secret, "second": "000000"})
        ).status_code == 422
        assert (
            len(
                (
                    await http.post(
                        factor, json={"secret": secret, "second": pyotp.TOTP(secret).now()}
                    )
                ).json()["printed"]
            )
            == 10
        )
        assert not (await http.post("/api/v1/users/cellule/disable")).json()["enabled"]
        assert (await http.get("/api/v1/users")).json()["items"][0]["has_second_factor"]
        assert (await http.post("/api/v1/users/nobody/code")).status_code == 404
        owner = door.intake.access.account("cellule")
        assert owner is not None
        door.intake.access.note(owner.model_copy(update={"subject": "s"}))
        assert (await http.get("/api/v1/users")).json()["items"][0]["linked"]
        assert not (await http.post("/api/v1/users/cellule/unlink")).json()["linked"]
        undone = door.intake.access.account("cellule")
        assert undone is not None
        assert (undone.subject, undone.epoch) == (None, owner.epoch + 1)


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("DELETE", "tokens/nix", "Aucun jeton"),
        ("POST", "users/nix/code", "Aucun compte"),
        ("POST", "users/nix/disable", "Aucun compte"),
        ("POST", "sources/nix/disable", "Aucune source"),
    ],
)
async def test_an_unknown_name_is_reported_as_such(
    door: Door, method: str, path: str, said: str
) -> None:
    """A bare 404 sent people to look for a wrong address."""
    async with await door.as_(Role.ADMIN) as http:
        answer = await http.request(method, f"/api/v1/{path}", headers={"Accept-Language": "fr"})
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert said in answer.json()["detail"]


@pytest.mark.parametrize(
    "login", ["DOMAINE/jean", "x/disable", "a?b#c", "50%2F", "camille.martin@exemple.fr", "Élodie"]
)
async def test_an_account_with_any_name_can_be_disabled(door: Door, login: str) -> None:
    async with await door.as_(Role.ADMIN) as http:
        assert (
            await http.post("/api/v1/users", json={"login": login, "role": "cell"})
        ).status_code == 201
        shut = await http.post(f"/api/v1/users/{quote(login, safe='')}/disable")
        assert (shut.status_code, shut.json()["login"], shut.json()["enabled"]) == (
            200,
            login,
            False,
        )


async def test_a_login_is_one_in_any_encoding_of_its_accents(door: Door) -> None:
    async with await door.as_(Role.ADMIN) as http:
        for wrong in ("", " jean", "jean\n", "jean\x1b[31m", ".", "..", "j" * 65):
            refused = await http.post("/api/v1/users", json={"login": wrong, "role": "cell"})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "login")
        composed, apart = "\u00e9lodie", "e\u0301lodie"
        assert (
            await http.post("/api/v1/users", json={"login": composed, "role": "cell"})
        ).status_code == 201
        assert (
            await http.post("/api/v1/users", json={"login": apart.upper(), "role": "cell"})
        ).status_code == 409
        assert (await http.post(f"/api/v1/users/{quote(apart)}/code")).status_code == 201


def letter(n: int) -> DeadLetter:
    return DeadLetter(
        id=f"d-{n}",
        lane=DeadLetterKind.REFUSED,
        service="intake",
        realm="92",
        at=n,
        code="invalid",
        detail="",
    )


@pytest.mark.parametrize("path", ["users", "tokens", "sources", "refused"])
async def test_a_list_of_the_door_is_read_page_by_page(
    door: Door, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`?limit=` was read over."""

    async def letters(*_: object) -> list[DeadLetter]:
        return [letter(n) for n in range(3)]

    monkeypatch.setattr(DeadLetterApi, "_letters", letters)
    async with await door.as_(Role.ADMIN) as http:
        for n in range(3):
            await http.post("/api/v1/tokens", json={"role": "cell"})
            await http.post("/api/v1/users", json={"login": f"u-{n}", "role": "cell"})
            await http.post("/api/v1/sources", json={"name": f"s-{n}", "dialect": "generic"})
        whole = (await http.get(f"/api/v1/{path}")).json()
        assert (len(whole["items"]) >= 3, whole["next"]) == (True, None)
        read, cursor = [], ""
        while cursor is not None:
            page = (
                await http.get(
                    f"/api/v1/{path}", params={"limit": 1} | ({"cursor": cursor} if cursor else {})
                )
            ).json()
            assert len(page["items"]) == 1
            read, cursor = read + page["items"], page["next"]
        assert read == whole["items"]
        for limit in ("0", "1001", "5000", "-1", "x", "１"):
            refused = await http.get(f"/api/v1/{path}", params={"limit": limit})
            assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "limit")
        assert (await http.get(f"/api/v1/{path}", params={"cursor": "bogus"})).json()[
            "code"
        ] == "cursor_invalid"


@pytest.mark.parametrize("path", ["users", "tokens", "sources", "intake/strangers", "whoami"])
async def test_a_list_of_the_door_may_be_asked_for_its_head(door: Door, path: str) -> None:
    async with await door.as_(Role.ADMIN) as http:
        whole, head = await http.get(f"/api/v1/{path}"), await http.head(f"/api/v1/{path}")
        assert (head.status_code, head.headers["content-length"], head.content) == (
            200,
            str(len(whole.content)),
            b"",
        )


async def test_an_account_of_a_territory_sees_it_and_its_exercises(door: Door) -> None:
    body = {"login": "cellule-93", "role": "cell", "scope": {"realms": ["93"]}}
    async with await door.as_(Role.ADMIN) as http:
        made = await http.post("/api/v1/users", json=body)
        assert made.status_code == 201, made.text
        listed = (await http.get("/api/v1/users")).json()["items"]
    assert [one["scope"]["realms"] for one in listed] == [["93", "93~*"]]
    (account,) = [p for p in door.intake.access.all(Principal) if p.id == made.json()["id"]]
    assert [account.sees(realm) for realm in ("93", "93~ex-1", "92", "92~ex-1")] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("path", ["/api/v1/users", "/api/v1/tokens"])
@pytest.mark.parametrize("realm", ["quatre-vingt-treize", "93/dgs", "~*"])
async def test_a_limit_to_something_that_is_no_realm_is_refused(
    door: Door, path: str, realm: str
) -> None:
    body = {"role": "cell", "scope": {"realms": [realm]}}
    async with await door.as_(Role.ADMIN) as http:
        made = await http.post(path, json=body | ({"login": "x"} if "users" in path else {}))
    assert made.status_code == 422, made.text
    assert made.json()["errors"][0]["field"] == "scope.realms"
