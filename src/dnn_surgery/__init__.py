"""Run a neural network partly on a device and partly in the cloud, at the cut that is best for the link.

    graph = load_model("resnet18")
    problem = Problem.from_profiles(profile(graph), Profile.load("server.json"))
    best = plan(problem, Link(bandwidth_bps=5.85e6, rtt_s=0.04))
    head, tail = split(graph, best)

Names are imported when they are used, so that planning needs no PyTorch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dnn_surgery.calibration.calibrate import calibrate
    from dnn_surgery.calibration.verification import verify
    from dnn_surgery.cloud.server import CloudServer
    from dnn_surgery.cloud.server import serve as serve
    from dnn_surgery.edge.connection import Connection
    from dnn_surgery.edge.connection import connect as connect
    from dnn_surgery.errors import SurgeryError
    from dnn_surgery.execution.engines import make_engine
    from dnn_surgery.execution.split import Head, Tail, split
    from dnn_surgery.model.graph import Layer, ModelGraph, Tensor
    from dnn_surgery.model.postprocess import Postprocess
    from dnn_surgery.model.preprocess import Preprocess
    from dnn_surgery.model.reference import load_model
    from dnn_surgery.model.tracing import trace
    from dnn_surgery.planning import Frontier, Limits, Link, Plan, Power, Problem, frontier, plan, plan_tiers
    from dnn_surgery.profiling.measure import profile
    from dnn_surgery.profiling.profile import Profile

_HOME = {
    "CloudServer": "cloud.server",
    "Connection": "edge.connection",
    "Frontier": "planning",
    "Head": "execution.split",
    "Layer": "model.graph",
    "Limits": "planning",
    "Link": "planning",
    "ModelGraph": "model.graph",
    "Plan": "planning",
    "Postprocess": "model.postprocess",
    "Power": "planning",
    "Preprocess": "model.preprocess",
    "Problem": "planning",
    "Profile": "profiling.profile",
    "SurgeryError": "errors",
    "Tail": "execution.split",
    "Tensor": "model.graph",
    "calibrate": "calibration.calibrate",
    "connect": "edge.connection",
    "frontier": "planning",
    "load_model": "model.reference",
    "make_engine": "execution.engines",
    "plan": "planning",
    "plan_tiers": "planning",
    "profile": "profiling.measure",
    "serve": "cloud.server",
    "split": "execution.split",
    "trace": "model.tracing",
    "verify": "calibration.verification",
}

__all__ = [
    "CloudServer",
    "Connection",
    "Frontier",
    "Head",
    "Layer",
    "Limits",
    "Link",
    "ModelGraph",
    "Plan",
    "Postprocess",
    "Power",
    "Preprocess",
    "Problem",
    "Profile",
    "SurgeryError",
    "Tail",
    "Tensor",
    "calibrate",
    "connect",
    "frontier",
    "load_model",
    "make_engine",
    "plan",
    "plan_tiers",
    "profile",
    "serve",
    "split",
    "trace",
    "verify",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
