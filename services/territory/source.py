"""Read one file of a territory folder; note each problem with file and line.

Also holds the conversions that the files share.
"""

import csv
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.resolver import VersionedResolver

from schemas.catalogue import channels

_T = TypeVar("_T", bound=BaseModel)


MAX_QUOTED_CHARACTERS = 40
"""Characters of a value that an error quotes."""
MAX_DEPTH, MAX_PARTS = 20, 5_000
"""Limits of one entry of a file; real entries have a handful of levels."""
CHANNELS = {
    row.territory_name: row.channel.value
    for row in channels.CHANNELS.values()
    if row.territory_name is not None
}


@dataclass(frozen=True, slots=True)
class SourceProblem:
    """One problem of a territory folder; `line` is 1-based, 0 for the whole file."""

    file: str
    line: int
    what: str
    unread: bool = field(default=False, compare=False)
    """True if the file could not be read: references to it cannot be judged."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.what}"


class ColumnMissing(KeyError):
    """Signal a table without a column that is needed."""

    def __init__(self, file: str, titles: str, column: str) -> None:
        super().__init__(column)
        has_semicolons = "," not in titles and ";" in titles
        hint = ": the columns are separated by semicolons, not by commas" if has_semicolons else ""
        self.problem = SourceProblem(file, 1, f"no column {column!r}{hint}", unread=True)


class TableRow(dict[str, str]):
    """A row of a table, which knows its file. A missing column raises ColumnMissing."""

    file = ""

    def __missing__(self, column: str) -> str:
        raise ColumnMissing(self.file, ",".join(self), column)


class PositionedMap(dict[Any, Any]):
    """A YAML mapping that knows the lines of its keys, 0-based."""

    line = 0
    lines: Mapping[Any, int] = MappingProxyType({})


class PositionedList(list[Any]):
    """A YAML sequence that knows the lines of its items, 0-based."""

    line = 0
    lines: Sequence[int] = ()


class _PositionedConstructor(SafeConstructor):
    """Keeps the lines of nodes, and adds the place to errors about malformed numbers and dates."""

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, OverflowError) as error:
            text = node.value if isinstance(node.value, str) else ""
            kind = str(node.tag).rpartition(":")[2]
            what = f"{text[:MAX_QUOTED_CHARACTERS]!r} is no {kind}" + (
                f": {error}" if kind == "timestamp" else ""
            )
            raise ConstructorError(None, None, what, node.start_mark) from error

    def construct_positioned_map(self, node: Any) -> Iterator[PositionedMap]:
        data = PositionedMap()
        data.line = node.start_mark.line
        yield data
        data.update(self.construct_mapping(node))
        data.lines = {self.construct_object(key): key.start_mark.line for key, _ in node.value}

    def construct_positioned_list(self, node: Any) -> Iterator[PositionedList]:
        data = PositionedList()
        data.line = node.start_mark.line
        yield data
        data.extend(self.construct_sequence(node))
        data.lines = [item.start_mark.line for item in node.value]


_PositionedConstructor.add_constructor(
    "tag:yaml.org,2002:map", _PositionedConstructor.construct_positioned_map
)
_PositionedConstructor.add_constructor(
    "tag:yaml.org,2002:seq", _PositionedConstructor.construct_positioned_list
)


class _Resolver(VersionedResolver):
    """Chooses the rules of YAML 1.2 once per file: libyaml tells no version of a document.

    The base class asks for the version twice per scalar, a quarter of the time of a territory.
    """

    @cached_property
    def versioned_resolver(self) -> Any:
        return super().versioned_resolver


class YamlInvalid(ValueError):
    """Signal a file that is no YAML; `line` is 1-based, 0 without a place."""

    def __init__(self, what: str, line: int = 0) -> None:
        super().__init__(f"not valid YAML: {what}")
        self.what, self.line = what, line


def _parse(text: str, *, pure: bool = False) -> Any:
    yaml = YAML(typ="safe", pure=pure)
    yaml.Constructor = _PositionedConstructor
    if not pure:
        yaml.Resolver = _Resolver
    return yaml.load(text)


def read_yaml(path: Path) -> Any:
    """Read a YAML file; its nodes know their lines (`find_line`).

    Raises YamlInvalid and OSError.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
        try:
            return _parse(text)
        except (YAMLError, ValueError):
            # libyaml is faster but refuses some YAML 1.2: the other parser decides.
            return _parse(text, pure=True)
    except MarkedYAMLError as error:
        mark = error.problem_mark
        raise YamlInvalid(
            error.problem or "it cannot be read", mark.line + 1 if mark else 0
        ) from error
    except UnicodeDecodeError as error:
        raise YamlInvalid(f"it is not UTF-8 text: {error.reason} at byte {error.start}") from error
    except RecursionError as error:
        raise YamlInvalid("nested too deeply") from error
    except (YAMLError, ValueError) as error:  # A character that YAML forbids.
        raise YamlInvalid(str(error).splitlines()[0]) from error


def is_too_large(node: Any) -> bool:
    """Return whether a node is nested too deeply or too large.

    Aliases (`&a`, `*a`) can make a node far larger than its text, or endless.
    """
    rest, parts = [(node, 0)], 0
    while rest:
        one, depth = rest.pop()
        parts += 1
        if depth > MAX_DEPTH or parts > MAX_PARTS:
            return True
        inside = (
            one.values()
            if isinstance(one, dict)
            else one
            if isinstance(one, list | set | tuple)
            else ()
        )
        rest += [(value, depth + 1) for value in inside]
    return False


class SourceFile:
    """One file of the folder, with a place to note problems."""

    def __init__(self, folder: Path, name: str, problems: list[SourceProblem]) -> None:
        self.path, self.name, self.problems = folder / name, name, problems

    def fault(self, line: int, what: str) -> None:
        self.problems.append(SourceProblem(self.name, line, what))

    def unread(self, line: int, what: str) -> None:
        """Note that the file cannot be read."""
        self.problems.append(SourceProblem(self.name, line, what, unread=True))

    def exists(self) -> bool:
        """Return whether the file exists; False also for an impossible name."""
        return os.path.exists(self.path)  # noqa: PTH110  Path.exists raises OSError there

    def rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        """Yield CSV rows, as `TableRow`, with their line numbers."""
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as f:
                reader = csv.DictReader(f)
                for row in reader:
                    if None in row or None in row.values():
                        self.fault(reader.line_num, "wrong number of columns")
                        continue
                    table_row = TableRow(row)
                    table_row.file = self.name
                    yield reader.line_num, table_row
        except OSError as exc:
            self.unread(0, f"cannot be read: {exc.strerror}")
        except UnicodeDecodeError as exc:
            self.unread(0, f"is not UTF-8 text: {exc.reason} at byte {exc.start}")

    def yaml(self) -> Any:
        """Return the document with line marks, or an empty map after noting a problem."""
        try:
            return read_yaml(self.path) or {}
        except YamlInvalid as exc:
            self.unread(exc.line, str(exc))
        except OSError as exc:
            self.unread(0, f"cannot be read: {exc.strerror}")
        return {}

    def make(self, model: type[_T], line: int, **values: Any) -> _T | None:
        """Build `model(**values)`, or note a problem per invalid field and return None."""
        try:
            return model.model_validate(values)
        except ValidationError as exc:
            for e in exc.errors():
                self.fault(line, f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})")
            return None


def find_line(node: Any, key: Any = None) -> int:
    """Return the 1-based line of a YAML node or of one of its keys; 0 without a place."""
    if not isinstance(node, PositionedMap | PositionedList):
        return 0
    try:
        return (node.line if key is None else node.lines[key]) + 1
    except (KeyError, IndexError, TypeError):
        return node.line + 1


def to_plain_value(node: Any) -> Any:
    """Convert a YAML node to ordinary lists, dicts and scalars."""
    if isinstance(node, dict):
        return {str(k): to_plain_value(v) for k, v in node.items()}
    if isinstance(node, list):
        return [to_plain_value(v) for v in node]
    if isinstance(node, bool) or node is None:
        return node
    return (
        float(node)
        if isinstance(node, float)
        else int(node)
        if isinstance(node, int)
        else str(node)
    )


def convert_predicate(node: Any) -> Any:
    """Convert a `quand` of the files to the form of `schemas.predicates`.

    Arguments move to `args`.
    """
    match to_plain_value(node):
        case None:
            return None
        case {"metric": metric, "op": op, "value": value, **args}:
            return {"metric": metric, "args": args, "op": op, "value": value}
        case {"any": parts}:
            return {"any": [convert_predicate(p) for p in parts]}
        case {"all": parts}:
            return {"all": [convert_predicate(p) for p in parts]}
        case {"not": part}:
            return {"not": convert_predicate(part)}
        case other:
            return other


def is_yes(word: Any) -> bool:
    return word is True or str(word) == "oui"


def parse_clock(clock: str) -> int:
    """Convert a local time to minutes from midnight; 24:00 is the end of the day.

    Raises ValueError.
    """
    clock_match = re.fullmatch(r"(\d{1,2}):([0-5]\d)", clock) if isinstance(clock, str) else None
    if clock_match is None or (total := int(clock_match[1]) * 60 + int(clock_match[2])) > 24 * 60:
        raise ValueError(f'{clock!r} is not a local time such as "08:00"')
    return total


def split_list(text: str) -> tuple[str, ...]:
    return tuple(part for part in text.split("|") if part)
