"""Bytes of a page over the network at the first visit, with an empty cache."""

from __future__ import annotations

from typing import Any

from tests.browser.conftest import Accounts
from tests.browser.test_phone import PHONE

REPORT_BYTES = 66 * 1024


def weight(
    visitor: Accounts, role: str, path: str, *more: str, **options: Any
) -> list[tuple[str, int]]:
    """Measure (address, bytes over the network); `more`: later requests of the browser."""
    who = visitor(role)
    context = who.context(service_workers="block", **options)
    page = who.page(context=context)
    watching = context.new_cdp_session(page)
    watching.send("Network.enable")
    addresses: dict[str, str] = {}
    transfers: list[tuple[str, int]] = []
    watching.on(
        "Network.responseReceived",
        lambda e: addresses.update({e["requestId"]: e["response"]["url"].partition("?")[0]}),
    )
    watching.on(
        "Network.loadingFinished",
        lambda e: transfers.append((addresses[e["requestId"]], e["encodedDataLength"])),
    )
    page.goto(path)
    page.evaluate("document.fonts.ready")
    for address in more:
        page.evaluate("address => fetch(address).then(answer => answer.arrayBuffer())", address)
    return transfers


def kinds(found: list[tuple[str, int]]) -> set[str]:
    return {address.rpartition("/")[2].rpartition(".")[2] for address, _ in found}


def test_the_report_form_is_light_and_the_cell_is_known(crisis: str, visitor: Accounts) -> None:
    form = weight(
        visitor,
        "site_manager",
        f"/signaler?realm={crisis}&site=gym-07",
        "/sw.js",
        "/manifest.webmanifest",
        "/favicon.ico",
        **PHONE,
    )
    assert {"signaler", "css", "js", "woff2", "webmanifest", "svg"} <= kinds(form), (
        "page, styles, scripts, font and icon were fetched"
    )
    total = sum(size for _, size in form)
    print(f"\n/signaler: {total:,} bytes in {len(form)} answers")
    assert total <= REPORT_BYTES, form
    cell = weight(visitor, "coordinator", f"/?realm={crisis}")
    assert {"css", "js", "woff2"} <= kinds(cell)
    print(f"/: {sum(size for _, size in cell):,} bytes in {len(cell)} answers")
