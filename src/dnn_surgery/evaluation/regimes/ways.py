"""Measures a case on this machine: its profile, codecs learnt and measured, and which ways the guard admits.

Everything is kept in the output folder (profile, learnt codecs) or in the cache of verdicts, so that a second run, and
the real `run` of the live experiment, finds it there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dnn_surgery import codecs
from dnn_surgery.calibration.calibration import Calibration, Frame, with_cut
from dnn_surgery.calibration.candidates import boundary_tensors, candidates, with_measured
from dnn_surgery.calibration.envelope import Envelope, guarded_frontier
from dnn_surgery.calibration.guard import Verified, Verifier, same_way
from dnn_surgery.calibration.transform_learning import file_name, learn, worth_learning
from dnn_surgery.codecs.transform import Transform
from dnn_surgery.codecs.transform_file import TransformParameters
from dnn_surgery.edge.sources import fit, open_source
from dnn_surgery.errors import ProfileError
from dnn_surgery.evaluation.pictures import picture_of
from dnn_surgery.evaluation.regimes.cases import Case, Footage, model_file, write_frames
from dnn_surgery.evaluation.regimes.search import BANDWIDTHS_BPS, SLOWDOWNS, Kind, Way
from dnn_surgery.evaluation.regimes.streams import stream_ways
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import cut_name
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.planning import Link, Plan, Problem
from dnn_surgery.planning.goal import Goal
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile

Report = Callable[[str], None]

# A cut deeper than another one has to send so much less to be looked at.
_NARROWER = 0.8
_MOST_CUTS = 8
# Means and deviations of three channels are no weights.
_CONSTANT_BYTES = 64
# Larger tensors are too early to be sent by anyone who can do anything else.
_LEARN_MOST_BYTES = 2_000_000
_CODED_FRAMES = 12
_MOST_VERIFICATIONS = 24


@dataclass(frozen=True)
class Prepared:
    """A case, measured: `model`, `profile` and `codecs` are what ``serve`` and ``run`` are given, `footage` are the
    frames. `tried` are the verdicts of the guard: plans that lose something, with their agreement."""

    case: Case
    model: str
    graph: ModelGraph
    profile: Path
    codecs: tuple[Path, ...]
    footage: Footage
    ways: tuple[Way, ...]
    tried: tuple[Verified, ...]


def prepare(case: Case, folder: Path, *, frames: int, report: Report) -> Prepared:
    """Measures what `folder` does not have yet.

    Raises:
        SourceError: the case's network or frames are not installed.
        ProfileError: a profile in the folder is of another network.
    """
    report(f"{case.name}: loading")
    model = model_file(case, folder)
    graph = load_model(model)
    engine = make_engine(graph, device="cpu", threads=1)
    footage = write_frames(case, folder, frames)
    judged = _read(footage.judge, graph)
    calibration = Calibration(judged, case.accuracy, report=lambda text: report(f"{case.name}: {text}"))
    files = _learnt(case, engine, _read(footage.learn, graph), folder / "codecs", report)
    path = folder / f"{case.name}.profile.json"
    measured = _profile(case, engine, calibration, path, report)
    problem = calibration.problem(measured, measured)
    ways, tried = _ways(case, engine, problem, calibration, report)
    if case.films and case.accuracy is not None:
        report(f"{case.name}: proving H.264")
        ways += stream_ways(engine, calibration, folder / f"{case.name}.h264.json", ways[0].edge_s)
    return Prepared(case, model, graph, path, files, footage, tuple(ways), tuple(tried))


def cuts(graph: ModelGraph) -> tuple[str, ...]:
    """Layers to cut after: each sends at least a fifth less than the one before, in all the tensors that cross.

    The first of them computes with weights, so that what is sent is no picture any more.
    """
    found: list[str] = []
    least_bytes = float("inf")
    for layer in graph.layers:
        edge = set(graph.edge_layers(layer.name))
        crossing = graph.boundary(edge)
        if not crossing or sum(graph.layer[name].param_bytes for name in edge) <= _CONSTANT_BYTES:
            continue
        size_bytes = sum(graph.tensors[name].size_bytes for name in crossing)
        if size_bytes < _NARROWER * least_bytes:
            least_bytes = size_bytes
            found.append(layer.name)
    return tuple(found[-_MOST_CUTS:])


def _read(folder: Path, graph: ModelGraph) -> tuple[Frame, ...]:
    """All frames as the model takes them, in the order in which ``run --calibration`` reads them."""
    picture = picture_of(graph)
    if not any(folder.iterdir()):
        return ()
    with open_source(folder) as source:
        return tuple({picture.tensor: fit(frame.pixels, picture)} for frame in source)


def _learnt(case: Case, engine: Engine, frames: Sequence[Frame], folder: Path, report: Report) -> tuple[Path, ...]:
    """Codecs of the tensors that cross alone; learnt once, then read from their files."""
    if case.accuracy is None or not frames:
        return ()
    graph, home = engine.graph, folder / case.name
    if not home.is_dir():
        crossing = {tensor for cut in cuts(graph) for tensor in graph.boundary(graph.edge_layers(cut))}
        tensors = [
            name
            for name in worth_learning(graph)
            if name in crossing and graph.tensors[name].size_bytes <= _LEARN_MOST_BYTES
        ]
        report(f"{case.name}: learning codecs of {len(tensors)} tensors from {len(frames)} frames")
        learnt = list(learn(engine, frames, tensors)) if tensors else []
        home.mkdir(parents=True)
        for one in learnt:
            one.parameters.save(home / file_name(one))
    files = tuple(sorted(home.glob("*.klt")))
    for path in files:
        codecs.register(Transform(TransformParameters.load(path)))
    return files


def _profile(case: Case, engine: Engine, calibration: Calibration, path: Path, report: Report) -> Profile:
    if path.exists():
        found = Profile.load(path)
        if found.fingerprint != engine.graph.fingerprint:
            raise ProfileError(f"{path}: a profile of another network than {engine.graph.name}")
        return found
    report(f"{case.name}: profiling")
    found = profile(engine.graph, engine=engine)
    ways = candidates(engine.graph, _tensors(engine.graph, found), lossy=case.accuracy is not None)
    frames = calibration.frames[:: -(-len(calibration.frames) // _CODED_FRAMES)]
    report(f"{case.name}: measuring {sum(map(len, ways.values()))} codecs")
    found = with_measured(found, engine, frames, ways)
    found.save(path)
    return found


def _tensors(graph: ModelGraph, found: Profile) -> tuple[str, ...]:
    """Those that `run` would measure as well, and those of the cuts that are looked at."""
    crossing = [tensor for cut in cuts(graph) for tensor in graph.boundary(graph.edge_layers(cut))]
    return tuple(dict.fromkeys((*boundary_tensors(graph, found), *crossing)))


def _ways(
    case: Case, engine: Engine, problem: Problem, calibration: Calibration, report: Report
) -> tuple[list[Way], list[Verified]]:
    """Edge-only, float32, and for the upload and each cut what the guard admits."""
    graph, verifier = engine.graph, calibration.verifier(engine)
    everything = [layer.name for layer in graph.layers]
    link = Link(bandwidth_bps=1e6)
    whole = problem.cost(edge=everything, link=link)
    ways = [Way("edge", "", (), whole.edge_s, 0.0, 0.0)]
    reader = _float_input(graph)
    if reader is not None:
        (tensor,) = graph.boundary(graph.edge_layers(reader))
        floats = problem.cost(edge=graph.edge_layers(reader), link=link, codecs={tensor: "raw"})
        ways.append(_way("float32", reader, floats))
    tried: list[Verified] = []
    places: list[tuple[Kind, str]] = [("upload", graph.producer[graph.inputs[0]].name)]
    for kind, cut in (*places, *(("split", cut) for cut in cuts(graph))):
        report(f"{case.name}: proving {cut_name(graph, graph.edge_layers(cut))} on {len(calibration.held_out)} frames")
        admitted, verified = _admitted(graph, problem, cut, calibration, verifier)
        ways += [_way(kind, cut, plan, proved) for plan, proved in admitted]
        tried += verified
    return ways, tried


def _float_input(graph: ModelGraph) -> str | None:
    """The layer that turns the uint8 picture into floats; None where the network reads floats."""
    (picture,) = graph.inputs
    if graph.tensors[picture].dtype != "uint8":
        return None
    readers = [layer for layer in graph.layers if picture in layer.inputs]
    return readers[0].name if len(readers) == 1 and readers[0].param_bytes <= _CONSTANT_BYTES else None


def _admitted(
    graph: ModelGraph, problem: Problem, cut: str, calibration: Calibration, verifier: Verifier
) -> tuple[list[tuple[Plan, float]], list[Verified]]:
    """All choices of codecs for a cut that may be the best somewhere and lose nothing or are proved, each with the
    share that is proved."""
    asked = with_cut(problem, graph.edge_layers(cut))
    envelope = Envelope(min(BANDWIDTHS_BPS) / 4, max(BANDWIDTHS_BPS), (0.0,), SLOWDOWNS, (1.0,))
    guarded = guarded_frontier(
        asked, verifier, accuracy=calibration.accuracy, envelope=envelope, max_verifications=_MOST_VERIFICATIONS
    )
    table = guarded.frontier
    found = []
    for plan in table.leading(Link(bandwidth_bps=1e6), Goal(), len(table)):
        proofs = [one.agreement for one in guarded.verified if same_way(one.plan, plan)]
        found.append((plan, proofs[0].bound if proofs and proofs[0] else 1.0))
    return found, [*guarded.verified, *guarded.failed]


def _way(kind: Kind, cut: str, plan: Plan, proved: float = 1.0) -> Way:
    sent = tuple((one.tensor, one.codec) for one in plan.sent)
    return Way(kind, cut, sent, plan.edge_s, plan.sent_bytes, plan.cloud_s, proved)
