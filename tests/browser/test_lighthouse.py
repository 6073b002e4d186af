"""Lighthouse on the page of a phone and on that of the cell.

Part of `make bench`, since its speed needs a quiet machine.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from tests.browser.conftest import DESKTOP, FLAGS, log_in
from tests.system import RunningVigie

HERE = Path(__file__).with_name("lighthouse")
PROGRAM = HERE / "node_modules" / ".bin" / "lighthouse"
ALLOWED = {"accessibility": 1.0, "performance": 0.95}


@pytest.mark.bench
@pytest.mark.parametrize(
    ("role", "path", "options"),
    [("site_manager", "/signaler", ()), ("coordinator", "/", ("--preset=desktop",))],
)
def test_a_page_is_accessible_and_fast(
    vigie: RunningVigie,
    browser: Browser,
    crisis: str,
    tmp_path: Path,
    role: str,
    path: str,
    options: tuple[str, ...],
) -> None:
    if not PROGRAM.exists():
        subprocess.run(
            ["npm", "ci", "--no-audit", "--no-fund", "--silent"], cwd=HERE, check=True, timeout=300
        )
    state = log_in(vigie, browser, role)
    (tmp_path / "headers.json").write_text(
        json.dumps({"Cookie": "; ".join(f"{c['name']}={c['value']}" for c in state["cookies"])})
    )  # type: ignore[attr-defined]
    command = [
        str(PROGRAM),
        f"{vigie.url}{path}?realm={crisis}",
        *options,
        "--max-wait-for-load=10000",
        "--output=json",
        f"--output-path={tmp_path / 'found.json'}",
        "--quiet",
        f"--only-categories={','.join(ALLOWED)}",
        f"--extra-headers={tmp_path / 'headers.json'}",
        f"--chrome-flags=--headless=new {' '.join(FLAGS)}",
    ]
    began = time.monotonic()
    subprocess.run(command, check=True, timeout=300, env=os.environ | {"CHROME_PATH": DESKTOP})
    lighthouse_report = json.loads((tmp_path / "found.json").read_text())
    assert lighthouse_report["finalDisplayedUrl"].startswith(f"{vigie.url}{path}?realm="), (
        "the page itself, not the login"
    )
    scores = {name: lighthouse_report["categories"][name]["score"] for name in ALLOWED}
    audit_text = ", ".join(
        f"{lighthouse_report['audits'][id]['title']} {lighthouse_report['audits'][id]['displayValue']}"
        for id in ("first-contentful-paint", "total-blocking-time")
    )
    print(f"\nLighthouse of {path}: {scores}; {audit_text}; {time.monotonic() - began:.0f} s")
    failed = [id for id, audit in lighthouse_report["audits"].items() if audit["score"] == 0]
    assert all(scores[name] >= least for name, least in ALLOWED.items()), (scores, failed)
