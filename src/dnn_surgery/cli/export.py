"""Write head and tail of a cut as ONNX files, tails as a Triton model repository, or the whole model as one bundle.

Whatever is written is read back, run by ONNX Runtime on the traced example, and compared with the unsplit graph.
With --cut frontier each cut is written that is best on some link at some load; that takes the profiles of device and
server, or measures the model here.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dnn_surgery.cli.model_arguments import MODEL_KEYS
from dnn_surgery.errors import InputError

if TYPE_CHECKING:
    from dnn_surgery.execution.export_folder import Cut, ExportedCut
    from dnn_surgery.model.graph import ModelGraph

EXAMPLE = "dnn-surgery export resnet18 --cut layer2.1.conv2 -o parts"

FORMATS = ("onnx", "triton", "bundle")
FRONTIER = "frontier"

# What is acted on here, and what is the business of `run` and `serve`.
_SUPPORTED = (*MODEL_KEYS, "server", "profiles", "sources", "plan", "link", "overload", "output")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags of `export`."""
    from dnn_surgery.cli.model_arguments import add_model_arguments

    add_model_arguments(parser)
    parser.add_argument("-o", "--output", metavar="DIR", help="a new folder; with --format bundle a new file X.bundle")
    parser.add_argument(
        "--cut", action="append", metavar="LAYER", help="cut after this layer (may be repeated), or: frontier"
    )
    parser.add_argument(
        "--format",
        choices=FORMATS,
        default="onnx",
        help="onnx (default): heads/, tails/ and model.onnx; triton: a model repository of the tails and the whole "
        "model; bundle: one file that an edge loads without the model's code, its weights file or PyTorch",
    )
    parser.add_argument("--edge", metavar="FILE", help="the device's profile, for --cut frontier (default: measured)")
    parser.add_argument("--cloud", metavar="FILE", help="the server's profile (default: measured here)")
    parser.add_argument("--edge-slowdown", type=float, metavar="K", help="multiplies the edge's seconds (default 1)")
    parser.add_argument("--config", metavar="FILE", help="configuration.yaml; flags win")


def run(arguments: argparse.Namespace) -> int:
    """Exports, and says what was written and checked."""
    from dnn_surgery.cli.model_arguments import fill_from_configuration, load_graph
    from dnn_surgery.model.onnx_extra import require_onnx

    if arguments.config is not None:
        fill_from_configuration(arguments).check_supported(_SUPPORTED, "export")
    target = _check(arguments)
    require_onnx()
    from dnn_surgery.execution.export_bundle import check_new_bundle
    from dnn_surgery.execution.export_folder import check_new

    # Before the model is loaded: that nothing can be written should not take as long to say as a model takes to load.
    (check_new_bundle if arguments.format == "bundle" else check_new)(target)
    graph = load_graph(arguments)
    if arguments.format == "bundle":
        _bundle(graph, target, arguments.threads)
    else:
        _folder(graph, target, arguments)
    return 0


def _check(arguments: argparse.Namespace) -> Path:
    """Refuses flags that make no sense together; where to write."""
    if arguments.output is None:
        raise InputError("no -o given: a new folder, or with --format bundle a new file")
    wants_frontier = FRONTIER in (arguments.cut or ())
    if arguments.format == "bundle" and arguments.cut:
        raise InputError("a bundle holds the whole model, for any cut: --cut does not go with it")
    if arguments.format != "bundle" and not arguments.cut:
        raise InputError("no --cut given: a layer, or frontier")
    if wants_frontier and len(arguments.cut) > 1:
        raise InputError("--cut frontier names all cuts that are worth it; no other goes with it")
    given = [f"--{key.replace('_', '-')}" for key in ("edge", "cloud", "edge_slowdown") if getattr(arguments, key)]
    if given and not wants_frontier:
        raise InputError(f"{given[0]} goes with --cut frontier")
    return Path(arguments.output)


def _bundle(graph: ModelGraph, target: Path, threads: int | None) -> None:
    from dnn_surgery.execution.export_bundle import export_bundle
    from dnn_surgery.units import format_size

    deviation = export_bundle(graph, target, threads=threads)
    print(f"{target}: {graph.name} (fingerprint {graph.fingerprint[:12]}), {format_size(target.stat().st_size)}")
    print(f"checked: the bundle, read back, {_checked(deviation)}")


def _folder(graph: ModelGraph, target: Path, arguments: argparse.Namespace) -> None:
    from dnn_surgery.execution.export_folder import export_cuts, plain_layout
    from dnn_surgery.protocol.triton import repository_layout

    cuts = _cuts(graph, arguments)
    layout = (plain_layout if arguments.format == "onnx" else repository_layout)(graph)
    deviation = export_cuts(graph, cuts, target, layout, threads=arguments.threads, progress=_show)
    what = "head and tail" if arguments.format == "onnx" else "the tail"
    count = f"{what} of {'this cut' if len(cuts) == 1 else f'each of these {len(cuts)} cuts'} and the whole model"
    print(f"{target}: {count} of {graph.name} (fingerprint {graph.fingerprint[:12]})")
    print(f"checked: {count}, read back, {_checked(deviation)}")


def _checked(deviation: float) -> str:
    from dnn_surgery.execution.onnx_session import runtime
    from dnn_surgery.execution.tolerance import TOLERANCE

    return (
        f"run by ONNX Runtime {runtime().__version__} on the traced example: at most {deviation:.2g} of a tensor's "
        f"range from the unsplit graph (tolerance {TOLERANCE:.2g})"
    )


def _show(cut: ExportedCut) -> None:
    from dnn_surgery.units import format_size

    sizes = [
        f"{name} {format_size(part.path.stat().st_size)}"
        for name, part in (("head", cut.head), ("tail", cut.tail))
        if part is not None
    ]
    print(f"cut {cut.label}: {', '.join(sizes)}", flush=True)


def _cuts(graph: ModelGraph, arguments: argparse.Namespace) -> list[Cut]:
    if arguments.cut == [FRONTIER]:
        return _frontier(graph, arguments)
    return list(dict.fromkeys(graph.edge_layers(layer) for layer in arguments.cut))


def _frontier(graph: ModelGraph, arguments: argparse.Namespace) -> list[Cut]:
    """The cuts of the frontier that have a head and a tail, in the order of their size at the edge."""
    from dnn_surgery.cli.model_arguments import build_engine
    from dnn_surgery.cli.profile import measured
    from dnn_surgery.execution.split import cut_name
    from dnn_surgery.planning import Problem
    from dnn_surgery.planning.frontier_cuts import frontier_cuts
    from dnn_surgery.profiling.profile import Profile

    edge = Profile.load(arguments.edge) if arguments.edge else None
    cloud = Profile.load(arguments.cloud) if arguments.cloud else None
    for profile, flag in ((edge, "--edge"), (cloud, "--cloud")):
        if profile is not None and profile.fingerprint != graph.fingerprint:
            raise InputError(f"{flag} is the profile of another model or other weights than {graph.name}")
    if edge is None or cloud is None:
        here = measured(build_engine(graph, arguments))
        edge, cloud = edge or here, cloud or here
    problem = Problem.from_profiles(edge, cloud, arguments.edge_slowdown or 1.0)
    cuts = [cut for cut in frontier_cuts(problem) if cut_name(graph, cut) not in ("edge", "cloud")]
    if not cuts:
        raise InputError(f"on the frontier of {graph.name} there is no cut inside: it stays whole on every link")
    return cuts
