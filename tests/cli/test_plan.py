"""`dnn-surgery plan`: a real process reads real files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.planning.conftest import DATA
from tests.planning.test_problem import profile

PAPER = str(DATA / "paper-tiny-yolov2.json")


def dnn_surgery(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dnn_surgery", "plan", *arguments]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, check=False, timeout=60)


def test_json_of_a_problem_file() -> None:
    done = dnn_surgery(PAPER, "--bandwidth", "18Mbit/s", "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["schema"] == "dnn-surgery/plan/1"
    assert found["sent"][0]["tensor"] == "max3"
    assert found["latency_s"] == pytest.approx(0.567356)
    assert found["optimal"] is True


def test_the_readable_form_says_why_and_until_when() -> None:
    done = dnn_surgery(PAPER, "--bandwidth", "4Mbit/s", "--rtt", "40ms")
    assert done.returncode == 0, done.stderr
    for part in (
        "Split after max5: 55.3 % less latency than staying local and 63.1 % less latency than uploading the input.",
        "82.9 kB",
        "latency 810 ms",
        "proved optimal (exact)",
        "runner-up    split after max4  883 ms  +9.03 %",
        "569 kbit/s to 7.16 Mbit/s   split after max5  ◀ here",
        "below 569 kbit/s            stay local",
        "1.72 to 3.35 times  split after max4",
    ):
        assert part in done.stdout


@pytest.mark.parametrize("algorithm", ["dsl", "dsh", "dads", "neurosurgeon", "edge-only", "cloud-only"])
def test_every_algorithm_can_be_asked(algorithm: str) -> None:
    done = dnn_surgery(PAPER, "--bandwidth", "4Mbit/s", "--rate", "1", "--algorithm", algorithm)
    assert done.returncode == 0, done.stderr
    assert f"({algorithm})" in done.stdout


def test_an_algorithm_of_ones_own_lies_where_one_is(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("def first(problem, link, goal):\n    return [problem.layers[0].name]\n")
    command = [str(Path(sys.executable).with_name("dnn-surgery")), "plan", PAPER, "--bandwidth", "4Mbit/s", "--json"]
    command += ["--algorithm", "mine:first"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["edge"] == ["input"]


def test_what_cannot_run_is_said() -> None:
    done = dnn_surgery(PAPER, "--bandwidth", "4Mbit/s", "--algorithm", "dsl-paper")
    assert "No partition that can run." in done.stdout
    assert "input is an input of the model, yet it is not at the edge" in done.stdout


def test_a_rate_a_budget_and_limits() -> None:
    goal = ("--bandwidth", "4Mbit/s", "--rate", "0.5", "--max-data", "120GB/month", "--memory", "1GB", "--json")
    found = json.loads(dnn_surgery(PAPER, *goal).stdout)
    assert found["mode"] == "light"
    assert sum(tensor["bytes"] for tensor in found["sent"]) <= 120e9 / (30 * 86400 * 0.5)
    done = dnn_surgery(PAPER, "--bandwidth", "4Mbit/s", "--deadline", "100ms")
    assert done.returncode == 4
    assert done.stderr == (
        "dnn-surgery: error: no partition keeps the deadline of 100 ms: the least possible is 770 ms\n"
    )
    energy = dnn_surgery(PAPER, "--bandwidth", "4Mbit/s", "--objective", "energy", "--power", "3.5,1.2")
    assert " J" in energy.stdout


def test_three_tiers(tmp_path: Path) -> None:
    document = json.loads(Path(PAPER).read_text(encoding="utf-8"))
    for layer in document["layers"]:
        layer["tier_s"] = [layer["edge_s"], layer.pop("edge_s") / 4, layer.pop("cloud_s")]
    path = tmp_path / "tiers.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    links = ("--bandwidth", "20Mbit/s", "--bandwidth", "4Mbit/s", "--rtt", "2ms", "--rtt", "40ms")
    found = json.loads(dnn_surgery(str(path), *links, "--json").stdout)
    assert found["schema"] == "dnn-surgery/tier-plan/1"
    assert [names[-1] for names in found["tiers"]] == ["max3", "max5", "output"]
    refused = dnn_surgery(str(path), *links, "--objective", "throughput")
    assert refused.stderr.startswith("dnn-surgery: error: several tiers are planned for least latency alone")
    shown = dnn_surgery(str(path), *links).stdout
    assert "proved optimal" in shown
    assert "tier 1" in shown


def test_a_problem_from_standard_input() -> None:
    text = Path(PAPER).read_text(encoding="utf-8")
    assert json.loads(dnn_surgery("-", "--bandwidth", "4Mbit/s", "--json", stdin=text).stdout)["edge"][-1] == "max5"


def test_a_cut_is_forced() -> None:
    found = json.loads(dnn_surgery(PAPER, "--bandwidth", "4Mbit/s", "--cut", "max2", "--json").stdout)
    assert found["edge"][-1] == "max2"
    assert found["optimal"] is False


def test_two_profiles_or_one_and_a_slow_down(tmp_path: Path) -> None:
    edge, cloud = tmp_path / "edge.json", tmp_path / "cloud.json"
    profile(0.8).save(edge)
    profile(0.1).save(cloud)
    two = dnn_surgery("--edge", str(edge), "--cloud", str(cloud), "--bandwidth", "8kbit", "--json")
    one = dnn_surgery(str(cloud), "--edge-slowdown", "8", "--bandwidth", "8kbit", "--json")
    assert json.loads(two.stdout)["latency_s"] == pytest.approx(0.21)
    assert json.loads(one.stdout) == json.loads(two.stdout)


def test_a_problem_or_profiles_load_no_engine(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    profile(0.8).save(path)
    code = (
        "import sys; from dnn_surgery.cli.main import main;"
        f"main(['plan', {PAPER!r}, '--bandwidth', '4Mbit/s']);"
        f"main(['plan', '--edge', {str(path)!r}, '--bandwidth', '4Mbit/s']);"
        "heavy = {'torch', 'onnx', 'onnxruntime', 'grpc'} & set(sys.modules); assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        ((PAPER, "--bandwidth", "fast"), "cannot read 'fast' as a bandwidth", 2),
        ((PAPER, "--bandwidth", "0"), "bandwidth must be positive", 2),
        ((PAPER, "--bandwidth=-3Mbit/s"), "bandwidth must be positive", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--rtt", "40"), "", 0),
        ((PAPER, "--bandwidth", "4Mbit/s", "--rtt", "40 parsecs"), "cannot read '40 parsecs' as a duration", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--algorithm", "dls"), "unknown algorithm 'dls'", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--objective", "speed"), "unknown objective 'speed'", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--rate", "-1"), "the rate must be", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--rtt", "1ms", "--rtt", "2ms"), "--rtt is given 2 times", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--bandwidth", "4Mbit/s"), "has 2 tiers, so it needs 1 link, got 2", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--power", "3"), "--power needs two numbers", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--power=-3,1"), "the power of computing must be", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--objective", "energy"), "energy needs the device's power", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--max-data", "2GB/month"), "needs a rate of frames", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--memory", "lots"), "cannot read 'lots' as a size", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--edge-load", "0"), "the edge's load factor must be", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--cut", "max9"), "no layer 'max9' in", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--edge-slowdown", "8"), "--edge-slowdown is for profiles", 2),
        ((PAPER, "--bandwidth", "4Mbit/s", "--edge=a.json"), "not both", 2),
        (("absent.json", "--bandwidth", "4Mbit/s"), "cannot read absent.json: No such file", 2),
        (("--edge", "absent.json", "--bandwidth", "4Mbit/s"), "absent.json", 2),
        (("--bandwidth", "4Mbit/s"), "nothing to plan", 2),
        (("-", "--bandwidth", "4Mbit/s"), "-: not JSON", 2),
    ],
)
def test_bad_input_is_one_line(arguments: tuple[str, ...], message: str, code: int) -> None:
    done = dnn_surgery(*arguments)
    assert done.returncode == code
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == (code != 0)


def test_the_help_names_every_algorithm() -> None:
    from dnn_surgery.cli.plan import ALGORITHMS
    from dnn_surgery.planning.algorithms import BUILT_IN

    assert tuple(ALGORITHMS) == BUILT_IN
