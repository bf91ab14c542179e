"""The follower with a clock that stands still: what it chooses, learns and tells."""

from __future__ import annotations

import numpy as np
import pytest

from dnn_surgery.edge.budget import DataBudget
from dnn_surgery.edge.controller import Controller
from dnn_surgery.edge.events import Event
from dnn_surgery.edge.follow import Follower
from dnn_surgery.edge.frame import NamedInputs, Taken
from dnn_surgery.edge.link_watch import LinkWatch
from dnn_surgery.edge.result import FrameTimes
from dnn_surgery.edge.way import Way, Ways
from dnn_surgery.errors import NotReadyError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.planning import Link, Problem, ProblemLayer, frontier, plan
from dnn_surgery.protocol.pending import InferenceReply

FAST, SLOW = Link(50e6, 0.01), Link(0.05e6, 0.01)


class Setting:
    """A follower of the small network, whose whole takes 100 ms here and none in the cloud."""

    def __init__(self, engine: Engine, *, budget: DataBudget | None = None, memory_bytes: float | None = None) -> None:
        self.now_s, self.events = 100.0, list[Event]()
        graph = engine.graph
        layers = [
            ProblemLayer(
                name=layer.name,
                inputs=layer.inputs,
                edge_s=0.0 if not layer.inputs else 0.1 / len(graph.layers),
                cloud_s=1e-3 if layer.inputs else 0.0,
                outputs=problem_layer.outputs,
            )
            for layer, problem_layer in zip(graph.layers, problem_of(engine).layers, strict=True)
        ]
        self.problem = Problem(name=graph.name, layers=tuple(layers), outputs=graph.outputs)
        self.watch = LinkWatch(clock=lambda: self.now_s, on_event=self.events.append)
        self.ways = Ways(engine, memory_bytes=memory_bytes)
        self.first = plan(self.problem, FAST)
        self.follower = Follower(
            graph,
            Controller(frontier(self.problem)),
            self.ways,
            self.watch,
            self.first,
            budget=budget,
            on_event=self.events.append,
            clock=lambda: self.now_s,
        )

    def believe(self, link: Link) -> None:
        for _ in range(12):
            self.now_s += 1.0
            self.watch.assume(link.bandwidth_bps, link.rtt_s)

    def settle(self) -> Way:
        """What it chooses once the background has built what it wants."""
        for _ in range(3):
            self.now_s += 10.0
            way = self.follower.choose(None)
            self.ways.wait()
        return way


def problem_of(engine: Engine) -> Problem:
    import dnn_surgery

    measured = dnn_surgery.profile(engine.graph, engine=engine, repeats=1, warmup=0)
    return Problem.from_profiles(measured, measured)


@pytest.fixture
def setting(engine: Engine) -> Setting:
    return Setting(engine)


def test_the_way_changes_with_the_link_and_says_why(setting: Setting) -> None:
    setting.believe(FAST)
    sent = setting.settle()
    assert sent.sends
    assert sent.deadline_s >= 1.0
    setting.believe(SLOW)
    assert not setting.settle().sends
    setting.believe(FAST)
    assert setting.settle().sends
    kinds = [event.kind for event in setting.events]
    assert kinds == ["cut", "cut"]
    assert [event.fields["cut"] for event in setting.events] == ["edge", sent.parts.name]
    assert all("better" in event.text for event in setting.events)


def test_only_what_is_built_is_taken_and_the_rest_is_built_beside_the_frames(engine: Engine) -> None:
    setting = Setting(engine)
    setting.believe(FAST)
    middle = setting.problem.cost(edge=engine.graph.edge_layers("stem.0"), link=FAST)
    assert not setting.ways.is_ready(middle.edge)
    setting.ways.wait()
    assert setting.ways.is_ready(middle.edge)
    assert setting.ways.get(middle.edge).edge == middle.edge


def test_while_the_cloud_is_lost_all_stays_here_and_says_why(setting: Setting) -> None:
    setting.believe(FAST)
    way = setting.follower.choose("no server answers")
    assert not way.sends
    assert way.parts.name == "edge"
    assert "no server answers" in str(way.obstacle)


def test_a_cut_that_the_server_cannot_run_yet_is_not_asked_for_again_at_once(setting: Setting) -> None:
    setting.believe(FAST)
    way = setting.settle()
    taken = taken_on(way, setting.now_s)
    taken.error = NotReadyError("being compiled")
    setting.follower.finished(taken)
    assert setting.follower.choose(None).parts is not way.parts
    setting.now_s += 30.0
    setting.believe(FAST)
    assert setting.settle().parts is way.parts


def test_a_busy_cloud_is_found_busy(setting: Setting) -> None:
    setting.believe(FAST)
    way = setting.settle()
    assert way.predicted is not None
    cloud_s = way.predicted.cloud_s
    for _ in range(5):
        setting.now_s += 1.0
        setting.follower.finished(taken_on(way, setting.now_s, queue_s=20 * cloud_s, compute_s=10 * cloud_s))
    assert setting.follower.loads.cloud == pytest.approx(30.0, rel=0.01)


def test_the_queue_behind_our_own_frames_is_not_the_clouds_load(setting: Setting) -> None:
    setting.believe(FAST)
    way = setting.settle()
    assert way.predicted is not None
    for _ in range(5):
        # The reply to the frame before came 90 ms after this one had arrived: so long it waited for that one.
        taken = taken_on(way, setting.now_s, queue_s=0.09, compute_s=way.predicted.cloud_s)
        setting.follower.finished(taken)
        setting.now_s += 0.01
    assert setting.follower.loads.cloud == pytest.approx(1.0, rel=0.01)


def test_a_slow_edge_is_found_slow(setting: Setting) -> None:
    setting.believe(SLOW)
    way = setting.settle()
    assert way.predicted is not None
    for _ in range(5):
        taken = taken_on(way, setting.now_s)
        taken.times.edge_end_s = taken.times.edge_start_s + 4 * way.predicted.edge_s
        setting.follower.finished(taken)
    assert setting.follower.loads.edge == pytest.approx(4.0, rel=0.01)


def test_when_the_data_budget_is_used_up_all_stays_here_until_the_next_period(engine: Engine) -> None:
    setting = Setting(engine, budget=DataBudget(100_000, 1000.0))
    setting.believe(FAST)
    assert setting.settle().sends
    setting.watch.transferred(99_999, 0.03, idle_s=0.0)
    way = setting.follower.choose(None)
    assert not way.sends
    assert way.obstacle == "the data budget is used up"
    assert setting.follower.budget_left_bytes == 1
    setting.now_s += 1000.0
    setting.believe(FAST)
    assert setting.settle().sends
    budgets = [event.text for event in setting.events if event.kind == "budget"]
    assert len(budgets) == 2
    assert "used up" in budgets[0]


def test_without_room_for_the_whole_model_a_lost_cloud_is_said_and_the_frame_fails(engine: Engine) -> None:
    setting = Setting(engine, memory_bytes=1.0)
    assert not setting.ways.can_finish
    way = setting.follower.choose("no server answers")
    assert way.parts.tail is None
    assert way.obstacle is not None


def taken_on(way: Way, now_s: float, *, queue_s: float = 0.0, compute_s: float = 1e-3) -> Taken:
    taken = Taken(0, NamedInputs("a", {}), way, FrameTimes(taken_s=now_s, edge_start_s=now_s, edge_end_s=now_s))
    reply = InferenceReply({"x": np.zeros(1)}, 0.1, queue_s, compute_s, 1.0, 100, 100)
    taken.reply, taken.times.received_s, taken.times.replied_s = reply, now_s, now_s + 0.1
    return taken
