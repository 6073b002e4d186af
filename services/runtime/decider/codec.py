"""Dump and load a domain state for snapshots, by its type annotations.

A state is a frozen dataclass with fields that are scalars or `Map[K, V]`
(`services.runtime.decider.maps`). Values may be scalars, enums, tuples, frozensets, dataclasses,
pydantic models, nested maps, and unions of those. The dump is JSON-able: each map becomes a
collection of (key, value) items, so that a snapshot can be cut into chunks. All other fields are
items of the collection `""`.

A field that a dump lacks takes its default, so a state class may get new fields with defaults. A
field outside equality is an index: no dump has it.
"""

import dataclasses
import types
import typing
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, Final, Generic, TypeVar, Union, get_args, get_origin

import orjson
from pydantic import BaseModel

from services.runtime.decider.maps import Map

S = TypeVar("S")
Dumped = dict[str, list[tuple[str, object]]]
_Write = Callable[[Any], Any]
_Read = Callable[[Any], Any]
FIELD_COLLECTION: Final = ""
"""Name of the collection for fields that are not maps."""


class NotDumpable(TypeError):
    """A state class has a field of a type that the codec cannot write and read back."""


class StateCodec(Generic[S]):
    """Codec of one state class. Raises NotDumpable at construction, never later."""

    def __init__(self, cls: type[S]) -> None:
        self._cls = cls
        self._maps: dict[str, tuple[_Write, _Read, _Write, _Read]] = {}
        self._fields: dict[str, tuple[_Write, _Read]] = {}
        for name, hint in _list_annotations(cls).items():
            annotation = _strip_annotation(hint)
            if get_origin(annotation) is Map:
                key, value = get_args(annotation)
                self._maps[name] = (
                    *_build_key_coder(key, f"{cls.__name__}.{name}"),
                    *_build_coder(value, f"{cls.__name__}.{name}"),
                )
            else:
                self._fields[name] = _build_coder(annotation, f"{cls.__name__}.{name}")

    def dump(self, state: S) -> Dumped:
        """Return JSON-able collections. Does not change `state`, so it may run in a thread."""
        maps: Dumped = {
            FIELD_COLLECTION: [
                (name, write(getattr(state, name))) for name, (write, _) in self._fields.items()
            ]
        }
        for name, (write_key, _, write, _) in self._maps.items():
            maps[name] = [
                (write_key(key), write(value)) for key, value in getattr(state, name).items()
            ]
        return maps

    def load(self, dump: Mapping[str, typing.Iterable[tuple[str, object]]]) -> S:
        """Load a state from its dump. Raises KeyError, ValueError, TypeError for another class."""
        fields: dict[str, Any] = {}
        for name, value in dump.get(FIELD_COLLECTION, ()):
            if name in self._fields:
                fields[name] = self._fields[name][1](value)
        for name, (_, read_key, _, read) in self._maps.items():
            if name in dump:
                fields[name] = Map({read_key(key): read(value) for key, value in dump[name]})
        return self._cls(**fields)


def _list_annotations(cls: type) -> dict[str, Any]:
    if not dataclasses.is_dataclass(cls):
        raise NotDumpable(f"{cls.__name__} is not a dataclass")
    hints = typing.get_type_hints(cls)
    return {
        field.name: hints[field.name]
        for field in dataclasses.fields(cls)
        if field.init and field.compare
    }


def _strip_annotation(annotation: Any) -> Any:
    """Return an annotation without NewType and Annotated."""
    while True:
        if isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif get_origin(annotation) is typing.Annotated:
            annotation = get_args(annotation)[0]
        else:
            return annotation


def _return_unchanged(value: Any) -> Any:
    return value


def _build_key_coder(annotation: Any, where: str) -> tuple[_Write, _Read]:
    """Return writer and reader of map keys, which are strings in the dump."""
    annotation = _strip_annotation(annotation)
    if annotation is str:
        return _return_unchanged, _return_unchanged
    if annotation is int:
        return str, int
    if (
        isinstance(annotation, type)
        and issubclass(annotation, Enum)
        and issubclass(annotation, str)
    ):
        return lambda key: key.value, annotation
    write, read = _build_coder(annotation, where)
    return lambda key: orjson.dumps(write(key)).decode(), lambda text: read(orjson.loads(text))


def _build_coder(annotation: Any, where: str) -> tuple[_Write, _Read]:
    annotation = _strip_annotation(annotation)
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in (str, int, float, bool, None, type(None)) or origin is typing.Literal:
        return _return_unchanged, _return_unchanged
    if origin in (Union, types.UnionType):
        return _build_union_coder(args, where)
    if origin is Map:
        write_key, read_key = _build_coder(args[0], where)
        write, read = _build_coder(args[1], where)
        return (
            lambda m: [[write_key(key), write(value)] for key, value in m.items()],
            lambda items: Map({read_key(key): read(value) for key, value in items}),
        )
    if origin in (tuple, frozenset):
        return _build_sequence_coder(origin, args, where)
    if isinstance(annotation, type):
        if issubclass(annotation, Enum):
            return lambda member: member.value, annotation
        if issubclass(annotation, BaseModel):
            return lambda model: model.model_dump(mode="json"), annotation.model_validate
        if dataclasses.is_dataclass(annotation):
            return _build_dataclass_coder(annotation, where)
    raise NotDumpable(
        f"{where}: {annotation!r} is no scalar, enum, tuple, frozenset, Map, dataclass or pydantic "
        "model"
    )


def _build_sequence_coder(origin: type, args: tuple[Any, ...], where: str) -> tuple[_Write, _Read]:
    if origin is tuple and (len(args) != 2 or args[1] is not Ellipsis):
        parts = [_build_coder(arg, where) for arg in args]
        return (
            lambda values: [write(value) for (write, _), value in zip(parts, values, strict=True)],
            lambda values: tuple(
                read(value) for (_, read), value in zip(parts, values, strict=True)
            ),
        )
    write, read = _build_coder(args[0], where)
    if write is _return_unchanged:
        return list, origin
    return lambda values: [write(value) for value in values], lambda values: origin(
        read(value) for value in values
    )


def _build_dataclass_coder(cls: type, where: str) -> tuple[_Write, _Read]:
    coders: dict[str, tuple[_Write, _Read]] = {}

    def ready() -> dict[str, tuple[_Write, _Read]]:  # At first use, so that a class may hold itself
        if not coders:
            coders.update(
                {
                    name: _build_coder(annotation, f"{where} → {cls.__name__}.{name}")
                    for name, annotation in _list_annotations(cls).items()
                }
            )
        return coders

    if all(not _mentions(annotation, cls) for annotation in _list_annotations(cls).values()):
        ready()
    return (
        lambda value: {name: write(getattr(value, name)) for name, (write, _) in ready().items()},
        lambda dump: cls(
            **{name: read(dump[name]) for name, (_, read) in ready().items() if name in dump}
        ),
    )


def _mentions(annotation: Any, cls: type) -> bool:
    return annotation is cls or any(_mentions(arg, cls) for arg in get_args(annotation))


_SCALARS: Final = (str, int, float, bool)


def _build_union_coder(args: tuple[Any, ...], where: str) -> tuple[_Write, _Read]:
    options = [_strip_annotation(arg) for arg in args if arg not in (None, type(None))]
    nullable = len(options) < len(args)
    if all(option in _SCALARS for option in options):
        return _return_unchanged, _return_unchanged
    if len(options) == 1:
        write, read = _build_coder(options[0], where)
        return (
            lambda value: None if value is None else write(value),
            lambda dump: None if dump is None else read(dump),
        )
    if not all(
        isinstance(option, type)
        and (dataclasses.is_dataclass(option) or issubclass(option, BaseModel | Enum))
        for option in options
    ):
        raise NotDumpable(
            f"{where}: a union may hold dataclasses, pydantic models and enums, or scalars, or one "
            "type and None"
        )
    coders = {option.__name__: _build_coder(option, where) for option in options}
    if nullable:
        coders["NoneType"] = (_return_unchanged, _return_unchanged)
    return (
        lambda value: [type(value).__name__, coders[type(value).__name__][0](value)],
        lambda dump: coders[dump[0]][1](dump[1]),
    )
