"""YAML read strictly: every complaint names the file, the line and the key.

The text becomes YAML's tree of nodes, never Python objects, so that lines are known and nothing is constructed on the
file's behalf. An :class:`Entry` is a node with its name; a parser turns an entry into a value or refuses it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml

from dnn_surgery.errors import ConfigurationError
from dnn_surgery.model.graph import near

T = TypeVar("T")

_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True, slots=True)
class Entry:
    """A value in the file: its dotted key (empty: the whole file), its node, and the line, from 1 on, of its key."""

    path: Path
    key: str
    node: yaml.Node
    line: int

    @property
    def kind(self) -> str:
        """``str``, ``int``, ``float``, ``bool``, ``null``, ``seq``, ``map``, or a tag of the file's own."""
        return str(self.node.tag).removeprefix(_TAG)

    @property
    def text(self) -> str:
        """A scalar as it is written in the file."""
        return str(self.node.value)

    def refuse(self, message: str) -> ConfigurationError:
        """The error to raise, with file and line in front."""
        return ConfigurationError(f"{self.path}:{self.line}: {message}")

    def expected(self, what: str) -> ConfigurationError:
        """The error to raise when the value is not `what`."""
        if isinstance(self.node, yaml.CollectionNode):
            shown = "a mapping" if isinstance(self.node, yaml.MappingNode) else "a list"
        elif self.kind == "null":
            shown = "nothing"
        else:
            shown = repr(self.text if len(self.text) <= 60 else self.text[:60] + "...")
        return self.refuse(f"{self.key or 'the file'} must be {what}, got {shown}")

    def items(self) -> list[Entry]:
        """The values of a list."""
        if not isinstance(self.node, yaml.SequenceNode) or self.kind != "seq":
            raise self.expected("a list")
        return [Entry(self.path, self.key, node, _line(node)) for node in self.node.value]

    def entries(self) -> dict[str, Entry]:
        """The values of a mapping by key; a section with nothing in it is an empty mapping."""
        if self.kind == "null":
            return {}
        if not isinstance(self.node, yaml.MappingNode) or self.kind != "map":
            raise self.expected("a mapping")
        found: dict[str, Entry] = {}
        for key_node, node in self.node.value:
            line = _line(key_node)
            key = Entry(self.path, self.key, key_node, line)
            if not isinstance(key_node, yaml.ScalarNode):
                raise key.refuse(f"a key of {self.key or 'the file'} must be text")
            name = key.text
            if name in found:
                raise key.refuse(f"key {name!r} stands twice, first in line {found[name].line}")
            found[name] = Entry(self.path, f"{self.key}.{name}" if self.key else name, node, line)
        return found

    def fields(self, known: Sequence[str]) -> Fields:
        """The values of a mapping that has no keys but the known ones."""
        found = self.entries()
        for name, entry in found.items():
            if name not in known:
                place = f" in {self.key}" if self.key else ""
                hint = near(name, known) or f": known are {', '.join(known)}"
                raise entry.refuse(f"unknown key {name!r}{place}{hint}")
        return Fields(found)

    def leaves(self) -> Iterator[tuple[str, int]]:
        """Dotted key and line of everything that is set below, in the file's order; a list counts as one value."""
        if isinstance(self.node, yaml.MappingNode):
            for entry in self.entries().values():
                yield from entry.leaves()
        elif self.kind != "null":
            yield self.key, self.line


class Fields:
    """The entries of one mapping: ``of("port", port)`` is the parsed value, or None where the key is not set."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self._entries = entries

    def __call__(self, name: str, parse: Callable[[Entry], T]) -> T | None:
        """The parsed value of one key, or None."""
        entry = self._entries.get(name)
        return None if entry is None else parse(entry)

    def section(self, name: str, parse: Callable[[Entry], T], empty: T) -> T:
        """The parsed section, or an empty one."""
        entry = self._entries.get(name)
        return empty if entry is None else parse(entry)


def read_yaml(path: Path) -> Entry | None:
    """The whole file, or None where it holds nothing.

    Raises:
        ConfigurationError: there is no such file, or it is not YAML; with the line where it stops making sense.
    """
    try:
        # Without this, a file that starts with a byte order mark has it in its first key.
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path}: no such file") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else f"not UTF-8 text: {error}"
        raise ConfigurationError(f"{path}: {reason}") from error
    try:
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigurationError(f"{path}:{line}: not valid YAML: {error.problem or error.context}") from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigurationError(f"{path}:{line}: not valid YAML: the character {error.character:#x}") from error
    except RecursionError as error:
        raise ConfigurationError(f"{path}: not valid configuration: nested too deeply") from error
    return None if node is None else Entry(path, "", node, _line(node))


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


def text(entry: Entry) -> str:
    """A text that is not empty."""
    if entry.kind in ("int", "float", "bool"):
        raise entry.expected("text (in quotes where it looks like a number)")
    if entry.kind != "str" or not entry.text:
        raise entry.expected("text")
    return entry.text


def texts(entry: Entry) -> tuple[str, ...]:
    """A list of texts."""
    return tuple(text(item) for item in entry.items())


def file(entry: Entry) -> Path:
    """A path; a relative one is relative to the configuration file, wherever the command is started."""
    return entry.path.parent / Path(text(entry)).expanduser()


def files(entry: Entry) -> tuple[Path, ...]:
    """A list of paths."""
    return tuple(file(item) for item in entry.items())


def flag(entry: Entry) -> bool:
    """``true`` or ``false``."""
    if entry.kind != "bool":
        raise entry.expected("true or false")
    return entry.text.lower() in ("true", "yes", "on")


def whole(minimum: int, what: str, *, quoted: bool = False, maximum: float = math.inf) -> Callable[[Entry], int]:
    """A whole number within bounds; also in quotes, if `quoted`."""

    def parse(entry: Entry) -> int:
        if entry.kind not in ("int", *(["str"] if quoted else [])) or not entry.text.isascii():
            raise entry.expected(what)
        # Not YAML 1.1's octal and base 60, which nobody means: digits alone. int() limits how many by an error.
        digits = entry.text.replace("_", "") if entry.kind == "int" else entry.text
        if not digits.isdigit() or len(digits) > 18 or not minimum <= int(digits) <= maximum:
            raise entry.expected(what)
        return int(digits)

    return parse


def number(what: str, *, above: float = -math.inf, at_most: float = math.inf) -> Callable[[Entry], float]:
    """A finite number in ``(above, at_most]``."""

    def parse(entry: Entry) -> float:
        # YAML 1.1 takes 1e-3 for text, for want of a dot.
        bare = entry.kind in ("int", "float") or (entry.kind == "str" and not getattr(entry.node, "style", None))
        try:
            value = float(entry.text) if bare else math.nan
        except ValueError:
            value = math.nan
        if not (math.isfinite(value) and above < value <= at_most):
            raise entry.expected(what)
        return value

    return parse


def channels(what: str, *, above: float = -math.inf) -> Callable[[Entry], tuple[float, float, float]]:
    """Three finite numbers above a bound; a single one stands for three equal ones."""

    def parse(entry: Entry) -> tuple[float, float, float]:
        items = entry.items() if entry.kind == "seq" else [entry] * 3
        if len(items) != 3:
            raise entry.expected(what)
        first, second, third = (number(what, above=above)(item) for item in items)
        return first, second, third

    return parse


def one_of(*choices: str) -> Callable[[Entry], str]:
    """One of some words."""

    def parse(entry: Entry) -> str:
        if entry.kind != "str" or entry.text not in choices:
            raise entry.expected(f"{', '.join(choices[:-1])} or {choices[-1]}")
        return entry.text

    return parse
