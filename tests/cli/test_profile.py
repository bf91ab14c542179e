from __future__ import annotations

import json
import statistics
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.profiling.profile import Profile

MODEL = ("tests.edge.networks:build", "--trust-model", "--device", "cpu", "--threads", "1", "--repeats", "2")


def test_it_writes_a_file_that_plan_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "here.json"
    assert main(["profile", *MODEL, "-o", str(path)]) == 0
    assert "first.0" in capsys.readouterr().out
    measured = Profile.load(path)
    assert measured.engine["threads"] == 1
    assert measured.whole_s > 0
    assert main(["plan", str(path), "--edge-slowdown", "8", "--bandwidth", "1Mbit/s", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "dnn-surgery/plan/1"


def test_without_a_file_the_profile_goes_to_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *MODEL, "--json"]) == 0
    assert Profile.from_json(capsys.readouterr().out).repeats == 2


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *MODEL, "-o", str(tmp_path / "absent" / "x.json")]) == 2
    assert "cannot write profile" in capsys.readouterr().err.splitlines()[-1]


def test_verify_prints_predicted_beside_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "here.json"
    assert main(["profile", *MODEL, "--verify", "-o", str(path)]) == 0
    output = capsys.readouterr().out
    assert "predicted against measured" in output
    assert "95th percentile" in output
    measured = Profile.load(path)
    assert measured.repeats == 2
    # A plan from this file says of a cut what it took.
    cut = measured.measured[1]
    assert main(["plan", str(path), "--bandwidth", "1Mbit/s", "--cut", "first.0", "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert plan["edge_s"] == pytest.approx(cut.head_s)
    assert plan["cloud_s"] == pytest.approx(cut.tail_s)


def test_verify_as_json_has_every_cut_with_its_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["profile", *MODEL, "--verify", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert next(iter(record)) == "schema"
    assert [cut["cut"] for cut in record["cuts"]][:2] == ["cloud", "first.0"]
    for cut in record["cuts"]:
        predicted, measured = cut["predicted"], cut["measured"]
        assert predicted["head_s"] + predicted["tail_s"] == pytest.approx(predicted["sum_s"])
        assert cut["error"] == pytest.approx(predicted["sum_s"] / measured["sum_s"] - 1)
    errors = [abs(cut["error"]) for cut in record["cuts"]]
    assert record["median_error"] == pytest.approx(statistics.median(errors))
    assert min(errors) <= record["p95_error"] <= max(errors)


def test_the_configuration_file_names_the_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text("model: {ref: 'tests.edge.networks:build', trust_model: true}\nengine: {threads: 1}\n")
    assert main(["profile", "--config", str(path), "--repeats", "1", "--json"]) == 0
    assert Profile.from_json(capsys.readouterr().out).model == "build"
    path.write_text("model: {ref: 'tests.edge.networks:build', trust_model: true}\nengine: {providers: [x]}\n")
    assert main(["profile", "--config", str(path), "--json"]) == 2
    assert "providers are ONNX Runtime's (x); the torch engine takes a device" in capsys.readouterr().err
