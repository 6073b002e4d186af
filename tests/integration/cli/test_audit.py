"""`make audit` asks a database of faults for every locked package.

The public one cannot be reached from everywhere, so a local one with its API stands in.
"""

from __future__ import annotations

import http.server
import json
import subprocess
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest

from services.runtime.process.settings import REPOSITORY
from tests.loopback import serving

FAULT = {
    "id": "TEST-2026-1",
    "modified": "2026-11-25T00:00:00Z",
    "summary": "a fault that somebody published",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "jinja2"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}],
        }
    ],
}


class Database(http.server.BaseHTTPRequestHandler):
    """The two questions of OSV's API."""

    asked: list[tuple[str, str]]
    faulty: str = ""

    def do_POST(self) -> None:
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.asked.extend((q["package"]["name"], q["version"]) for q in queries)
        vulnerabilities = {"vulns": [{"id": FAULT["id"], "modified": FAULT["modified"]}]}
        self._answer(
            {
                "results": [
                    vulnerabilities if q["package"]["name"] == self.faulty else {} for q in queries
                ]
            }
        )

    def do_GET(self) -> None:
        self._answer(FAULT)

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


@pytest.fixture
def database() -> Iterator[tuple[str, type[Database]]]:
    handler = type("Known", (Database,), {"asked": []})
    with serving(handler) as url:
        yield f"{url}/", handler


def audit(url: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-s", "audit", f"ARGS=--service-url {url}"]
    return subprocess.run(
        command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_audit_asks_for_every_locked_package_and_fails_on_a_known_fault(
    database: tuple[str, type[Database]],
) -> None:
    url, database_handler = database
    sound = audit(url)
    assert sound.returncode == 0, sound.stdout + sound.stderr
    locked = tomllib.loads((REPOSITORY / "uv.lock").read_text(encoding="utf-8"))["package"]
    assert set(database_handler.asked) == {
        (p["name"], p["version"]) for p in locked if p["name"] != "vigie-crise"
    }
    database_handler.faulty = "jinja2"
    faulty = audit(url)
    assert faulty.returncode != 0
    assert "TEST-2026-1" in faulty.stdout
