"""The flags that every command with a MODEL shares, and what they stand for."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.cli.configuration import Configuration
    from dnn_surgery.cli.configuration_sections import Postprocess as PostprocessSection
    from dnn_surgery.cli.configuration_sections import Preprocess as PreprocessSection
    from dnn_surgery.execution.engine import Engine
    from dnn_surgery.model.graph import ModelGraph
    from dnn_surgery.model.postprocess import Postprocess
    from dnn_surgery.model.preprocess import Preprocess

MODEL_HELP = (
    "vgg16, alexnet, nin, tiny_yolov2, resnet18, efficientnet_lite0; model.onnx; model.pt2; model.bundle; "
    "or package.module:factory"
)


# The keys of a configuration file that every command with a MODEL acts on.
MODEL_KEYS = (
    *("model.architecture", "model.ref", "model.path", "model.classes", "model.labels", "model.trust_model"),
    "model.codecs",
    *("model.preprocess", "model.postprocess", "engine.name", "engine.providers", "engine.threads"),
)


def add_model_arguments(
    parser: argparse.ArgumentParser, *, metavar: str = "MODEL", model_help: str = MODEL_HELP
) -> None:
    """MODEL (or what else may stand in its place) and its weights, the engine and its device."""
    parser.add_argument("model", nargs="?", metavar=metavar, help=model_help)
    parser.add_argument("--weights", metavar="FILE", help="a .pth or .safetensors file of the model's state dict")
    parser.add_argument(
        "--trust-model", action="store_true", help="allow a MODEL that is code (a factory, a .pt2 file)"
    )
    parser.add_argument("--engine", default="auto", metavar="NAME", help="auto (default), torch or onnxruntime")
    parser.add_argument("--device", default="auto", metavar="NAME", help="auto (CUDA where present), cpu, cuda, cuda:1")
    parser.add_argument(
        "--providers", metavar="NAMES", help="ONNX Runtime's execution providers by its own names, with commas"
    )
    parser.add_argument(
        "--codec", action="append", metavar="FILE", help="a learnt codec (.klt); may be given several times"
    )
    parser.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads within an operator (default: those of a given profile, else the engine's)",
    )


def fill_from_configuration(arguments: argparse.Namespace) -> Configuration:
    """Takes what no flag says of the model and the engine from the file that --config names, and returns the whole.

    Raises:
        ConfigurationError: the file cannot be read or is wrong; the message names the line.
    """
    from dnn_surgery.cli.configuration import load_configuration

    configuration = load_configuration(arguments.config)
    if arguments.model is None:
        arguments.model = configuration.model.reference
        arguments.weights = arguments.weights or configuration.model.path
        arguments.classes, arguments.labels = configuration.model.classes, configuration.model.labels
        arguments.preprocess = _preprocess(configuration.model.preprocess)
        arguments.postprocess = _postprocess(configuration.model.postprocess)
        arguments.trust_model = arguments.trust_model or bool(configuration.model.trust_model)
    arguments.codec = arguments.codec or list(configuration.model.codecs)
    if arguments.engine == "auto" and configuration.engine.name is not None:
        arguments.engine = configuration.engine.name
    if arguments.providers is None and configuration.engine.providers:
        arguments.providers = ",".join(configuration.engine.providers)
    if arguments.threads is None:
        arguments.threads = configuration.engine.threads
    return configuration


def _preprocess(section: PreprocessSection) -> Preprocess | None:
    """What the file says of it; None where it says nothing."""
    from dnn_surgery.model.preprocess import Preprocess

    said = _said(section)
    return Preprocess(**said) if said else None


def _postprocess(section: PostprocessSection) -> Postprocess | None:
    from dnn_surgery.model.postprocess import Postprocess

    said = _said(section)
    return Postprocess(**said) if said else None


def _said(section: PreprocessSection | PostprocessSection) -> dict[str, Any]:
    values = {item.name: getattr(section, item.name) for item in fields(section)}
    return {name: value for name, value in values.items() if value is not None}


def load_graph(arguments: argparse.Namespace) -> ModelGraph:
    """The model that the flags name; what a user should know of it goes to stderr.

    Raises:
        InputError: no model is named.
        ModelError: it cannot be loaded.
    """
    from dnn_surgery.model.reference import load_model

    if arguments.model is None:
        raise InputError(f"no MODEL given: {MODEL_HELP}")
    graph = load_model(
        arguments.model,
        arguments.weights,
        trust_model=arguments.trust_model,
        classes=getattr(arguments, "classes", None),
        preprocess=getattr(arguments, "preprocess", None),
        postprocess=getattr(arguments, "postprocess", None),
    )
    if (labels := getattr(arguments, "labels", None)) is not None:
        graph = replace(graph, labels=_read_labels(labels))
    _register_codecs(arguments.codec or ())
    for notice in graph.notices:
        sys.stderr.write(f"dnn-surgery: notice: {notice}\n")
    return graph


def _register_codecs(paths: Sequence[str | Path]) -> None:
    """Makes learnt codecs known in this process: both sides have to be given the same files."""
    if not paths:
        return
    from dnn_surgery import codecs
    from dnn_surgery.codecs.transform import Transform, TransformParameters

    for path in paths:
        codecs.register(Transform(TransformParameters.load(path)))


def _read_labels(path: Path) -> tuple[str, ...]:
    """One class a line, in the order in which the network numbers them."""
    try:
        return tuple(path.read_text(encoding="utf-8").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read labels {path}: {error}") from error


def build_engine(graph: ModelGraph, arguments: argparse.Namespace) -> Engine:
    """The engine that the flags name.

    Raises:
        InputError: no such engine or device, or a number of threads that makes no sense.
    """
    from dnn_surgery.execution.engines import make_engine

    providers = [name.strip() for name in arguments.providers.split(",")] if arguments.providers else None
    return make_engine(
        graph, name=arguments.engine, device=arguments.device, threads=arguments.threads, providers=providers
    )
