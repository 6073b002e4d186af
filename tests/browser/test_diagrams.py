"""Every diagram of the documentation can be drawn, and its names exist."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from schemas.topics import TOPICS
from services.appliance.supervisor.plan import SERVICE_KINDS
from services.runtime.process.settings import REPOSITORY

HERE = Path(__file__).with_name("diagrams")
PROGRAM = HERE / "node_modules" / "@mermaid-js" / "tiny" / "dist" / "mermaid.tiny.js"
_DIAGRAM = re.compile(r"^```mermaid\n(.*?)^```", re.MULTILINE | re.DOTALL)
DIAGRAMS = [
    pytest.param(code, id=f"{page.relative_to(REPOSITORY)}-{number}")
    for page in sorted(REPOSITORY.glob("docs/**/*.md"))
    for number, code in enumerate(_DIAGRAM.findall(page.read_text(encoding="utf-8")), start=1)
]
DRAW = """async code => {
  mermaid.initialize({startOnLoad: false, securityLevel: "strict"});
  const {svg} = await mermaid.render("d" + Math.random().toString(36).slice(2), code);
  document.body.innerHTML = svg;
  return document.body.textContent;
}"""


@pytest.fixture(scope="module")
def board(browser: Browser) -> Page:
    """Open a page that draws."""
    if not PROGRAM.exists():
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True, timeout=300
        )
    page = browser.new_page()
    page.add_script_tag(path=PROGRAM)
    return page


@pytest.mark.parametrize("code", DIAGRAMS)
def test_a_diagram_can_be_drawn(board: Page, code: str) -> None:
    drawn = str(board.evaluate(DRAW, code))
    assert "Syntax error" not in drawn
    assert len(drawn) > 50


def test_a_broken_diagram_is_noticed(board: Page) -> None:
    with pytest.raises(Exception, match=r"(?i)parse|syntax|lexical"):
        board.evaluate(DRAW, "sequenceDiagram\n  A->>: nothing\n  end end")


def test_the_picture_of_the_parts_names_every_process_and_only_topics_that_exist() -> None:
    parts = next(
        d.values[0]
        for d in DIAGRAMS
        if "alerts.inputs" in str(d.values[0]) and str(d.values[0]).startswith("flowchart")
    )
    assert {kind.name for kind in SERVICE_KINDS} <= set(re.findall(r"[a-z]+", str(parts)))
    assert set(re.findall(r"\[\(([a-z]+\.[a-z]+)\)\]", str(parts))) <= {t.name for t in TOPICS}
