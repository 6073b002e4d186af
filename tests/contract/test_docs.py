"""Links, pictures and cited tests of the documentation exist."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from urllib.parse import unquote

from ruamel.yaml import YAML

from services.cli.system.settings_reference import list_variables
from services.runtime.process.settings import REPOSITORY
from services.simulation.replay import apply_patch, read_patch
from tests.shipped import territory

PAGES = (
    REPOSITORY / "README.md",
    REPOSITORY / "CONTRIBUTING.md",
    REPOSITORY / "CHANGELOG.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
)
_LINK = re.compile(r"!?\[((?:[^][]|\[[^]]*\])*)\]\(([^)\s]+)\)")
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
FOLDERS = {
    "tutorial",
    "how-to",
    "reference",
    "explanation",
    "develop",
    "guide",
    "adr",
    "screenshots",
}


def links(page: Path) -> Iterator[tuple[str, str]]:
    """Yield (words, target) of links inside the repository, outside code."""
    for words, target in _LINK.findall(_FENCE.sub("", page.read_text(encoding="utf-8"))):
        if "://" not in target and not target.startswith("mailto:"):
            yield " ".join(words.split()), target


def anchors(page: Path) -> set[str]:
    """Return the anchors of headings, as on GitHub."""
    lines = _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    return {
        re.sub(r"[^\w -]", "", line.lstrip("# ").lower()).replace(" ", "-")
        for line in lines
        if line.startswith("#")
    }


def leads_somewhere(page: Path, target: str) -> bool:
    path, _, anchor = unquote(target).partition("#")
    file = (page.parent / path).resolve() if path else page
    if not (file.exists() and file.is_relative_to(REPOSITORY)):
        return False
    return not anchor or file.suffix != ".md" or anchor in anchors(file)


def test_every_link_leads_somewhere() -> None:
    dead_links = [
        f"{page.relative_to(REPOSITORY)}: [{words}]({target})"
        for page in PAGES
        for words, target in links(page)
        if not leads_somewhere(page, target)
    ]
    assert not dead_links, "\n".join(dead_links)


def test_a_test_that_is_named_as_proof_exists() -> None:
    proof_count = 0
    for page in PAGES:
        for words, target in links(page):
            if not re.search(r"/tests/.*test_\w+\.py$", target):
                continue
            name = "test_" + words.partition("[")[0].strip().replace(" ", "_")
            assert f"def {name}(" in (page.parent / target).resolve().read_text(encoding="utf-8"), (
                f"{page.name}: [{words}]({target})"
            )
            proof_count += 1
    assert proof_count > 150


def test_every_page_lies_in_its_quarter_and_can_be_reached() -> None:
    docs = REPOSITORY / "docs"
    assert {p.name for p in docs.iterdir() if p.is_dir()} == FOLDERS
    reached = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in PAGES
        for _, target in links(page)
        if target[0] != "#"
    }
    reached |= {p for p in docs.rglob("*.md") if p.parent.name == "adr"}
    assert sorted(str(p.relative_to(docs)) for p in docs.rglob("*.md") if p not in reached) == []


def snippets(language: str) -> list[tuple[str, str]]:
    return [
        (f"{page.relative_to(REPOSITORY)}", code)
        for page in PAGES
        for fence_language, code in _FENCE.findall(page.read_text(encoding="utf-8"))
        if fence_language == language
    ]


def test_snippets_of_data_can_be_read() -> None:
    for page, code in snippets("json"):
        assert json.loads(code) is not None, page
    for page, code in (*snippets("yaml"), *snippets("yml")):
        assert list(YAML(typ="safe").load_all(code)), page
    for page, code in snippets("toml"):
        assert tomllib.loads(code), page
    for page, code in snippets("python"):
        compile(code, page, "exec")


_SHELL_WORDS = {"VIGIE_TOKEN", "VIGIE_URL", "VIGIE_KIT_DIR"}
"""Variables of a shell, and of the start file of the kit."""


def indented(page: Path) -> Iterator[str]:
    """Yield code blocks indented by four spaces, without the indentation."""
    lines = _FENCE.sub("", page.read_text(encoding="utf-8")).splitlines()
    for _, block in groupby(
        zip(lines, ["", *lines], strict=False), key=lambda pair: pair[0].startswith("    ")
    ):
        block_lines = [line for line, _before in block]
        if block_lines[0].startswith("    "):
            yield textwrap.dedent("\n".join(block_lines))


def test_every_variable_that_a_page_names_is_one_that_the_program_reads() -> None:
    valid_names = set(list_variables()) | _SHELL_WORDS
    for page in PAGES:
        if page.name == "CHANGELOG.md" or page.parent.name == "adr":
            continue
        for name in re.findall(
            r"\bVIGIE_[A-Z_]*[A-Z](?![A-Z_*])", page.read_text(encoding="utf-8")
        ):
            assert name in valid_names or any(k.startswith(f"{name}_") for k in valid_names), (
                f"{page.name}: {name}"
            )


def test_blocks_of_settings_can_be_read() -> None:
    blocks = [
        (page, block)
        for page in PAGES
        for block in indented(page)
        if re.match(r"[a-z_]+:( +#.*)?\n", block)
    ]
    assert len(blocks) >= 3
    for page, block in blocks:
        assert YAML(typ="safe").load(block), page


def test_every_target_of_make_that_a_page_names_exists() -> None:
    targets = set(
        re.findall(
            r"^([a-z]+):", (REPOSITORY / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
        )
    )
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name in re.findall(r"(?:`|^ {4})make ([a-z]+)", text, re.MULTILINE):
            assert name in targets, f"{page.name}: make {name}"


def test_the_patch_of_the_how_to_fits_the_shipped_territory(tmp_path: Path) -> None:
    [patch] = [code for page, code in snippets("yaml") if page == "docs/how-to/what-if.md"]
    (tmp_path / "sooner.yaml").write_text(patch, encoding="utf-8")
    before = territory().sections
    assert apply_patch(before, read_patch(tmp_path / "sooner.yaml")) != before
