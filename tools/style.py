"""Check names and docstrings against the house style: `python -m tools.style`.

Rules (CONTRIBUTING.md, Style):

* `verb`: the docstring of a function begins with an imperative verb of `tools/verbs.txt`.
* `opening`: no docstring begins with a word of `FORBIDDEN_OPENINGS`.
* `pronoun`: the first line of a docstring holds no word of `PRONOUN`.
* `length`: the first line of a docstring is at most 100 columns and ends its sentence.
* `reference`: no docstring or comment cites a document that does not exist.

`tools/style_baseline.txt` lists the breaches of each rule that a file may still have. The numbers
may only shrink. `--update` writes the current numbers and refuses to raise one. `--list FILE …`
prints each breach.
"""

from __future__ import annotations

import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = ("schemas", "services", "tools")
BASELINE: Final = ROOT / "tools" / "style_baseline.txt"
VERBS: Final = frozenset((ROOT / "tools" / "verbs.txt").read_text(encoding="utf-8").split())
_OPENINGS: Final = """
as how nobody none nothing of somebody that until
what whatever when where whether which who whoever whom whose why
"""
FORBIDDEN_OPENINGS: Final = frozenset(_OPENINGS.split())
PRONOUN: Final = re.compile(r"\b(?:what|who|whom|whose|whoever|whatever)\b", re.IGNORECASE)
DEAD_REFERENCE: Final = re.compile(
    r"\b(?:DESIGN §|RUNTIME §|DOMAIN (?:§|D\d)|API\.md|INTAKE(?:\.md|,|\))|STYLE \d)"
)
COLUMNS: Final = 100


@dataclass(frozen=True)
class Breach:
    """One breach of a rule at a line of a file."""

    file: str
    line: int
    rule: str
    text: str


def find_breaches(file: Path) -> Iterator[Breach]:
    """Yield each breach of the style in one Python file."""
    name = file.relative_to(ROOT).as_posix()
    source = file.read_text(encoding="utf-8")
    for node, text, line in _list_docstrings(ast.parse(source)):
        first = text.strip().partition("\n")[0]
        opening = (re.findall(r"[\w-]+", first) or [""])[0].lower()
        if opening in FORBIDDEN_OPENINGS:
            yield Breach(name, line, "opening", first)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and opening not in VERBS:
            yield Breach(name, line, "verb", first)
        if PRONOUN.search(first):
            yield Breach(name, line, "pronoun", first)
        if len(first) > COLUMNS:
            yield Breach(name, line, "length", first)
    for line, text in enumerate(source.splitlines(), 1):
        if DEAD_REFERENCE.search(text) and file.name != "style.py":
            yield Breach(name, line, "reference", text.strip())


def _list_docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            text = ast.get_docstring(node, clean=False)
            if text is not None and not _is_property(node):
                yield node, text, node.body[0].lineno
        if isinstance(node, ast.Module | ast.ClassDef):
            for before, after in zip(node.body, node.body[1:], strict=False):
                if isinstance(before, ast.Assign | ast.AnnAssign) and isinstance(after, ast.Expr):
                    value = after.value
                    if isinstance(value, ast.Constant) and isinstance(value.value, str):
                        yield before, value.value, after.lineno


def _is_property(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", ())
    return any(ast.unparse(decorator).endswith("property") for decorator in decorators)


def python_files() -> list[Path]:
    """Return every Python file that the style covers."""
    return sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def count_breaches(files: list[Path]) -> Counter[str]:
    """Count breaches by `file rule`."""
    return Counter(f"{b.file} {b.rule}" for file in files for b in find_breaches(file))


def read_baseline() -> Counter[str]:
    """Read the number of breaches that each file may still have."""
    if not BASELINE.exists():
        return Counter()
    rows = (line.rsplit(" ", 1) for line in BASELINE.read_text(encoding="utf-8").splitlines())
    return Counter({key: int(number) for key, number in rows})


def main(arguments: list[str]) -> int:
    """Compare the tree with the baseline and return the exit code."""
    if arguments[:1] == ["--list"]:
        for file in [Path(a).resolve() for a in arguments[1:]] or python_files():
            for inner in sorted(file.rglob("*.py")) if file.is_dir() else [file]:
                for b in find_breaches(inner):
                    print(f"{b.file}:{b.line}: {b.rule}: {b.text}")
        return 0
    now, allowed = count_breaches(python_files()), read_baseline()
    worse = [key for key, number in sorted(now.items()) if number > allowed[key]]
    if worse and not (arguments[:1] == ["--update"] and not allowed):
        for key in worse:
            print(
                f"{key}: {now[key]} breaches, {allowed[key]} allowed; see python -m tools.style --list {key.split()[0]}"
            )
        return 1
    if arguments[:1] == ["--update"]:
        BASELINE.write_text(
            "".join(f"{key} {number}\n" for key, number in sorted(now.items())), encoding="utf-8"
        )
        return 0
    fewer = [key for key, number in sorted(allowed.items()) if now[key] < number]
    for key in fewer:
        print(
            f"{key}: {now[key]} breaches, {allowed[key]} allowed; run python -m tools.style --update"
        )
    return 1 if fewer else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
