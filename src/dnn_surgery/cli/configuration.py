"""The file behind ``--config``: what it may say, and what it says.

Every value is None (or empty) where the file does not set it, so that flags and defaults fill the gaps. Values of all
commands are read and checked by all of them; what a command does not do with a key it has to say:
:meth:`Configuration.check_supported`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dnn_surgery.cli.configuration_sections import (
    PERIODS,
    DataBudget,
    EngineSection,
    LinkSection,
    ModelSection,
    OutputSection,
    Pins,
    PlanSection,
    Postprocess,
    Preprocess,
    ProfilesSection,
    ServerSection,
    SourceSection,
    Tls,
)
from dnn_surgery.cli.yaml_entries import (
    Entry,
    channels,
    file,
    files,
    flag,
    number,
    one_of,
    read_yaml,
    text,
    texts,
    whole,
)
from dnn_surgery.errors import ConfigurationError, UnitError
from dnn_surgery.units import parse_duration, parse_size


@dataclass(frozen=True, slots=True)
class Configuration:
    """A whole file. `keys` are the dotted keys that it sets, each with its line, in the file's order."""

    path: Path
    model: ModelSection = field(default_factory=ModelSection)
    server: ServerSection = field(default_factory=ServerSection)
    engine: EngineSection = field(default_factory=EngineSection)
    profiles: ProfilesSection = field(default_factory=ProfilesSection)
    sources: Mapping[str, SourceSection] = field(default_factory=dict)
    plan: PlanSection = field(default_factory=PlanSection)
    link: LinkSection = field(default_factory=LinkSection)
    overload: str | None = None
    output: OutputSection = field(default_factory=OutputSection)
    keys: Mapping[str, int] = field(default_factory=dict)

    def unsupported(self, supported: Collection[str]) -> tuple[str, ...]:
        """The keys that are set but not in `supported`, where ``plan`` stands for all of ``plan.*``."""
        return tuple(
            key for key in self.keys if not any(key == known or key.startswith(f"{known}.") for known in supported)
        )

    def check_supported(self, supported: Collection[str], command: str) -> None:
        """To be called by a command with the keys that it acts on, or that are none of its business.

        Raises:
            ConfigurationError: the file sets others, which would be ignored without a word.
        """
        if keys := self.unsupported(supported):
            raise ConfigurationError(
                f"{self.path}:{self.keys[keys[0]]}: not supported yet by {command}: {', '.join(keys)}"
            )


def load_configuration(path: str | Path) -> Configuration:
    """Reads and checks a configuration file. Relative paths in it are relative to the file.

    Raises:
        ConfigurationError: the file is missing, is not YAML, or says what it may not; the message names file and line.
    """
    path = Path(path)
    entry = read_yaml(path)
    if entry is None:
        return Configuration(path)
    of = entry.fields(("model", "server", "engine", "profiles", "sources", "plan", "link", "overload", "output"))
    return Configuration(
        path=path,
        model=of.section("model", _model, ModelSection()),
        server=of.section("server", _server, ServerSection()),
        engine=of.section("engine", _engine, EngineSection()),
        profiles=of.section("profiles", _profiles, ProfilesSection()),
        sources=of.section("sources", _sources, {}),
        plan=of.section("plan", _plan, PlanSection()),
        link=of.section("link", _link, LinkSection()),
        overload=of("overload", one_of("skip", "lower-rate", "block")),
        output=of.section("output", _output, OutputSection()),
        keys=dict(entry.leaves()),
    )


def _names(section: type[Any]) -> tuple[str, ...]:
    return tuple(item.name for item in dataclasses.fields(section))


_share = number("a number above 0 and at most 1", above=0, at_most=1)
# Larger than any picture that a network reads; a slip of the hand should not ask for all memory.
LARGEST_SIDE = 16384
_SIZE_A_PERIOD = re.compile(rf"(.+)/({'|'.join(PERIODS)})")


def _model(entry: Entry) -> ModelSection:
    of = entry.fields(_names(ModelSection))
    section = ModelSection(
        architecture=of("architecture", text),
        ref=of("ref", _model_ref),
        path=of("path", file),
        classes=of("classes", whole(1, "a number of classes")),
        labels=of("labels", file),
        trust_model=of("trust_model", flag),
        codecs=of("codecs", files) or (),
        preprocess=of.section("preprocess", _preprocess, Preprocess()),
        postprocess=of.section("postprocess", _postprocess, Postprocess()),
    )
    if section.architecture is not None and section.ref is not None:
        raise entry.refuse("model names both an architecture and a ref: give one of them")
    return section


def _model_ref(entry: Entry) -> str:
    """A file is relative to the configuration; a zoo name or a factory is not a path."""
    ref = text(entry)
    return str(file(entry)) if Path(ref).suffix.lower() in (".onnx", ".pt2") else ref


def _preprocess(entry: Entry) -> Preprocess:
    of = entry.fields(_names(Preprocess))
    return Preprocess(
        resize=of("resize", one_of("crop", "stretch", "letterbox")),
        size=of("size", _sides),
        scale=of("scale", number("a positive number", above=0)),
        mean=of("mean", channels("a number, or a list of one for each of three channels")),
        std=of("std", channels("a positive number, or a list of one for each of three channels", above=0)),
        color=of("color", one_of("rgb", "bgr")),
        layout=of("layout", one_of("nchw", "nhwc")),
    )


def _sides(entry: Entry) -> tuple[int, int]:
    """One number for a square, or a list of height and width."""
    what = "a number of pixels, or a list of height and width"
    if entry.kind != "seq":
        side = whole(1, what, maximum=LARGEST_SIDE)(entry)
        return side, side
    sides = entry.items()
    if len(sides) != 2:
        raise entry.expected(what)
    height, width = (whole(1, what, maximum=LARGEST_SIDE)(side) for side in sides)
    return height, width


def _postprocess(entry: Entry) -> Postprocess:
    of = entry.fields(_names(Postprocess))
    section = Postprocess(
        task=of("task", one_of("classify", "detect", "none")),
        confidence=of("confidence", _share),
        iou=of("iou", _share),
    )
    if section.task != "detect" and (section.confidence is not None or section.iou is not None):
        raise entry.refuse(f"{entry.key}: confidence and iou go with task: detect")
    return section


def _server(entry: Entry) -> ServerSection:
    of = entry.fields(_names(ServerSection))
    return ServerSection(
        address=of("address", text),
        port=of("port", whole(0, "a port from 0 to 65535", quoted=True, maximum=65535)),
        tls=of.section("tls", _tls, Tls()),
        token_file=of("token_file", file),
    )


def _tls(entry: Entry) -> Tls:
    of = entry.fields(_names(Tls))
    return Tls(ca=of("ca", file), cert=of("cert", file), key=of("key", file))


def _engine(entry: Entry) -> EngineSection:
    of = entry.fields(_names(EngineSection))
    return EngineSection(
        name=of("name", text), providers=of("providers", texts), threads=of("threads", whole(1, "a number of threads"))
    )


def _profiles(entry: Entry) -> ProfilesSection:
    of = entry.fields(("edge", "cloud"))
    cloud_auto = of("cloud", text) == "auto"
    return ProfilesSection(
        edge=of("edge", file), cloud=None if cloud_auto else of("cloud", file), cloud_auto=cloud_auto
    )


def _sources(entry: Entry) -> Mapping[str, SourceSection]:
    return {name: _source(source) for name, source in entry.entries().items()}


def _source(entry: Entry) -> SourceSection:
    of = entry.fields(("url", "rate", "priority"))
    url = of("url", _url)
    if url is None:
        raise entry.refuse(f"{entry.key} has no url")
    return SourceSection(
        url=url,
        rate_hz=of("rate", number("a positive number of frames a second", above=0)),
        priority=of("priority", whole(0, "a whole number from 0 on")),
    )


def _url(entry: Entry) -> str:
    """An URL or a camera's number as it is; a file, folder or glob relative to the configuration."""
    if entry.kind == "int" and entry.text.isdigit():
        return entry.text
    url = text(entry)
    return url if "://" in url or url.isdigit() else str(file(entry))


def _plan(entry: Entry) -> PlanSection:
    of = entry.fields(("objective", "accuracy", "calibration", "pin", "deadline", "max_data"))
    return PlanSection(
        objective=of("objective", one_of("latency", "throughput", "energy")),
        accuracy=of("accuracy", _accuracy),
        calibration=of("calibration", file),
        pin=of.section("pin", _pins, Pins()),
        deadline_s=of("deadline", _deadline),
        max_data=of("max_data", _max_data),
    )


def _accuracy(entry: Entry) -> float | str:
    if (entry.kind, entry.text) == ("str", "exact"):
        return entry.text
    return number("exact, or a number above 0 and at most 1", above=0, at_most=1)(entry)


def _pins(entry: Entry) -> Pins:
    of = entry.fields(_names(Pins))
    return Pins(edge=of("edge", texts) or (), cloud=of("cloud", texts) or ())


def _deadline(entry: Entry) -> float:
    seconds = _quantity(entry, entry.text, parse_duration)
    if seconds == 0:
        raise entry.expected("a positive duration, such as 200ms")
    return seconds


def _max_data(entry: Entry) -> DataBudget:
    match = _SIZE_A_PERIOD.fullmatch(entry.text) if entry.kind == "str" else None
    if match is None:
        raise entry.expected(f"a size per {', '.join(PERIODS[:-1])} or {PERIODS[-1]}, such as 2GB/month")
    return DataBudget(int(_quantity(entry, match.group(1), parse_size)), match.group(2))


def _quantity(entry: Entry, written: str, parse: Callable[[str], float]) -> float:
    if entry.kind not in ("str", "int", "float"):
        raise entry.expected("a quantity with its unit")
    try:
        return parse(written)
    except UnitError as error:
        raise entry.refuse(f"{entry.key}: {error}") from error


def _link(entry: Entry) -> LinkSection:
    return LinkSection(estimate=entry.fields(_names(LinkSection))("estimate", one_of("passive", "probe", "iperf3")))


def _output(entry: Entry) -> OutputSection:
    of = entry.fields(_names(OutputSection))
    return OutputSection(json=of("json", text), metrics=of("metrics", text))
