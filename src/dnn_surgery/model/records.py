"""Plain records from JSON and back: every field is checked against the type that the dataclass says."""

from __future__ import annotations

import types
from dataclasses import MISSING, asdict, fields
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dnn_surgery.errors import ModelError

RecordT = TypeVar("RecordT")


def to_record(value: Any) -> dict[str, Any]:
    """A dataclass as a dictionary that JSON can hold."""
    return asdict(value)


def from_record(kind: type[RecordT], record: Any, where: str) -> RecordT:
    """The dataclass `kind` in what JSON made of it: text, numbers, tuples of them, or nothing where it may be missing.

    Raises:
        ModelError: a field is missing, unknown or of another type; `where` says in what.
    """
    if not isinstance(record, dict):
        raise ModelError(f"{where} is no object")
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]  # any dataclass
    if unknown := [name for name in record if name not in known]:
        raise ModelError(f"{where} has the unknown key {unknown[0]!r:.60}")
    hints, values = get_type_hints(kind), {}
    for name, field in known.items():
        if name in record:
            values[name] = typed(hints[name], record[name], f"{where}.{name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ModelError(f"{where} has no {name!r}")
    return kind(**values)


def typed(hint: Any, value: Any, where: str) -> Any:
    """The value as `hint` says (lists become tuples), if it is one.

    Raises:
        ModelError: it is not.
    """
    origin, inside = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        if value is None and type(None) in inside:
            return None
        (hint,) = (kind for kind in inside if kind is not type(None))
        return typed(hint, value, where)
    if origin is tuple and isinstance(value, list):
        kinds = [inside[0]] * len(value) if inside[1:] == (...,) else inside
        if len(kinds) == len(value):
            pairs = enumerate(zip(kinds, value, strict=True))
            return tuple(typed(kind, item, f"{where}[{index}]") for index, (kind, item) in pairs)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if hint in (str, int, float, bool) and type(value) is hint:
        return value
    raise ModelError(f"{where} cannot be {value!r:.60}")
