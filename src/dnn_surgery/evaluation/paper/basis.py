"""What the experiments need of this machine: a profile of each of the paper's networks, and a jpeg of its picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dnn_surgery.errors import ProfileError
from dnn_surgery.evaluation.paper.published import NETWORKS
from dnn_surgery.evaluation.paper.setups import Basis
from dnn_surgery.evaluation.pictures import fitted_pictures, picture_of
from dnn_surgery.evaluation.strategies import JPEG, PictureCodec, measure_codec
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.reference import load_model
from dnn_surgery.profiling.measure import profile
from dnn_surgery.profiling.profile import Profile


def measure_basis(folder: Path, report: Callable[[str], None]) -> Basis:
    """Profiles from `folder`; one that is missing there is measured here and written to it.

    Raises:
        ProfileError: a file is no profile, or one of another network.
        SourceError: the pictures are not installed.
    """
    profiles: dict[str, Profile] = {}
    jpegs: dict[str, PictureCodec] = {}
    for network in NETWORKS:
        report(f"loading {network}")
        graph = load_model(network)
        profiles[network] = _profile(graph, folder / f"{network}.json", report)
        report(f"measuring a jpeg of the picture of {network}")
        jpegs[network] = measure_codec(JPEG, fitted_pictures(picture_of(graph)))
    return Basis(profiles, jpegs)


def _profile(graph: ModelGraph, path: Path, report: Callable[[str], None]) -> Profile:
    if path.exists():
        found = Profile.load(path)
        if found.fingerprint != graph.fingerprint:
            raise ProfileError(f"{path}: a profile of {found.model}, but not of this {graph.name}")
        return found
    report(f"profiling {graph.name}")
    made = profile(graph)
    made.save(path)
    return made
