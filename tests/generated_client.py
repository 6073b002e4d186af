"""A Python client, generated from the OpenAPI document as `docs/how-to/python-client.md` says.

It takes seconds, so it is kept in the temporary folder of the machine, under the hash of its
document.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from services.intake.openapi import merge_documents
from tests.api_documents import console_document
from tests.shipped import REPOSITORY

PAGE: Final = REPOSITORY / "docs" / "how-to" / "python-client.md"


@dataclass(frozen=True, slots=True)
class GeneratedClient:
    """The folder that holds the package `vigie_client`, and the words of the generator."""

    folder: Path
    output: str
    document: dict[str, Any]

    @property
    def package(self) -> Path:
        return self.folder / "vigie_client"


def read_config() -> str:
    """Return the configuration of the generator that the page shows."""
    config_match = re.search(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert config_match is not None
    return config_match[1]


def generate_client() -> GeneratedClient:
    """Generate the client, or return the one that was generated from the same document."""
    document = merge_documents(console_document())
    text, config = json.dumps(document, sort_keys=True), read_config()
    digest = sha256((text + config).encode()).hexdigest()[:16]
    target = Path(tempfile.gettempdir()) / f"vigie-client-{os.getuid()}-{digest}"
    if not target.exists():
        _fill_folder(target, text, config)
    return GeneratedClient(target, (target / "output.txt").read_text(encoding="utf-8"), document)


def _fill_folder(target: Path, document: str, config: str) -> None:
    """Make the folder at once, so that two test processes never share half of one."""
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f"{target.name}-") as name:
        folder = Path(name) / "made"
        (Path(name) / "openapi.json").write_text(document, encoding="utf-8")
        # the generator's own formatting takes ten times as long as the client
        (Path(name) / "client.yaml").write_text(f"post_hooks: []\n{config}", encoding="utf-8")
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "openapi-python-client"),
                "generate",
                "--path",
                "openapi.json",
                "--config",
                "client.yaml",
                "--output-path",
                str(folder),
            ],
            cwd=name,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        folder.mkdir(exist_ok=True)
        (folder / "output.txt").write_text(done.stdout + done.stderr, encoding="utf-8")
        if not target.exists():
            folder.rename(target)
