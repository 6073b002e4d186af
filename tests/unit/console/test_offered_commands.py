"""Pages offer a command only where the server accepts it from this account."""

from __future__ import annotations

from typing import Any, Final

import pytest
from lxml import html

from tests.unit.console.held import Browser, Held, browsing
from tests.unit.console.test_communication import statement
from tests.unit.console.test_every_screen import REALM, SCREENS, incident
from tests.unit.console.test_logistics import put_request
from tests.unit.console.test_scoped_twins import ACTIVITY
from tests.unit.console.test_scoped_twins import held as one_of_each

PAGES: Final = (
    *SCREENS,
    *("/mes-sites", "/moyens", "/communication", "/reaffectation", "/echeances", "/exercice"),
    *("/annuaire", "/astreintes", "/main-courante"),
)
LIMITED: Final = (
    "site_manager@pmi-01",
    "site_manager@pmi-02",
    f"director@pole:{ACTIVITY.pole}",
    "director@pole:attractivite",
    "director@pole:education",
    "cell@pole:education",
    "coordinator@pole:education",
    "elected@pole:education",
    "technician",
    "liaison",
    "observer",
    "auditor",
)
SAMPLES: Final = {"datetime-local": "2027-02-12T10:00:00Z", "number": "1"}


def build_realm() -> Held:
    """Return one object of each kind, at one site, and an incident elsewhere."""
    realm = one_of_each()
    realm.put("incidents", incident("i-2", members=("clg-0920592U",), key="power:92012"))
    realm.put("statements", statement())
    put_request(realm)
    return realm


def read_choice(field: Any, page: Any) -> str | None:
    """Return the value that a person would send without a choice; None: the field stays empty."""
    required = field.get("required") is not None or field.get("data-required") is not None
    if field.tag == "select":
        options = field.xpath(".//option[@selected]") or field.xpath(".//option")
        chosen = [o.get("value") for o in options if o.get("value")]
        rest = [o.get("value") for o in field.xpath(".//option") if o.get("value")]
        return next(iter(chosen or (rest if required else [])), None)
    if field.get("type") in ("checkbox", "radio"):
        return None if field.get("checked") is None else str(field.get("value"))
    if field.get("list"):
        choices = page.xpath(f"//datalist[@id='{field.get('list')}']/option/@data-id")
        return str(choices[0]) if choices and required else None
    value = field.get("value") or (field.text if field.tag == "textarea" else "")
    return value or (SAMPLES.get(field.get("type"), "essai") if required else None)


def build_body(form: Any, page: Any) -> dict[str, Any]:
    """Build the body that the page would send, as far as rights depend on it."""
    body: dict[str, Any] = {}
    for field in form.xpath(".//input|.//select|.//textarea"):
        value = read_choice(field, page) if field.get("name") else None
        if value is None or field.get("name") == "realm":
            continue
        name, _, part = field.get("name").partition(".")
        kind = field.get("data-type")
        typed = {"number": float, "boolean": bool, "list": lambda v: v.split()}.get(kind, str)(
            value
        )
        if part:
            body.setdefault(name, {})[part] = typed
        elif kind == "list":
            body[name] = [*body.get(name, []), *typed]
        else:
            body[name] = typed
    return body


async def list_refused(browser: Browser, path: str, role: str) -> list[str]:
    """List the commands of a page that the server refuses to this account."""
    answer = await browser.get(f"{path}?realm={REALM}", role=role)
    if answer.status_code != 200:
        return []
    page: Any = html.fromstring(answer.text)
    refusals = []
    for form in page.xpath("//form[@data-command]"):
        buttons = form.xpath(".//button[not(@type='button')]")
        for action in {b.get("formaction") or form.get("action") for b in buttons}:
            response = await browser.post(
                f"{action}?realm={REALM}", build_body(form, page), role=role
            )
            if response.status_code == 403:
                refusals.append(f"{action}: {response.json()['detail']}")
    return refusals


@pytest.mark.parametrize("role", LIMITED)
async def test_no_page_offers_a_command_that_the_server_refuses(role: str) -> None:
    browser, _ = browsing(build_realm())
    refusals = [
        f"{path}: {one}" for path in PAGES for one in await list_refused(browser, path, role)
    ]
    assert not refusals, "\n".join(refusals)
