"""`morph.js`: the page comes to the new state with as few touched nodes as possible."""

from __future__ import annotations

from typing import Any

import pytest
from playwright.sync_api import Page

from tests.browser.conftest import Accounts

MORPH = """async ([before, after]) => {
  const { morph } = await import(document.documentElement.dataset.assets + 'js/morph.js');
  const parse = (text) => new DOMParser().parseFromString(text, 'text/html').body.firstElementChild;
  const from = document.importNode(parse(before), true);
  document.body.append(from);
  const kept = new Map([...from.querySelectorAll('[data-key]')].map((e) => [e.dataset.key, e]));
  from.querySelector('[autofocus]')?.focus();
  const told = [];
  morph(from, parse(after), (e) => told.push(e.dataset.key));
  const same = [...from.querySelectorAll('[data-key]')].filter((e) => kept.get(e.dataset.key) === e).map((e) => e.dataset.key);
  const html = from.outerHTML;
  from.remove();
  return { html, same, told };
}"""


@pytest.fixture
def page(visitor: Accounts) -> Page:
    """Open a short page with the scripts."""
    return visitor().page("/appareil")


def morph(page: Page, before: str, after: str) -> Any:
    return page.evaluate(MORPH, [before, after])


CHANGES = (
    ("<ul></ul>", "<ul><li data-key=a>1</li></ul>"),
    (
        "<ul><li data-key=a>1</li><li data-key=b>2</li></ul>",
        "<ul><li data-key=b>2</li><li data-key=a>1</li></ul>",
    ),
    (
        "<ul><li data-key=a>1</li><li data-key=b>2</li><li data-key=c>3</li></ul>",
        "<ul><li data-key=c>3</li></ul>",
    ),
    ("<p>a <b>b</b> c</p>", "<p><b>b</b> c <i>d</i></p>"),
    ("<p>text</p>", "<p><b data-key=x>x</b></p>"),
    ("<div><span data-key=a>1</span>t</div>", "<div>t<em data-key=a>1</em></div>"),
    ("<div class='x' title='t'>1</div>", "<div class='y'>1</div>"),
)
"""Element before → element after."""


def test_the_result_equals_the_rendered_page(page: Page) -> None:
    expected_pages = [
        page.evaluate(
            "(t) => new DOMParser().parseFromString(t, 'text/html').body.firstElementChild.outerHTML",
            after,
        )
        for _, after in CHANGES
    ]
    assert [morph(page, before, after)["html"] for before, after in CHANGES] == expected_pages


def test_rows_keep_their_identity_and_only_changes_are_announced(page: Page) -> None:
    before = "<ul><li data-key=a>1</li><li data-key=b>2</li><li data-key=c>3</li></ul>"
    after = "<ul><li data-key=c>3</li><li data-key=a>one</li><li data-key=d>4</li></ul>"
    result = morph(page, before, after)
    assert result["same"] == ["c", "a"]
    assert sorted(result["told"]) == ["a", "d"]


def test_state_of_the_browser_is_kept(page: Page) -> None:
    before = "<div><details data-key=a open>x</details><p data-key=b hidden>y</p><div data-key=c data-own>typed</div></div>"
    after = "<div><details data-key=a>x</details><p data-key=b>y</p><div data-key=c data-own>fresh</div></div>"
    html = morph(page, before, after)["html"]
    assert '<details data-key="a" open="">' in html
    assert "hidden" in html
    assert "typed" in html
    assert "fresh" not in html
