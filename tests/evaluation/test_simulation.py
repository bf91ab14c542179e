import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dnn_surgery.edge.controller import Controller, ControllerSettings, Loads
from dnn_surgery.errors import InputError
from dnn_surgery.evaluation.policies import Fixed, Online, Oracle, Replanner, Smoothed
from dnn_surgery.evaluation.scenario import Choice, ConstantUplink, Overload, Policy, Run, Scenario, Status
from dnn_surgery.evaluation.simulation import simulate
from dnn_surgery.network.estimator import LinkEstimator
from dnn_surgery.network.traces import SteppedTrace
from dnn_surgery.planning import Goal, Link, Plan, Problem, frontier
from dnn_surgery.planning.algorithms import plan_for
from tests.evaluation.problems import TINY

PROBLEM = Problem.from_json(TINY)
TABLE = frontier(PROBLEM)
STAY, DEEP, UPLOAD = (PROBLEM.cost(edge=edge, link=Link(1e6)) for edge in (("in", "a", "b"), ("in", "a"), ("in",)))


class Scattered(Fixed):
    """Takes any plan, and probes now and then."""

    def __init__(self, seed: int) -> None:
        super().__init__(STAY)
        self._random = random.Random(seed)

    def choose(self, status: Status) -> Choice:
        return Choice(self._random.choice([STAY, DEEP, UPLOAD]), self._random.random() < 0.2)


def scenario(**changes: object) -> Scenario:
    usual: dict[str, object] = {
        "problem": PROBLEM, "link": ConstantUplink(16_000.0), "rtt_s": 0.5, "rate_hz": 0.02, "frames": 10,
        "deadline_s": 20.0,
    }  # fmt: skip
    return Scenario(**{**usual, **changes})  # type: ignore[arg-type]


def random_trace(seed: int) -> SteppedTrace:
    drawn = random.Random(seed)
    rates = [drawn.choice([0.0, 1e3, 4e3, 16e3, 64e3]) * drawn.random() for _ in range(60)]
    return SteppedTrace(np.arange(0.0, 600.0, 10.0), np.array([*rates[:-1], 16e3]), 600.0)


def policies(of: Scenario) -> dict[str, Policy]:
    return {
        "stay": Fixed(STAY),
        "deep": Fixed(DEEP),
        "upload": Fixed(UPLOAD),
        "controller": Online(Controller(TABLE, deadline_s=of.deadline_s, rng=random.Random(0))),
        "replanner": Replanner(lambda link, goal: plan_for(PROBLEM, link, goal), STAY, goal=Goal()),
        "smoothed": Smoothed(TABLE),
        "scattered": Scattered(of.seed),
    }


@pytest.mark.parametrize(("plan", "seconds"), [(STAY, 11.0), (DEEP, 3 + 1 + 0.5 + 1), (UPLOAD, 3 + 0.5 + 1.5)])
def test_frames_far_apart_take_what_the_plan_says(plan: Plan, seconds: float) -> None:
    run = simulate(scenario(), Fixed(plan))
    assert [frame.latency_s for frame in run.frames] == pytest.approx([seconds] * 10)
    assert [frame.index for frame in run.frames] == list(range(10))


@pytest.mark.parametrize("plan", [STAY, DEEP, UPLOAD])
def test_a_source_that_waits_is_paced_by_the_slowest_stage(plan: Plan) -> None:
    """Constant rate: in the long run a frame a bottleneck, exactly."""
    run = simulate(scenario(rate_hz=100.0, overload="block", frames=30, in_flight=4, deadline_s=1e6), Fixed(plan))
    costs = {"edge": plan.edge_s, "link": plan.sent_bytes / 2000, "cloud": plan.cloud_s}
    done = np.diff([frame.done_s for frame in run.frames])
    assert done[5:] == pytest.approx([max(costs.values())] * len(done[5:]))
    assert len(run.answered) == 30


def test_frames_that_find_the_queue_full_are_skipped_and_the_rest_keeps_its_pace() -> None:
    run = simulate(scenario(rate_hz=1.0, frames=100), Fixed(STAY))
    answered = run.answered
    assert len(run.frames) == 100
    assert len(answered) == pytest.approx(100 / 11, abs=2)
    assert np.diff([frame.done_s for frame in answered]) == pytest.approx([11.0] * (len(answered) - 1))


def test_a_reply_that_does_not_come_is_made_up_for_by_the_edge() -> None:
    run = simulate(scenario(link=ConstantUplink(10.0), deadline_s=7.0), Fixed(DEEP))
    assert {frame.finished_by for frame in run.frames} == {"local"}
    assert [frame.latency_s for frame in run.frames] == pytest.approx([3 + 7 + 8.0] * 10)


def test_loads_multiply_the_seconds_of_a_side() -> None:
    run = simulate(scenario(loads=lambda _: Loads(edge=2.0, cloud=3.0)), Fixed(DEEP))
    assert run.frames[0].latency_s == pytest.approx(2 * 3 + 1 + 0.5 + 3 * 1)


def test_an_idle_link_starts_slowly() -> None:
    assert simulate(scenario(startup_s=0.3), Fixed(DEEP)).frames[3].latency_s == pytest.approx(5.8)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["skip", "block"]),
    st.floats(0.01, 2.0),
    st.integers(1, 3),
    st.integers(1, 4),
    st.floats(0.5, 30),
    st.sampled_from(["stay", "deep", "upload", "controller", "replanner", "smoothed", "scattered"]),
)
def test_every_frame_has_one_end_in_order(  # noqa: PLR0917
    seed: int, overload: Overload, rate_hz: float, queue: int, in_flight: int, deadline_s: float, name: str
) -> None:
    of = scenario(
        link=random_trace(seed), rate_hz=rate_hz, frames=40, queue=queue, in_flight=in_flight, overload=overload,
        deadline_s=deadline_s, jitter=0.2, seed=seed,
    )  # fmt: skip
    run = simulate(of, policies(of)[name])
    assert [frame.index for frame in run.frames] == list(range(40))
    assert all(frame.finished_by is not None for frame in run.frames)
    if overload == "block":
        assert len(run.answered) == 40
    done = [frame.done_s for frame in run.answered]
    assert done == sorted(done)
    assert all(frame.latency_s > 0 for frame in run.answered)
    assert all(frame.begun_s >= frame.arrived_s for frame in run.answered)
    sendings = [frame.sending_s for frame in run.frames if frame.finished_by == "cloud" and frame.sent_bytes]
    assert sendings == sorted(set(sendings))  # one tensor at a time, in order


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 12.0))
def test_no_policy_beats_the_oracle_where_frames_do_not_overlap(seed: int, deadline_s: float) -> None:
    of = scenario(link=random_trace(seed), deadline_s=deadline_s, frames=25)

    def mean_s(policy: Policy) -> float:
        return float(np.mean([frame.latency_s for frame in simulate(of, policy).frames]))

    least_s = mean_s(Oracle(of, TABLE))
    for name, policy in policies(of).items():
        assert least_s <= mean_s(policy) + 1e-9, name


def test_the_same_seeds_give_the_same_run() -> None:
    def run() -> Run:
        of = scenario(link=random_trace(7), jitter=0.3, frames=60)
        return simulate(of, policies(of)["controller"])

    assert [frame.done_s for frame in run().frames] == [frame.done_s for frame in run().frames]


def test_the_controller_follows_a_step_and_comes_back() -> None:
    trace = SteppedTrace(np.array([0.0, 1000.0, 2000.0]), np.array([64e3, 100.0, 64e3]), 3000.0)
    of = scenario(link=trace, frames=56, deadline_s=11.0)
    run = simulate(of, Online(Controller(TABLE, deadline_s=11.0), LinkEstimator()))
    by_second: dict[int, list[tuple[str, ...]]] = {0: [], 1: [], 2: []}
    for frame in run.frames:
        assert frame.plan is not None
        by_second[int(frame.arrived_s // 1000)].append(frame.plan.edge)
    assert by_second[0].count(("in",)) >= len(by_second[0]) - 1
    assert by_second[1].count(("in", "a", "b")) >= len(by_second[1]) - 3
    assert by_second[2].count(("in",)) >= len(by_second[2]) - 3


def test_a_ping_before_each_frame_shows_an_outage_in_time() -> None:
    """Frames come 50 s apart, from second 14 on, and each fourth meets a link that is silent for 30 s."""
    ends = [edge_s for number in range(1, 12) for edge_s in (200.0 * number - 5, 200.0 * number + 25)]
    trace = SteppedTrace(np.array([0.0, *ends]), np.array([64e3, *[0.0, 64e3] * 11]), 2400.0)
    of = scenario(link=trace, frames=40, deadline_s=11.0)

    def mean_s(look_s: float) -> float:
        controller = Controller(TABLE, deadline_s=11.0, settings=ControllerSettings(look_s=look_s))
        return float(np.mean([frame.latency_s for frame in simulate(of, Online(controller)).frames]))

    assert mean_s(10.0) < 0.9 * mean_s(1e6)


@pytest.mark.parametrize(
    "changes", [{"rate_hz": 0.0}, {"deadline_s": 0.0}, {"queue": 0}, {"in_flight": 0}, {"rtt_s": -1}]
)
def test_scenarios_that_make_no_sense_are_refused(changes: dict[str, float]) -> None:
    with pytest.raises(InputError):
        scenario(**changes)
