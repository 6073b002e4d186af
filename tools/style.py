"""Check docstrings against the house style: `python -m tools.style [FILE …]`.

Rules (CONTRIBUTING.md, How to write):

* `verb`: the docstring of a function begins with an imperative verb of `tools/verbs.txt`. Tests
  are exempt: theirs names the failure that they prevent.
* `opening`: no docstring begins with a word of `FORBIDDEN_OPENINGS`, and no sentence in one with a
  word of `FORBIDDEN_SENTENCES`.
* `pronoun`: the first line of a docstring holds no *what, who, whom, whose*.
* `length`: the first line of a docstring is at most 100 columns.
* `name`: the name of a test is a promise, without *who, what, nobody, told* and their like.
* `local`: local variables are nouns, not words such as `found`, `known` or `told`.
* `reference`: no docstring or comment cites a document that does not exist.
"""

import ast
import re
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeGuard

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDERS: Final = ("schemas", "services", "tests", "tools")
VERBS: Final = frozenset((ROOT / "tools" / "verbs.txt").read_text(encoding="utf-8").split())
_OPENINGS: Final = """
as how nobody none nothing of somebody that until
what whatever when where whether which who whoever whom whose why
"""
FORBIDDEN_OPENINGS: Final = frozenset(_OPENINGS.split())
FORBIDDEN_SENTENCES: Final = re.compile(
    r"(?:^|[.!?:] )(?:As|None|Of|Until|What|Where|Who|Whoever) [a-z][^.]*"
)
PRONOUN: Final = re.compile(r"\b(?:what|who|whom|whose|whoever|whatever)\b", re.IGNORECASE)
RIDDLE_NAME: Final = re.compile(
    r"^test_(?:of|it)_|_(?:what(?!_if)|whatever|who|whoever|whom|whose|nobody|told|said)(?:_|$)"
)
_PARTICIPLES: Final = """
asked found given got heard held kept known meant named said seen sent shown taken told wanted
written
"""
PARTICIPLES: Final = frozenset(_PARTICIPLES.split())
_PARTICIPLE: Final = re.compile(rf"\b(?:{'|'.join(_PARTICIPLES.split())})\b")
DEAD_REFERENCE: Final = re.compile(
    r"(?<![.\w])(?:DESIGN §|RUNTIME §|DOMAIN (?:§|D\d)|API\.md|INTAKE(?:\.md|,|\))|STYLE \d)"
)
COLUMNS: Final = 100
_BLOCKS: Final = ("body", "handlers", "cases", "orelse", "finalbody")
"""Fields of a node that hold statements."""


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
    lines = source.split("\n")
    statements = _list_statements(ast.parse(source))
    yield from _check_docstrings(name, statements)
    yield from _check_names(name, statements, lines)
    for line, text in enumerate(lines, 1):
        if DEAD_REFERENCE.search(text) and file.name != "style.py":
            yield Breach(name, line, "reference", text.strip())


def _check_docstrings(name: str, statements: Sequence[ast.AST]) -> Iterator[Breach]:
    for node, text, line in _list_docstrings(statements):
        first = text.strip().partition("\n")[0]
        opening = (re.findall(r"[\w-]+", first) or [""])[0].lower()
        if opening in FORBIDDEN_OPENINGS:
            yield Breach(name, line, "opening", first)
        elif _needs_verb(node) and opening not in VERBS:
            yield Breach(name, line, "verb", first)
        for riddle in FORBIDDEN_SENTENCES.finditer(" ".join(text.split())):
            yield Breach(name, line, "opening", riddle[0])
        if PRONOUN.search(first):
            yield Breach(name, line, "pronoun", first)
        if len(first) > COLUMNS:
            yield Breach(name, line, "length", first)


def _check_names(
    name: str, statements: Sequence[ast.AST], lines: Sequence[str]
) -> Iterator[Breach]:
    suspects = [line for line, text in enumerate(lines, 1) if _PARTICIPLE.search(text)]
    for node in statements:
        if _is_test(node) and RIDDLE_NAME.search(node.name):
            yield Breach(name, node.lineno, "name", node.name)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            last = node.end_lineno or node.lineno
            if not any(node.lineno <= line <= last for line in suspects):
                continue  # To walk all expressions takes most of the time
            for local in _list_locals(node):
                if local.id in PARTICIPLES:
                    yield Breach(name, local.lineno, "local", local.id)


def _list_statements(tree: ast.Module) -> list[ast.AST]:
    """List the module and its statements, level by level: no expression holds a definition."""
    statements: list[ast.AST] = []
    waiting: deque[ast.AST] = deque([tree])
    while waiting:
        node = waiting.popleft()
        statements.append(node)
        for block in _BLOCKS:
            waiting.extend(getattr(node, block, ()))
    return statements


def _list_docstrings(statements: Sequence[ast.AST]) -> Iterator[tuple[ast.AST, str, int]]:
    for node in statements:
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


def _list_locals(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.Name]:
    for statement in function.body:
        for node in ast.walk(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node


def _needs_verb(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not _is_test(node)


def _is_test(node: ast.AST) -> TypeGuard[ast.FunctionDef | ast.AsyncFunctionDef]:
    return isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith(
        "test_"
    )


def _is_property(node: ast.AST) -> bool:
    decorators = getattr(node, "decorator_list", ())
    return any(ast.unparse(decorator).endswith("property") for decorator in decorators)


def python_files() -> list[Path]:
    """Return every Python file that the style covers."""
    return sorted(file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py"))


def main(arguments: list[str]) -> int:
    """Print each breach in the named files or folders, by default everywhere; return 1 if any."""
    paths = [Path(argument).resolve() for argument in arguments]
    folders = [
        inner for one in paths for inner in (sorted(one.rglob("*.py")) if one.is_dir() else [one])
    ]
    breaches = [b for file in folders or python_files() for b in find_breaches(file)]
    for b in breaches:
        print(f"{b.file}:{b.line}: {b.rule}: {b.text}")
    return 1 if breaches else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
