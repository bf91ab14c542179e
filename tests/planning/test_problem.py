"""The problem file: what it holds comes back, and whatever is wrong in it is one line that names the place."""

import contextlib
import copy
import json
import math
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dnn_surgery.errors import InfeasibleError, InputError, ProblemError, ProfileError, SurgeryError
from dnn_surgery.planning import CodecCost, Forbidden, Link, Measured, Problem, ProblemLayer, TensorCost, plan
from dnn_surgery.profiling.profile import LayerCost, Profile, TensorSize
from tests.planning.strategies import problems

GOOD: dict[str, Any] = {
    "schema": "dnn-surgery/problem/1",
    "name": "good",
    "outputs": ["b"],
    "layers": [
        {"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 5},
        {
            "name": "a",
            "inputs": ["in"],
            "edge_s": 10,
            "cloud_s": 1,
            "param_bytes": 7,
            "pin": "edge",
            "outputs": [
                {"name": "a:0", "bytes": 25, "codecs": [{"name": "fp16", "bytes": 12, "encode_s": 0.5}]},
                {"name": "a:1", "bytes": 2, "send": False},
            ],
        },
        {"name": "b", "inputs": ["a:0", "a:1"], "edge_s": 1, "cloud_s": 4, "output_bytes": 4},
    ],
    "measured": [{"edge": ["in", "a", "b"], "edge_s": 9, "cloud_s": 0}],
    "forbidden": [{"edge": ["in", "a"], "codecs": {"a:0": "fp16", "a:1": "raw"}}],
}


def changed(*path: Any, value: Any) -> dict[str, Any]:
    document = copy.deepcopy(GOOD)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    if value is ...:
        del place[path[-1]]
    else:
        place[path[-1]] = value
    return document


def test_every_key_is_read() -> None:
    problem = Problem.from_json(json.dumps(GOOD))
    assert problem == Problem(
        name="good",
        outputs=("b",),
        layers=(
            ProblemLayer("in", (), (TensorCost("in", 5),), 0, 0),
            ProblemLayer(
                "a",
                ("in",),
                (TensorCost("a:0", 25, (CodecCost("fp16", 12, 0.5),)), TensorCost("a:1", 2, send=False)),
                10,
                1,
                pin="edge",
                param_bytes=7,
            ),
            ProblemLayer("b", ("a:0", "a:1"), (TensorCost("b", 4),), 1, 4),
        ),
        measured=(Measured(("in", "a", "b"), 9, 0),),
        forbidden=(Forbidden(("in", "a"), (("a:0", "fp16"), ("a:1", "raw"))),),
    )


def test_tiers_and_a_schema_are_optional() -> None:
    layers = [{"name": "in", "inputs": [], "tier_s": [3, 2, 1], "output_bytes": 1}]
    problem = Problem.from_json(json.dumps({"layers": layers}))
    assert problem.layers[0].tier_s == (3, 2, 1)
    assert problem.outputs == ("in",)
    assert problem.tiers == 3


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problems(codecs=True, rules=True, measured=True, layers=6))
def test_written_and_read_again_is_the_same(document: dict[str, Any]) -> None:
    problem = Problem.from_json(json.dumps(document))
    assert Problem.from_json(problem.to_json()) == problem


NAMED: list[tuple[tuple[Any, ...], Any, str]] = [
    (("layer",), [], r"unknown key 'layer'; did you mean 'layers'\?"),
    (("schema",), "dnn-surgery/plan/1", "schema is 'dnn-surgery/plan/1'"),
    (("schema",), {}, r"schema is \{\}"),
    (("layers",), ..., "no 'layers'"),
    (("layers",), [], "no layers"),
    (("layers",), {}, "layers is an object, expected a list"),
    (("layers", 1), 3, r"layers\[1\] is a number, expected an object"),
    (("layers", 1, "name"), ..., r"layers\[1\] has no 'name'"),
    (("layers", 1, "name"), "", "a layer's name is empty"),
    (("layers", 1, "name"), "a\n", "cannot be printed"),
    (("layers", 1, "name"), "in", "two layers are called 'in'"),
    (("layers", 1, "inputs"), ..., r"layers\[1\] \('a'\) has no 'inputs'"),
    (("layers", 1, "inputs"), "in", "inputs is a string, expected a list"),
    (("layers", 1, "inputs"), [1], r"inputs\[0\] is a number"),
    (("layers", 1, "inputs"), ["im"], "layer 'a' reads an unknown tensor 'im'; did you mean 'in'"),
    (("layers", 2, "inputs"), ["a"], "'a', which is a layer; the tensors it makes are 'a:0', 'a:1'"),
    (("layers", 1, "inputs"), ["b"], "the layers form a cycle: "),
    (("layers", 1, "inputs"), ["a:0"], "the layers form a cycle: a needs a"),
    (("layers", 1, "edge_s"), ..., r"layers\[1\] \('a'\) has no 'edge_s'"),
    (("layers", 1, "edge_s"), -1, r"layers\[1\] \('a'\).edge_s is -1"),
    (("layers", 1, "cloud_s"), math.nan, r"layers\[1\] \('a'\).cloud_s is nan"),
    (("layers", 1, "cloud_s"), math.inf, r"layers\[1\] \('a'\).cloud_s is inf"),
    (("layers", 1, "cloud_s"), 10**400, r"layers\[1\] \('a'\).cloud_s is too large"),
    (("layers", 1, "cloud_s"), 1e19, r"layer 'a': cloud_s is more than 1e\+18"),
    (("layers", 1, "cloud_s"), "1", "cloud_s is a string, expected a number"),
    (("layers", 1, "cloud_s"), True, "cloud_s is true or false, expected a number"),
    (("layers", 1, "edge_S"), 1, r"layers\[1\] \('a'\) has an unknown key 'edge_S'; did you mean 'edge_s'"),
    (("layers", 1, "tier_s"), [1, 2], "has tier_s and edge_s"),
    (("layers", 1, "output_bytes"), 1, "has outputs and output_bytes"),
    (("layers", 1, "pin"), "server", r"layers\[1\] \('a'\).pin is 'server'"),
    (("layers", 0, "pin"), "cloud", "layer 'in' is an input"),
    (("layers", 0, "send"), 0, "send is a number, expected true or false"),
    (("layers", 0, "output_bytes"), ..., r"layers\[0\] \('in'\) has no 'output_bytes'"),
    (("layers", 0, "output_bytes"), -5, "output_bytes is -5"),
    (("layers", 0, "inputs"), ["b"], "no layer is an input"),
    (("layers", 0, "codecs"), [], "codecs is empty"),
    (("layers", 0, "codecs"), [{"name": "x"}], r"codecs\[0\] has no 'bytes'"),
    (("layers", 0, "codecs"), [{"name": "x", "bytes": 1, "encode_s": -1}], r"codecs\[0\].encode_s is -1"),
    (("layers", 0, "codecs"), [{"name": "x", "bytes": 1}] * 2, "two codecs called 'x'"),
    (("layers", 0, "param_bytes"), [], "param_bytes is a list"),
    (("layers", 1, "outputs"), [], "layer 'a' makes no tensor"),
    (("layers", 1, "outputs", 0, "name"), "in", "tensor 'in' is made twice, by 'in' and 'a'"),
    (("layers", 1, "outputs", 0, "bytes"), None, r"outputs\[0\].bytes is null"),
    (("outputs",), [], "no outputs"),
    (("outputs",), ["c"], "outputs name an unknown tensor 'c'"),
    (("outputs",), ["b", "b"], "outputs name 'b' twice"),
    (("measured", 0, "edge"), ["b"], r"measured\[0\] is no partition: 'b' needs 'a'"),
    (("measured", 0, "edge"), ["in", "x"], r"measured\[0\] names an unknown layer 'x'"),
    (("measured", 0, "edge_s"), -1, r"measured\[0\].edge_s is -1"),
    (("forbidden", 0, "edge"), ["b"], r"forbidden\[0\] is no partition: 'b' needs 'a'"),
    (("forbidden", 0, "codecs", "a:0"), ..., r"forbidden\[0\] names no codec for 'a:0', which this partition sends"),
    (("forbidden", 0, "codecs", "in"), "raw", r"names a codec for 'in', which this partition does not send"),
    (("forbidden", 0, "codecs"), ["a:0"], r"forbidden\[0\].codecs is not an object"),
    (("forbidden", 0, "codec"), {}, "unknown key 'codec'; did you mean 'codecs'"),
    (("measured",), [{"edge": ["in"], "edge_s": 1, "cloud_s": 1}, {"edge": [], "edge_s": 1, "cloud_s": 1}], "two rows"),
]


@pytest.mark.parametrize(("path", "value", "message"), NAMED, ids=[message for _, _, message in NAMED])
def test_whatever_is_wrong_is_named(path: tuple[Any, ...], value: Any, message: str) -> None:
    with pytest.raises(ProblemError, match=message) as caught:
        Problem.from_json(json.dumps(changed(*path, value=value)), where="bad.json")
    assert str(caught.value).startswith("bad.json: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "null", "[" * 100_000, '{"a": 1, "a": 2}', '{"layers": NaN}', "1" * 5000]
)
def test_what_is_no_problem_file_at_all(text: str) -> None:
    with pytest.raises(ProblemError):
        Problem.from_json(text)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.floats()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["in", "a", "b", "edge"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in places(child, (*path, key)))]


@settings(max_examples=600, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.tuples(st.sampled_from(places(GOOD)[1:]), JSON | st.just(...)), min_size=1, max_size=3))
def test_nothing_but_our_own_errors_leaves_the_loader(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document: Any = copy.deepcopy(GOOD)
    for path, value in changes:
        place = document
        try:
            for key in path[:-1]:
                place = place[key]
            if value is ...:
                del place[path[-1]]
            else:
                place[path[-1]] = value
        except (KeyError, IndexError, TypeError):
            continue  # an earlier change took this place away
    try:
        problem = Problem.from_json(json.dumps(document))
        plan(problem, Link(1e6, 0.04, 1e7))
    except SurgeryError as error:
        assert "\n" not in str(error)


@settings(max_examples=300, deadline=None)
@given(st.text())
def test_any_text_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(ProblemError):
        Problem.from_json(text)


@pytest.mark.parametrize("bandwidth", [0, -1, math.nan, math.inf, 1e-9])
def test_bandwidths_that_make_no_sense(bandwidth: float) -> None:
    with pytest.raises(InputError, match="bandwidth must be"):
        Link(bandwidth)
    with pytest.raises(InputError, match="download bandwidth must be"):
        Link(1, download_bps=bandwidth)


@pytest.mark.parametrize("rtt", [-1, math.nan, math.inf])
def test_round_trips_that_make_no_sense(rtt: float) -> None:
    with pytest.raises(InputError, match="round-trip time"):
        Link(1, rtt_s=rtt)


def test_pins_that_make_no_sense() -> None:
    problem = Problem.from_json(json.dumps(GOOD))
    with pytest.raises(ProblemError, match="no layer 'c'"):
        problem.with_pins(edge=["c"])
    with pytest.raises(ProblemError, match="both sides"):
        problem.with_pins(edge=["b"], cloud=["b"])
    with pytest.raises(ProblemError, match="is an input"):
        problem.with_pins(cloud=["in"])


def test_scoring_says_what_a_partition_breaks() -> None:
    problem = Problem.from_json(json.dumps(GOOD))
    with pytest.raises(ProblemError, match="'b' is at the edge but needs 'a' from the cloud"):
        problem.cost(edge=["in", "b"], link=Link(8))
    with pytest.raises(InfeasibleError, match="sends 'a:1', which may not leave"):
        problem.cost(edge=["in", "a"], link=Link(8))
    with pytest.raises(InfeasibleError, match="'a' belongs to the edge"):
        problem.cost(edge=["in"], link=Link(8))
    with pytest.raises(ProblemError, match="no layer 'q'"):
        problem.cost(edge=["q"], link=Link(8))
    free = problem.with_codecs({"in": [CodecCost("raw", 5), CodecCost("jpeg", 1, 2, 3)]})
    with pytest.raises(ProblemError, match="tensor 'in' is not sent"):
        free.cost(edge=["in", "a", "b"], link=Link(8), codecs={"in": "jpeg"})


def test_named_codecs_are_scored() -> None:
    layers = (
        ProblemLayer("in", (), (TensorCost("in", 5, (CodecCost("raw", 5), CodecCost("jpeg", 1, 2, 3))),), 0, 0),
        ProblemLayer("a", ("in",), (TensorCost("a", 1),), 1, 1),
    )
    problem = Problem("codecs", layers, ("a",))
    assert problem.cost(edge=[], link=Link(8)).latency_s == 5 + 1
    assert problem.cost(edge=[], link=Link(8), codecs={"in": "jpeg"}).latency_s == 2 + 1 + 3 + 1
    assert problem.cost(edge=[], link=Link(1)).sent[0].codec == "jpeg"
    with pytest.raises(ProblemError, match="no codec 'jpg', only raw, jpeg; did you mean 'jpeg'"):
        problem.cost(edge=[], link=Link(8), codecs={"in": "jpg"})


def test_a_later_measured_row_replaces_an_earlier_one_of_the_same_partition() -> None:
    problem = Problem.from_json(json.dumps(GOOD))
    again = problem.with_measured([Measured(("a", "b"), 3, 2)])
    assert again.measured == (Measured(("a", "b"), 3, 2),)
    assert again.cost(edge=["in", "a", "b"], link=Link(8)).latency_s == 3 + 2
    with pytest.raises(ProblemError, match="unknown layer 'q'"):
        problem.with_measured([Measured(("q",), 1, 1)])


def profile(seconds: float, fingerprint: str = "f" * 64) -> Profile:
    layers = (
        LayerCost("in", (), (TensorSize("in", 10),), 0.0, 0.0, 0),
        LayerCost("a", ("in",), (TensorSize("a:0", 3), TensorSize("a:1", 4)), seconds, 0.0, 8),
        LayerCost("b", ("a:0", "a:1"), (TensorSize("b", 1),), seconds, 0.0, 0),
    )
    return Profile("m", fingerprint, layers, ("b",), 2 * seconds, 0.0, 3, 1)


def test_two_profiles_make_a_problem() -> None:
    problem = Problem.from_profiles(profile(0.5), profile(0.1), edge_slowdown=8)
    assert [layer.edge_s for layer in problem.layers] == [0, 4, 4]
    assert [layer.cloud_s for layer in problem.layers] == [0, 0.1, 0.1]
    assert problem.layers[1].param_bytes == 8
    assert problem.outputs == ("b",)
    assert {sent.tensor for sent in problem.cost(edge=["a"], link=Link(8)).sent} == {"a:0", "a:1"}


def test_profiles_that_do_not_fit() -> None:
    with pytest.raises(ProfileError, match="different models"):
        Problem.from_profiles(profile(1), profile(1, "0" * 64))
    with pytest.raises(InputError, match="slow-down"):
        Problem.from_profiles(profile(1), profile(1), edge_slowdown=0)
    with pytest.raises(ProfileError, match="seconds of layer 'a' are no number"):
        Problem.from_profiles(profile("x"), profile(1))  # type: ignore[arg-type]


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(places(json.loads(profile(1.5).to_json()))[1:]), JSON), min_size=1, max_size=2)
)
def test_nothing_but_our_own_errors_leaves_two_profiles(changes: list[tuple[tuple[Any, ...], Any]]) -> None:
    document: Any = json.loads(profile(1.5).to_json())
    for path, value in changes:
        place = document
        with contextlib.suppress(KeyError, IndexError, TypeError):
            for key in path[:-1]:
                place = place[key]
            place[path[-1]] = value
    with contextlib.suppress(SurgeryError):
        changed_profile = Profile.from_json(json.dumps(document))
        plan(Problem.from_profiles(changed_profile, changed_profile, 8.0), Link(1e6))


@pytest.mark.parametrize("value", [-1, math.nan, math.inf, -math.inf, 10**400, 1e19])
def test_numbers_of_records_made_in_python_are_checked_too(value: float) -> None:
    layer = ProblemLayer("in", (), (TensorCost("in", 1),), 0, 0)
    for wrong in (
        replace(layer, edge_s=value),
        replace(layer, param_bytes=value),
        replace(layer, outputs=(TensorCost("in", value),)),
        replace(layer, outputs=(TensorCost("in", 1, (CodecCost("raw", 1, value),)),)),
    ):
        with pytest.raises(ProblemError, match="'in'"):
            Problem("p", (wrong,), ("in",))
