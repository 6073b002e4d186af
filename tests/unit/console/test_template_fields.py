"""Every field that a template reads is a field of the value that it reads.

A template is rendered with rich data in few tests, so a renamed field would fail first before a
person. Here the types of fields follow the template: the elements of `r.doubts` are `Doubt`.
"""

from __future__ import annotations

import importlib
import pkgutil
import sys
import types
import typing
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import Enum
from functools import cache, cached_property
from typing import Any, Final

from jinja2 import nodes

import services.console
from services.console.web.shell import create_environment

PLAIN: Final = (str, int, float, bool, datetime, date, timedelta, dict, list, tuple, set, bytes)
OF_ELEMENTS: Final = {"selectattr", "rejectattr", "sort", "unique", "list", "reverse", "groupby"}
"""Filters with a field of the elements as `attribute` or first argument."""
JINJA: Final = {"loop", "self", "caller", "times"}
"""Names with attributes that are no fields."""
WHOLE: Final = OF_ELEMENTS - {"groupby"}
"""Those that return some of the elements."""


@dataclass(frozen=True)
class Kind:
    """A class, or the elements of a collection."""

    cls: type
    elements: frozenset[Kind] | None = None


Kinds = frozenset[Kind] | None
"""Possible kinds of a value; None = it may be anything."""


@cache
def collect_classes() -> tuple[type, ...]:
    """Return all classes of the product that a template may meet."""
    for module in pkgutil.walk_packages(services.console.__path__, "services.console."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    modules = [
        m for name, m in list(sys.modules.items()) if name.startswith(("services.", "schemas."))
    ]
    members = {id(value): value for module in modules for value in vars(module).values()}
    return tuple(
        value
        for value in members.values()
        if isinstance(value, type) and value.__module__.startswith(("services.", "schemas."))
    )


@cache
def list_fields(cls: type) -> frozenset[str]:
    """Return the names of fields, properties and methods of a class."""
    annotated = (name for base in cls.__mro__ for name in vars(base).get("__annotations__", {}))
    members = ("name", "value") if issubclass(cls, Enum) else ()
    return frozenset([*dir(cls), *annotated, *members])


@cache
def list_classes_with(name: str) -> tuple[type, ...]:
    return tuple(cls for cls in (*collect_classes(), *PLAIN) if name in list_fields(cls))


@cache
def read_hints(cls: type) -> Mapping[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except (NameError, TypeError):
        return {}


@cache
def find_kinds(cls: type, name: str) -> Kinds:
    """Return the kinds of a field of a class, or of the result of a method."""
    if name in (hints := read_hints(cls)):
        return resolve(hints[name])
    member = getattr(cls, name, None)
    function = (
        member.fget
        if isinstance(member, property)
        else member.func
        if isinstance(member, cached_property)
        else member
    )
    try:
        return resolve(typing.get_type_hints(function).get("return"))
    except (NameError, TypeError, AttributeError):
        return None


def resolve(hint: Any) -> Kinds:
    """Return the kinds of a type hint; None is no value of a template."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return resolve(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return unite(resolve(a) for a in arguments if a is not type(None))
    if origin is typing.Literal:
        return frozenset(Kind(type(a)) for a in arguments)
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return frozenset([Kind(dict, resolve(arguments[1]))])
    if isinstance(origin, type) and issubclass(origin, Iterable):
        if origin is tuple and len(arguments) > 1 and arguments[1] is not ...:
            return frozenset([Kind(tuple)])
        return frozenset([Kind(list, resolve(arguments[0]) if arguments else None)])
    if isinstance(hint, type) and (hint in PLAIN or hint in collect_classes()):
        return frozenset([Kind(hint)])
    return None


def unite(several: Iterable[Kinds]) -> Kinds:
    united = list(several)
    if not united or None in united:
        return None
    return frozenset(kind for kinds in united if kinds is not None for kind in kinds)


@dataclass
class Scope:
    """Names of a template, a macro or a loop."""

    kinds: dict[str, Kinds] = field(default_factory=dict)
    outer: Scope | None = None

    def find(self, name: str) -> Kinds:
        if name in self.kinds:
            return self.kinds[name]
        return None if self.outer is None else self.outer.find(name)


class TemplateCheck:
    """Check of one template; `faults` names the fields that nothing has."""

    def __init__(self, template: str) -> None:
        environment = create_environment()
        assert environment.loader is not None
        text, _, _ = environment.loader.get_source(environment, template)
        self.template, self.faults = template, list[str]()
        root = environment.parse(text)
        self._opaque = JINJA | {i.target for i in root.find_all(nodes.Import)}
        self._visit_all(self._narrow(root, Scope()), root.body)

    def _narrow(self, root: nodes.Node, outer: Scope, names: Collection[str] = ()) -> Scope:
        """Return a scope in which each free name is of a class that has all its fields."""
        scope, fields = Scope(outer=outer), defaultdict[str, set[str]](set)
        for node in root.find_all(nodes.Getattr):
            if isinstance(node.node, nodes.Name) and (not names or node.node.name in names):
                fields[node.node.name].add(node.attr)
        bound = {
            name.name
            for name in root.find_all(nodes.Name)
            if name.ctx in ("store", "param") and name.name not in names
        } | {macro.name for macro in root.find_all(nodes.Macro)}
        for name, attributes in fields.items():
            if name in bound | self._opaque:
                continue
            candidates = [c for c in collect_classes() if attributes <= list_fields(c)]
            if candidates:
                scope.kinds[name] = frozenset(map(Kind, candidates))
            elif (
                any(not list_classes_with(attribute) for attribute in attributes)
                or len(attributes) > 1
            ):
                self.faults.append(
                    f"{self.template}: nothing has all of {name}.{sorted(attributes)}"
                )
        return scope

    def _visit_all(self, scope: Scope, body: Iterable[nodes.Node]) -> None:
        for node in body:
            self._visit(scope, node)

    def _visit(self, scope: Scope, node: nodes.Node) -> None:
        match node:
            case nodes.Macro():
                names = [argument.name for argument in node.args]
                inner = self._narrow(node, scope, names) if names else Scope(outer=scope)
                for name in names:
                    inner.kinds.setdefault(name, None)
                self._visit_all(inner, node.body)
            case nodes.For():
                inner = Scope(outer=scope)
                self._bind(inner, node.target, self._find_elements(self.infer(scope, node.iter)))
                if node.test is not None:
                    self._visit(inner, node.test)
                self._visit_all(inner, node.body)
                self._visit_all(scope, node.else_)
            case nodes.Assign():
                self._bind(scope, node.target, self.infer(scope, node.node))
            case nodes.Expr():
                self.infer(scope, node)
            case _:
                self._visit_all(scope, node.iter_child_nodes())

    def _bind(self, scope: Scope, target: nodes.Node, kinds: Kinds) -> None:
        if isinstance(target, nodes.Name):
            scope.kinds[target.name] = kinds
        for name in target.find_all(nodes.Name):
            scope.kinds[name.name] = None

    def infer(self, scope: Scope, node: nodes.Node) -> Kinds:
        """Return the kinds of an expression, and note its faults."""
        match node:
            case nodes.Name():
                return scope.find(node.name)
            case nodes.Getattr(node=nodes.Name(name=name)) if name in self._opaque:
                return None
            case nodes.Getattr():
                return self._read(self.infer(scope, node.node), node.attr, node.lineno)
            case nodes.Filter(node=inner) if inner is not None:
                return self._filter(scope, node)
            case nodes.CondExpr():
                self.infer(scope, node.test)
                other = () if node.expr2 is None else (self.infer(scope, node.expr2),)
                return unite((self.infer(scope, node.expr1), *other))
            case nodes.Or() | nodes.And():
                return unite((self.infer(scope, node.left), self.infer(scope, node.right)))
            case nodes.Call(node=nodes.Getattr()):
                self._visit_all(scope, [*node.args, *node.kwargs])
                return self.infer(scope, node.node)
            case nodes.Getitem():
                self._visit(scope, node.arg)
                kinds = self.infer(scope, node.node)
                return kinds if isinstance(node.arg, nodes.Slice) else self._find_elements(kinds)
            case _:
                self._visit_all(scope, node.iter_child_nodes())
                return None

    def _filter(self, scope: Scope, node: nodes.Filter) -> Kinds:
        assert node.node is not None
        kinds = self.infer(scope, node.node)
        self._visit_all(scope, [*node.args, *node.kwargs])
        elements = self._find_elements(kinds)
        attributes = [k.value for k in node.kwargs if k.key == "attribute"]
        if node.name in ("selectattr", "rejectattr", "groupby"):
            attributes += node.args[:1]
        values = elements
        for name in attributes:
            if isinstance(name, nodes.Const) and isinstance(name.value, str):
                for part in name.value.split(","):
                    values = elements
                    for attribute in part.split("."):
                        values = self._read(values, attribute, node.lineno)
        if node.name in WHOLE:
            return kinds
        if node.name in ("first", "last"):
            return elements
        return (
            None if node.name != "map" else frozenset([Kind(list, values if attributes else None)])
        )

    def _find_elements(self, kinds: Kinds) -> Kinds:
        return None if kinds is None else unite(kind.elements for kind in kinds)

    def _read(self, kinds: Kinds, name: str, line: int) -> Kinds:
        """Return the kinds of a field, and note that nothing has it."""
        if kinds is None:
            classes = list_classes_with(name)
            if not classes:
                self.faults.append(f"{self.template}:{line}: nothing has a field {name}")
            return None
        owners = [kind for kind in kinds if name in list_fields(kind.cls)]
        values = [kind for kind in kinds if kind.cls is dict and kind not in owners]
        if not owners and not values:
            classes_text = ", ".join(sorted({kind.cls.__name__ for kind in kinds})[:5])
            self.faults.append(f"{self.template}:{line}: {classes_text} has no field {name}")
            return None
        if any(kind.cls in PLAIN for kind in owners):
            return None
        read = [find_kinds(kind.cls, name) for kind in owners]
        return unite([*read, *(kind.elements for kind in values)])


def test_every_field_that_a_template_reads_exists() -> None:
    names = create_environment().list_templates(["html"])
    templates = [name for name in names if not name.startswith("templates/")]
    assert len(templates) > 60
    assert [fault for name in templates for fault in TemplateCheck(name).faults] == []
