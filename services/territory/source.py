"""One file of a territory folder: its rows or its document, and every defect with file and line; what the files share in words."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError

_T = TypeVar("_T", bound=BaseModel)


CHANNELS = {"app": "app", "sms": "sms", "voix": "voice", "mail": "email", "messagerie": "chat"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One defect of a territory folder; `line` is 1-based, 0 when the whole file is meant."""

    file: str
    line: int
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class Source:
    """One file of the folder, with a place to note problems."""

    def __init__(self, folder: Path, name: str, problems: list[Problem]) -> None:
        self.path, self.name, self.problems = folder / name, name, problems

    def fault(self, line: int, what: str) -> None:
        self.problems.append(Problem(self.name, line, what))

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """CSV rows with their line numbers."""
        try:
            with self.path.open(encoding="utf-8", newline="") as f:
                reader = csv.DictReader(f)
                for row in reader:
                    if None in row or None in row.values():
                        self.fault(reader.line_num, "wrong number of columns")
                        continue
                    yield reader.line_num, row
        except OSError as exc:
            self.fault(0, f"cannot be read: {exc.strerror}")

    def yaml(self) -> Any:
        """The document with line marks, or an empty map and a problem."""
        try:
            return YAML(typ="rt").load(self.path.read_text(encoding="utf-8")) or {}
        except MarkedYAMLError as exc:
            mark = exc.problem_mark
            self.fault(mark.line + 1 if mark else 0, f"not valid YAML: {exc.problem}")
        except OSError as exc:
            self.fault(0, f"cannot be read: {exc.strerror}")
        return {}

    def make(self, model: type[_T], line: int, **values: Any) -> _T | None:
        """`model(**values)`, or a problem per invalid field."""
        try:
            return model.model_validate(values)
        except ValidationError as exc:
            for e in exc.errors():
                self.fault(line, f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})")
            return None


def line_of(node: Any, key: Any = None) -> int:
    """1-based line of a YAML node or of one of its keys."""
    lc = getattr(node, "lc", None)
    if lc is None:
        return 0
    try:
        return int(lc.key(key)[0] if isinstance(node, dict) and key is not None else lc.item(key)[0] if key is not None else lc.line) + 1
    except (KeyError, TypeError, AttributeError):
        return int(lc.line) + 1


def plain(node: Any) -> Any:
    """Ordinary lists, dicts and scalars of a YAML node."""
    if isinstance(node, dict):
        return {str(k): plain(v) for k, v in node.items()}
    if isinstance(node, list):
        return [plain(v) for v in node]
    if isinstance(node, bool) or node is None:
        return node
    return float(node) if isinstance(node, float) else int(node) if isinstance(node, int) else str(node)


def predicate_of(node: Any) -> Any:
    """A `quand` of the files as the shape of `schemas.predicates`: arguments move under `args`."""
    match plain(node):
        case None:
            return None
        case {"metric": metric, "op": op, "value": value, **args}:
            return {"metric": metric, "args": args, "op": op, "value": value}
        case {"any": parts}:
            return {"any": [predicate_of(p) for p in parts]}
        case {"all": parts}:
            return {"all": [predicate_of(p) for p in parts]}
        case {"not": part}:
            return {"not": predicate_of(part)}
        case other:
            return other


def yes(word: Any) -> bool:
    return word is True or str(word) == "oui"


def minutes(clock: str) -> int:
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def split(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("|") if part)
