"""What a model costs on one device: the record and its JSON file. Plain data; reading it needs no engine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from dnn_surgery.errors import ProfileError

SCHEMA = "dnn-surgery/profile/1"


@dataclass(frozen=True, slots=True)
class TensorSize:
    """A tensor that a layer makes, and its raw size."""

    name: str
    bytes: int


@dataclass(frozen=True, slots=True)
class LayerCost:
    """One layer on this device: median seconds, scaled so that all layers add up to `Profile.whole_s`.

    `spread_s` is the distance between the quartiles of the measurement, scaled likewise.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[TensorSize, ...]
    seconds: float
    spread_s: float
    param_bytes: int


@dataclass(frozen=True)
class Profile:
    """What the model with this `fingerprint` costs on one device. `whole_s` is the median of the unsplit model.

    `device` (name, kind), `engine` (name, version, threads) and `versions` say where the figures come from.
    """

    model: str
    fingerprint: str
    layers: tuple[LayerCost, ...]
    outputs: tuple[str, ...]
    whole_s: float
    whole_spread_s: float
    repeats: int
    warmup: int
    device: dict[str, str] = field(default_factory=dict)
    engine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self) -> str:
        """The profile as a JSON document that begins with its schema."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1)

    def save(self, path: str | Path) -> None:
        """Writes the JSON document to `path`."""
        try:
            Path(path).write_text(self.to_json() + "\n", encoding="utf-8")
        except OSError as error:
            raise ProfileError(f"cannot write profile {path}: {error.strerror}") from error

    @classmethod
    def load(cls, path: str | Path) -> Profile:
        """Reads a file that :meth:`save` wrote.

        Raises:
            ProfileError: the file cannot be read or is no profile.
        """
        try:
            text = Path(path).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProfileError(f"cannot read profile {path}: {error}") from error
        return cls.from_json(text, where=str(path))

    @classmethod
    def from_json(cls, text: str, where: str = "profile") -> Profile:
        """The profile in a JSON document.

        Raises:
            ProfileError: naming the place that is wrong.
        """
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise ProfileError(f"{where}: not JSON: {error}") from error
        if not isinstance(document, dict):
            raise ProfileError(f"{where}: expected an object, got {type(document).__name__}")
        schema = document.pop("schema", SCHEMA)
        if schema != SCHEMA:
            raise ProfileError(f"{where}: schema is {schema!r}, expected {SCHEMA!r}")
        try:
            layers = tuple(_layer(layer) for layer in document.pop("layers"))
            outputs = tuple(document.pop("outputs"))
            return cls(layers=layers, outputs=outputs, **document)
        except KeyError as error:
            raise ProfileError(f"{where}: key {error} is missing") from error
        except (TypeError, AttributeError) as error:
            raise ProfileError(f"{where}: {error}") from error


def _layer(record: dict[str, Any]) -> LayerCost:
    outputs = tuple(TensorSize(**tensor) for tensor in record["outputs"])
    return LayerCost(**{**record, "inputs": tuple(record["inputs"]), "outputs": outputs})
