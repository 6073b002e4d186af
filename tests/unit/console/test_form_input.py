"""Every form answers odd input with a decision, or with a problem that names the field.

The realm is in memory; an exception of the application fails the test.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from itertools import product
from typing import Any, Final

from lxml import html

from services.console.app import build_openapi
from tests.unit.console.held import Browser, browsing
from tests.unit.console.test_offered_commands import PAGES, REALM, build_body, build_realm

ODD: Final = {
    "empty": "",
    "huge": "x" * 100_000,
    "signs": "\N{FIRE}\N{ZERO WIDTH JOINER}\N{RIGHT-TO-LEFT OVERRIDE}<script>'\"&{{7*7}}\x00\x1b",
    "half a character": "\ud800",
    "no text": {"a": [None]},
    "large number": 10**30,
}
ROLES: Final = ("coordinator", "admin", "site_manager@pmi-01")
READ_ELSEWHERE: Final = (".foreseen", ".responders", ".scope")
"""Parts of facts, and scopes, which are compared with the sites of the territory."""
ANSWERS: Final = {200, 201, 202, 204, 403, 404, 409, 410, 412, 422}
OTHERS: Final = ("/api/v1/oncall/import", "/api/v1/sitreps")
"""Forms with a file, and the one with a document, which a test in memory cannot keep."""


def list_fields(form: Any, page: Any) -> dict[str, Any]:
    """Return the body of the form with every field filled in."""
    body = build_body(form, page)
    for name in form.xpath(".//*[@name][not(@type='file')]/@name"):
        whole, _, part = name.partition(".")
        if whole == "realm":
            continue
        if part:
            body.setdefault(whole, {}).setdefault(part, "essai")
        else:
            body.setdefault(whole, "essai")
    return body


async def list_forms(browser: Browser) -> dict[str, tuple[str, str, dict[str, Any]]]:
    """Return one form of each kind: its role, address and body."""
    forms: dict[str, tuple[str, str, dict[str, Any]]] = {}
    for role in ROLES:
        for path in (*PAGES, "/personnes", "/exercices"):
            answer = await browser.get(f"{path}?realm={REALM}", role=role)
            if answer.status_code != 200:
                continue
            page: Any = html.fromstring(answer.text)
            for form in page.xpath("//form[@data-command]"):
                body = list_fields(form, page)
                for button in form.xpath(".//button[not(@type='button')]"):
                    action = button.get("formaction") or form.get("action")
                    kind = re.sub(r"/[^/:]*[A-Z0-9][^/:]*", "/X", action) + str(sorted(body))
                    if action not in OTHERS:
                        forms.setdefault(kind, (role, action, body))
    return forms


def vary(body: dict[str, Any], value: object) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the body once for each field, with `value` in that field."""
    for name, whole in body.items():
        yield name, body | {name: value}
        for part in whole if isinstance(whole, dict) else ():
            changed = copy.deepcopy(body)
            changed[name][part] = value
            yield name, changed


async def test_no_form_breaks_on_odd_input() -> None:
    """Half a character in a field without a bound went into a command, which no topic takes."""
    browser, _ = browsing(build_realm())
    forms = await list_forms(browser)
    assert len(forms) > 40
    faults = []
    for (role, action, body), (kind, value) in product(forms.values(), ODD.items()):
        for name, changed in vary(body, value):
            answer = await browser.post_text(
                f"{action}?realm={REALM}", json.dumps(changed), role=role
            )
            unclear = answer.status_code == 422 and not answer.json().get("errors")
            if unclear or answer.status_code not in ANSWERS:
                faults.append(f"{action} {name} {kind}: {answer.status_code} {answer.text[:200]}")
    assert not faults, "\n".join(faults)


def list_texts(schema: dict[str, Any], document: dict[str, Any], path: str) -> Iterator[str]:
    """Return the paths of the texts of a body that have no bound."""
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    for choice in schema.get("anyOf", ()):
        yield from list_texts(choice, document, path)
    bounds = {"maxLength", "enum", "const", "pattern", "format"}
    if schema.get("type") == "string" and not bounds & schema.keys():
        yield path
    if "items" in schema:
        yield from list_texts(schema["items"], document, f"{path}[]")
    for name, field in schema.get("properties", {}).items():
        yield from list_texts(field, document, f"{path}.{name}")


def test_every_text_of_a_decision_has_a_bound() -> None:
    """The incident of a logbook note took 100 kB."""
    document = build_openapi()
    texts = {
        text.partition(" ")[2]
        for path, operations in document["paths"].items()
        for operation in operations.values()
        for kind, body in operation.get("requestBody", {}).get("content", {}).items()
        if kind == "application/json"
        for text in list_texts(body["schema"], document, f"{path} ")
    }
    assert {text for text in texts if not text.startswith(READ_ELSEWHERE)} == set()
