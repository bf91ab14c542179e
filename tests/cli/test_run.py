"""`dnn-surgery run` against `dnn-surgery serve`, and each mistake a user can make with it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from dnn_surgery.model.reference import load_model
from tests.cli.serving import Serving, confidences, save_pictures, serving
from tests.evaluation.pictures import IMAGENET

FACTORY, OTHER = "tests.edge.networks:build", "tests.edge.networks:build_other"
MODEL = (FACTORY, "--trust-model", "--device", "cpu", "--threads", "1")


@pytest.fixture(scope="module")
def server() -> Iterator[Serving]:
    with serving(*MODEL, "--port", "0", "--json") as running:
        yield running


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_pictures(tmp_path_factory.mktemp("pictures"), IMAGENET[:4])


@pytest.fixture(scope="module")
def expected(pictures: Path) -> list[float]:
    return confidences(FACTORY, pictures)


def lines(output: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in output.splitlines()]


def test_json_has_one_line_a_frame_with_the_unsplit_models_answer(
    server: Serving, pictures: Path, expected: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    address = server.event["address"]
    code = main(["run", *MODEL, "--server", address, "--source", str(pictures), "--cut", "first.0", "--json"])
    output = capsys.readouterr()
    records = lines(output.out)
    assert code == 0
    assert [record["confidence"] for record in records] == expected
    assert [record["index"] for record in records] == [0, 1, 2, 3]
    assert {record["finished_by"] for record in records} == {"cloud"}
    assert {record["cut"] for record in records} == {"first.0"}
    for record in records:
        stages = (record["edge_s"], record["transfer_s"], record["cloud_s"])
        assert all(isinstance(seconds, float) and seconds > 0 for seconds in stages)
        assert isinstance(record["sent_bytes"], int)
        assert record["sent_bytes"] > 8 * 15 * 15 * 4
    assert "4 frames" in output.err


def test_raw_sends_what_a_lossless_codec_would_make_smaller(
    server: Serving, pictures: Path, expected: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    graph = load_model(FACTORY, trust_model=True)
    assert graph.picture is not None
    raw_bytes = 3 * graph.picture.height * graph.picture.width
    asked = [
        "run",
        *MODEL,
        "--server",
        server.event["address"],
        "--source",
        str(pictures),
        "--cut",
        "picture",
        "--json",
    ]
    sent = {}
    for flags in ((), ("--raw",)):
        # A slow link, on which every byte counts more than what it takes to save it.
        assert main([*asked, "--bandwidth", "100kbit/s", *flags]) == 0
        records = lines(capsys.readouterr().out)
        assert [record["confidence"] for record in records] == expected
        assert all(0 < float(str(record["compute_s"])) <= float(str(record["cloud_s"])) for record in records)
        sent[flags] = min(int(str(record["sent_bytes"])) for record in records)
    assert sent[()] < raw_bytes < sent["--raw",] < raw_bytes + 1000


def test_local_sends_nothing_and_answers_the_same(
    pictures: Path, expected: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", *MODEL, "--source", str(pictures), "--local", "--json"]) == 0
    records = lines(capsys.readouterr().out)
    assert [record["confidence"] for record in records] == expected
    assert {record["sent_bytes"] for record in records} == {0}


def test_people_get_a_line_a_frame_and_a_summary(
    server: Serving, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    address = server.event["address"]
    arguments = ["--bandwidth", "1Mbit/s", "--rtt", "10ms", "--frames", "2"]
    assert main(["run", *MODEL, "--server", address, "--source", str(pictures), *arguments]) == 0
    output = capsys.readouterr()
    assert [line.split(":")[0] for line in output.out.splitlines()] == ["00.png", "01.png"]
    assert "link 1 Mbit/s, RTT 10 ms; cut: " in output.err
    assert "2 frames" in output.err


def test_a_video_runs_frame_by_frame(capsys: pytest.CaptureFixture[str]) -> None:
    from tests.evaluation.pictures import BIKES

    assert main(["run", *MODEL, "--source", str(BIKES), "--local", "--frames", "3", "--json"]) == 0
    names = [str(record["frame"]) for record in lines(capsys.readouterr().out)]
    assert [name.rpartition("#")[2] for name in names] == ["0", "1", "2"]


def test_the_configuration_file_gives_model_server_and_source(
    server: Serving, pictures: Path, expected: list[float], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    host, _, port = server.event["address"].partition(":")
    (tmp_path / "labels.txt").write_text("\n".join(f"class {index}" for index in range(10)))
    configuration = tmp_path / "configuration.yaml"
    configuration.write_text(
        f"model: {{ref: '{FACTORY}', trust_model: true, labels: labels.txt}}\n"
        f'server: {{address: "{host}", port: "{port}"}}\n'
        "engine: {threads: 1}\n"
        f"sources: {{door: {{url: {pictures}}}}}\n"
        "plan: {objective: latency, deadline: 5s}\n"
    )
    assert main(["run", "--config", str(configuration), "--json"]) == 0
    records = lines(capsys.readouterr().out)
    assert [record["confidence"] for record in records] == expected
    assert all(str(record["label"]).startswith("class ") for record in records)


def refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the error line."""
    code = main(arguments)
    output = capsys.readouterr()
    errors = [line for line in output.err.splitlines() if line.startswith("dnn-surgery: error: ")]
    assert len(errors) == 1, output.err
    assert "Traceback" not in output.err
    return code, errors[0]


def test_no_server(pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    code, error = refused(["run", *MODEL, "--server", address, "--source", str(pictures)], capsys)
    assert code == 3
    assert f"no server answers at {address}" in error


def test_another_model_than_the_servers(server: Serving, pictures: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [OTHER, "--trust-model", "--server", server.event["address"], "--source", str(pictures)]
    code, error = refused(["run", *arguments], capsys)
    assert code == 3
    assert "build_other" in error


def test_a_picture_that_is_no_picture_costs_no_other_picture(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "c.png", ".hidden.png"):
        (tmp_path / name).write_bytes((pictures / "00.png").read_bytes())
    (tmp_path / "b.png").write_text("not a picture")
    code = main(["run", *MODEL, "--source", str(tmp_path), "--local", "--json"])
    output = capsys.readouterr()
    assert code == 2
    assert [Path(str(record["frame"])).name for record in lines(output.out)] == ["a.png", "c.png"]
    errors = [line for line in output.err.splitlines() if line.startswith("dnn-surgery: error: ")]
    assert len(errors) == 1
    assert "b.png" in errors[0]
    assert main(["run", *MODEL, "--source", str(tmp_path / "b.png"), "--local", "--json"]) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["resnet81"], "no model 'resnet81' in the zoo; did you mean 'resnet18'"),
        (["--server-protocol", "oip"], "name a MODEL"),
        ([FACTORY], "not trusted"),
        ([*MODEL, "--weights", "absent.pth"], "absent.pth"),
        ([*MODEL, "--threads", "0"], "the number of threads must be from 1 to 1024, got 0"),
        ([*MODEL, "--rtt", "10ms"], "--rtt goes with --bandwidth"),
        ([*MODEL, "--bandwidth", "fast"], "cannot read 'fast' as a bandwidth"),
        ([*MODEL, "--in-flight", "0"], "--in-flight must be at least 1"),
        ([*MODEL, "--frames", "-1"], "--frames must be at least 1, got -1"),
        ([*MODEL, "--raw", "--accuracy", "exact"], "--raw uses no codecs"),
        ([*MODEL, "--local"], "--local sends nothing, so it does not go with --server"),
        ([*MODEL, "--deadline", "0ms"], "the deadline of a frame must be positive"),
        ([*MODEL, "--cut", "frist"], "no layer 'frist'"),
        ([*MODEL, "--emulate-slowdown", "nan"], "slow-down must be positive and finite, got nan"),
        ([*MODEL, "--threads", "1000000"], "the number of threads must be from 1 to 1024"),
        ([*MODEL, "--device", "meta"], "no device 'meta' here"),
        ([*MODEL, "--engine", "tensorflow"], "no engine 'tensorflow'"),
        ([*MODEL, "--device", "tpu9"], "no device 'tpu9'"),
        (["tests.cloud.network:build", "--trust-model"], "takes no pictures"),
    ],
)
def test_mistakes_are_one_line_each(
    arguments: list[str], message: str, server: Serving, pictures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ["--server", server.event["address"], "--source", str(pictures)]
    code, error = refused(["run", *arguments, *given], capsys)
    assert code == 2
    assert message in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model: [", "configuration.yaml:"),
        ("model:\n  architectur: VGG16\n", "configuration.yaml:2"),
        ("sources: {a: {url: a.png}, b: {url: b.png}}\n", "a.png: no such file"),
        ("plan: {pin: {edge: [a]}}\n", "not supported yet by run: plan.pin.edge"),
        ("sources: {a: {url: a.png}, b: {url: b.png, rate: 0}}\n", "configuration.yaml:1"),
    ],
)
def test_mistakes_in_the_configuration_name_the_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(text)
    code, error = refused(["run", "--config", str(path)], capsys)
    assert code == 2
    assert message in error


def test_no_source(capsys: pytest.CaptureFixture[str]) -> None:
    code, error = refused(["run", *MODEL], capsys)
    assert code == 2
    assert "no --source given" in error


def test_several_sources_at_once_with_a_video_of_what_was_seen(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import av

    (tmp_path / "all.streams").write_text(f"{pictures}/*.png name=all priority=1\n{pictures}/00.png name=one\n")
    saved = tmp_path / "seen.mp4"
    flags = [
        "--local",
        "--json",
        "--overload",
        "block",
        "--save",
        str(saved),
        "--source",
        str(tmp_path / "all.streams"),
    ]
    assert main(["run", *MODEL, *flags]) == 0
    records = lines(capsys.readouterr().out)
    assert [record["index"] for record in records] == list(range(5))
    assert sorted(Path(str(record["frame"])).name for record in records) == [
        "00.png",
        "00.png",
        *["01.png", "02.png", "03.png"],
    ]
    for name, frames in (("all", 4), ("one", 1)):
        with av.open(str(tmp_path / f"seen.{name}.mp4")) as video:
            assert len(list(video.decode(video=0))) == frames


def test_sources_overload_and_output_of_a_configuration(
    pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "configuration.yaml"
    path.write_text(
        f"sources:\n  door: {{url: {pictures}, rate: 50, priority: 2}}\n  gate: {{url: {pictures / '01.png'}}}\n"
        f"overload: block\noutput: {{json: {tmp_path / 'results.jsonl'}}}\n"
    )
    assert main(["run", *MODEL, "--local", "--config", str(path)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 5
    records = [json.loads(line) for line in (tmp_path / "results.jsonl").read_text().splitlines()]
    assert [record["index"] for record in records] == list(range(5))
