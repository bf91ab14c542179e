"""The configuration file: what it says, and where it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from dnn_surgery.cli.configuration import Configuration, load_configuration
from dnn_surgery.cli.configuration_sections import DataBudget, Pins, Postprocess, Preprocess, SourceSection, Tls
from dnn_surgery.errors import ConfigurationError

SEED = """\
model:
  architecture: VGG16
  path: "vgg16-397923af.pth"
  classes: 1000
server:
  address: "cloud"
  port: "50051"
"""

EVERYTHING = """\
model:
  ref: yolov8n.onnx
  path: /weights/yolov8n.pth
  labels: labels.txt
  trust_model: true
  preprocess: {resize: letterbox, size: 640, scale: 0.00392157, color: rgb}
  postprocess: {task: detect, confidence: 0.25, iou: 0.7}     # classify | detect | none
server:
  address: "cloud"
  port: 50051
  tls: {ca: ca.pem, cert: device.pem, key: device.key}
  token_file: token.txt
engine: {name: auto, providers: [CPUExecutionProvider], threads: 4}
profiles: {edge: pi.json, cloud: auto}
sources:
  gate: {url: "rtsp://camera1/sub", rate: 5, priority: 2}
  yard: {url: videos/yard.mp4}
  desk: {url: 0}
plan: {objective: throughput, accuracy: 0.99, calibration: ./footage, pin: {edge: [features.0]}, deadline: 200ms, \
max_data: 2GB/month}
link: {estimate: passive}
overload: skip
output: {json: "-", metrics: ":9464"}
"""


def load(tmp_path: Path, text: str) -> Configuration:
    path = tmp_path / "configuration.yaml"
    path.write_text(text, encoding="utf-8")
    return load_configuration(path)


def refusal(tmp_path: Path, text: str) -> str:
    """The message without the folder, which is checked to be one line."""
    with pytest.raises(ConfigurationError) as caught:
        load(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(tmp_path))
    return message.removeprefix(f"{tmp_path}/")


def test_the_seed_s_file_is_valid(tmp_path: Path) -> None:
    configuration = load(tmp_path, SEED)
    assert configuration.model.architecture == configuration.model.reference == "VGG16"
    assert configuration.model.path == tmp_path / "vgg16-397923af.pth"
    assert configuration.model.classes == 1000
    assert configuration.server.address == "cloud"
    assert configuration.server.port == 50051
    assert configuration.server.location == "cloud:50051"
    assert tuple(configuration.keys) == (
        "model.architecture",
        "model.path",
        "model.classes",
        "server.address",
        "server.port",
    )


def test_every_key_of_the_contract(tmp_path: Path) -> None:
    configuration = load(tmp_path, EVERYTHING)
    model, server, plan = configuration.model, configuration.server, configuration.plan
    assert model.reference == str(tmp_path / "yolov8n.onnx")
    assert (model.path, model.labels) == (Path("/weights/yolov8n.pth"), tmp_path / "labels.txt")
    assert model.trust_model is True
    assert model.preprocess == Preprocess("letterbox", (640, 640), 0.00392157, color="rgb")
    assert model.postprocess == Postprocess("detect", 0.25, 0.7)
    assert server.tls == Tls(tmp_path / "ca.pem", tmp_path / "device.pem", tmp_path / "device.key")
    assert server.token_file == tmp_path / "token.txt"
    assert configuration.engine.providers == ("CPUExecutionProvider",)
    assert (configuration.engine.name, configuration.engine.threads) == ("auto", 4)
    assert configuration.profiles.edge == tmp_path / "pi.json"
    assert (configuration.profiles.cloud, configuration.profiles.cloud_auto) == (None, True)
    assert configuration.sources == {
        "gate": SourceSection("rtsp://camera1/sub", 5.0, 2),
        "yard": SourceSection(str(tmp_path / "videos/yard.mp4")),
        "desk": SourceSection("0"),
    }
    assert (plan.objective, plan.accuracy, plan.calibration) == ("throughput", 0.99, tmp_path / "footage")
    assert plan.pin == Pins(edge=("features.0",))
    assert plan.deadline_s == pytest.approx(0.2)
    assert plan.max_data == DataBudget(2_000_000_000, "month")
    assert configuration.link.estimate == "passive"
    assert configuration.overload == "skip"
    assert (configuration.output.json, configuration.output.metrics) == ("-", ":9464")


def test_keys_say_what_is_set_and_in_which_line(tmp_path: Path) -> None:
    keys = load(tmp_path, EVERYTHING).keys
    assert len(keys) == 37
    assert list(keys)[:3] == ["model.ref", "model.path", "model.labels"]
    assert {
        key: keys[key] for key in ("model.ref", "sources.yard.url", "plan.pin.edge", "overload", "output.json")
    } == {
        "model.ref": 2,
        "sources.yard.url": 17,
        "plan.pin.edge": 19,
        "overload": 21,
        "output.json": 22,
    }


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "model:\nserver:\nsources:\n"])
def test_a_file_may_be_empty_or_have_empty_sections(tmp_path: Path, text: str) -> None:
    configuration = load(tmp_path, text)
    assert configuration == Configuration(tmp_path / "configuration.yaml")
    assert not configuration.keys


def test_a_byte_order_mark_is_no_part_of_the_first_key(tmp_path: Path) -> None:
    assert load(tmp_path, "\ufeffoverload: block\n").overload == "block"


def test_a_command_names_the_keys_that_it_would_ignore(tmp_path: Path) -> None:
    configuration = load(tmp_path, SEED + "plan:\n  objective: latency\n  deadline: 200ms\noverload: skip\n")
    assert configuration.unsupported(["model", "server", "plan.objective"]) == ("plan.deadline", "overload")
    assert configuration.unsupported(["model", "server", "plan", "overload"]) == ()
    configuration.check_supported(["model", "server", "plan", "overload"], "run")
    with pytest.raises(ConfigurationError, match=r"yaml:10: not supported yet by run: plan\.deadline, overload$"):
        configuration.check_supported(["model", "server", "plan.objective"], "run")
    assert "server.port" in configuration.unsupported(["serve", "model", "server.address"])


@pytest.mark.parametrize(
    ("server", "location"),
    [
        ("{address: cloud, port: 1}", "cloud:1"),
        ("{address: cloud}", "cloud"),
        ("{port: 1}", None),
        ('{address: "::1", port: 80}', "[::1]:80"),
        ('{address: "[::1]", port: 80}', "[::1]:80"),
    ],
)
def test_where_the_server_is(tmp_path: Path, server: str, location: str | None) -> None:
    assert load(tmp_path, f"server: {server}").server.location == location


def test_only_files_are_relative_to_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "deep").mkdir()
    monkeypatch.chdir(tmp_path)
    Path("deep/c.yaml").write_text("model: {ref: pkg.models:net, path: w.pth}\nsources: {a: {url: '*.jpg'}}\n")
    configuration = load_configuration("deep/c.yaml")
    assert configuration.model.reference == "pkg.models:net"
    assert configuration.model.path == Path("deep/w.pth")
    assert configuration.sources["a"].url == "deep/*.jpg"


UNKNOWN = [
    ("modle:\n  path: x\n", "configuration.yaml:1: unknown key 'modle'; did you mean 'model'?"),
    (
        "server:\n  port: 1\n  adress: cloud\n",
        "configuration.yaml:3: unknown key 'adress' in server; did you mean 'address'?",
    ),
    (
        "server:\n  tls:\n    zzz:\n      - 1\n",
        "configuration.yaml:3: unknown key 'zzz' in server.tls: known are ca, cert, key",
    ),
    (
        "sources:\n  gate: {url: x, rates: 5}\n",
        "configuration.yaml:2: unknown key 'rates' in sources.gate; did you mean 'rate'?",
    ),
    ("plan: {deadline_s: 1}", "configuration.yaml:1: unknown key 'deadline_s' in plan; did you mean 'deadline'?"),
    ("<<: {overload: skip}", "configuration.yaml:1: unknown key '<<': known are model, server, "),
]


@pytest.mark.parametrize(("text", "message"), UNKNOWN)
def test_unknown_keys_are_named_with_line_and_near_matches(tmp_path: Path, text: str, message: str) -> None:
    assert refusal(tmp_path, text).startswith(message)


WRONG = [
    ("model: VGG16", "model must be a mapping, got 'VGG16'"),
    ("model: [VGG16]", "model must be a mapping, got a list"),
    ("- model", "the file must be a mapping, got a list"),
    ("just text", "the file must be a mapping, got 'just text'"),
    ("model: {architecture: [VGG16]}", "model.architecture must be text, got a list"),
    ("model: {architecture: }", "model.architecture must be text, got nothing"),
    ('model: {architecture: ""}', "model.architecture must be text, got ''"),
    ("model: {path: 12}", "model.path must be text (in quotes where it looks like a number), got '12'"),
    ("model: {classes: many}", "model.classes must be a number of classes, got 'many'"),
    ("model: {classes: 0}", "model.classes must be a number of classes, got '0'"),
    ('model: {classes: "1000"}', "model.classes must be a number of classes, got '1000'"),
    ("model: {classes: 0x10}", "model.classes must be a number of classes, got '0x10'"),
    ("model: {trust_model: 1}", "model.trust_model must be true or false, got '1'"),
    ("model: {architecture: a, ref: b}", "model names both an architecture and a ref"),
    (
        "model: {preprocess: {resize: squash}}",
        "model.preprocess.resize must be crop, stretch or letterbox, got 'squash'",
    ),
    ("model: {preprocess: {scale: -1}}", "model.preprocess.scale must be a positive number, got '-1'"),
    ("model: {preprocess: {scale: .nan}}", "model.preprocess.scale must be a positive number, got '.nan'"),
    ("model: {preprocess: {color: [rgb]}}", "model.preprocess.color must be rgb or bgr, got a list"),
    ("model: {postprocess: {iou: 1.5}}", "model.postprocess.iou must be a number above 0 and at most 1, got '1.5'"),
    ("model: {postprocess: {task: }}", "model.postprocess.task must be classify, detect or none, got nothing"),
    ("server: {port: http}", "server.port must be a port from 0 to 65535, got 'http'"),
    ("server: {port: 65536}", "server.port must be a port from 0 to 65535, got '65536'"),
    ("server: {port: -1}", "server.port must be a port from 0 to 65535, got '-1'"),
    ("server: {port: 1.5}", "server.port must be a port from 0 to 65535, got '1.5'"),
    ('server: {port: "٣"}', "server.port must be a port from 0 to 65535, got '٣'"),
    (f"server: {{port: {'9' * 5000}}}", f"server.port must be a port from 0 to 65535, got '{'9' * 60}...'"),
    ("server: {address: 1.2}", "server.address must be text (in quotes where it looks like a number), got '1.2'"),
    ("engine: {providers: CPU}", "engine.providers must be a list, got 'CPU'"),
    ("engine: {providers: [[CPU]]}", "engine.providers must be text, got a list"),
    ("engine: {threads: 0}", "engine.threads must be a number of threads, got '0'"),
    ("profiles: {cloud: {a: 1}}", "profiles.cloud must be text, got a mapping"),
    ("sources: [a]", "sources must be a mapping, got a list"),
    ("sources: {gate: cam}", "sources.gate must be a mapping, got 'cam'"),
    ("sources: {gate: {rate: 5}}", "sources.gate has no url"),
    ("sources: {gate: {url: x, rate: 0}}", "sources.gate.rate must be a positive number of frames a second, got '0'"),
    ("sources: {gate: {url: x, priority: high}}", "sources.gate.priority must be a whole number from 0 on, got 'high'"),
    ("plan: {objective: speed}", "plan.objective must be latency, throughput or energy, got 'speed'"),
    ("plan: {accuracy: 99}", "plan.accuracy must be exact, or a number above 0 and at most 1, got '99'"),
    ("plan: {accuracy: good}", "plan.accuracy must be exact, or a number above 0 and at most 1, got 'good'"),
    ("plan: {pin: {edge: features.0}}", "plan.pin.edge must be a list, got 'features.0'"),
    ("plan: {deadline: soon}", "plan.deadline: cannot read 'soon' as a duration"),
    ("plan: {deadline: 0ms}", "plan.deadline must be a positive duration"),
    ("plan: {deadline: [1]}", "plan.deadline must be a quantity with its unit, got a list"),
    (
        "plan: {max_data: 2GB}",
        "plan.max_data must be a size per hour, day, week or month, such as 2GB/month, got '2GB'",
    ),
    ("plan: {max_data: many/month}", "plan.max_data: cannot read 'many' as a size"),
    ("link: {estimate: guess}", "link.estimate must be passive, probe or iperf3, got 'guess'"),
    ("overload: panic", "overload must be skip, lower-rate or block, got 'panic'"),
    ("overload: {a: 1}", "overload must be skip, lower-rate or block, got a mapping"),
    ("output: {json: 1}", "output.json must be text"),
    ("overload: skip\noverload: block", "key 'overload' stands twice, first in line 1"),
    ("? [a, b]\n: 1", "a key of the file must be text"),
    ("model: !!python/object/apply:os.system [id]", "model must be a mapping, got a list"),
    ("overload: !mine skip", "overload must be skip, lower-rate or block, got 'skip'"),
    ("model: &a {preprocess: *a}", "unknown key 'preprocess' in model.preprocess"),
]


@pytest.mark.parametrize(("text", "message"), WRONG, ids=[text[:50] for text, _ in WRONG])
def test_wrong_values_are_named_with_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    lines = text.count("\n") + 1 if "stands twice" in message else 1
    assert refusal(tmp_path, text).startswith(f"configuration.yaml:{lines}: {message}")
    assert refusal(tmp_path, "# comment\n\n" + text).startswith(f"configuration.yaml:{lines + 2}: {message}"[:40])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("model:\n  path: 'open\n", 3),
        ("model:\n\tpath: x\n", 2),
        ("model: {path: x\nserver: 1\n", 2),
        ("model: *missing", 1),
        ("a: 1\n---\nb: 2\n", 2),
        ("model:\n path: x\n  classes: 1\n", 3),
        ("model: \n  path: \x07x\n", 2),
    ],
)
def test_what_is_not_yaml_is_named_with_its_line(tmp_path: Path, text: str, line: int) -> None:
    assert refusal(tmp_path, text).startswith(f"configuration.yaml:{line}: not valid YAML: ")


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.yaml: no such file$"):
        load_configuration(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match=r"Is a directory$"):
        load_configuration(tmp_path)
    (tmp_path / "binary.yaml").write_bytes(b"model: \xff\xfe")
    with pytest.raises(ConfigurationError, match=r"binary\.yaml: not UTF-8 text"):
        load_configuration(tmp_path / "binary.yaml")


def test_nesting_without_end(tmp_path: Path) -> None:
    assert "nested too deeply" in refusal(tmp_path, "[" * 5000)


@pytest.mark.parametrize(("text", "value"), [("1e-3", 0.001), ("1", 1.0), (".5", 0.5), ("0.00392157", 0.00392157)])
def test_numbers_as_people_write_them(tmp_path: Path, text: str, value: float) -> None:
    assert load(tmp_path, f"model: {{preprocess: {{scale: {text}}}}}").model.preprocess.scale == value


@pytest.mark.parametrize(("text", "value"), [("exact", "exact"), ("0.99", 0.99), ("1", 1.0)])
def test_accuracy_is_exact_or_a_share(tmp_path: Path, text: str, value: object) -> None:
    assert load(tmp_path, f"plan: {{accuracy: {text}}}").plan.accuracy == value


@pytest.mark.parametrize(("text", "seconds"), [("200ms", 0.2), ("1.5s", 1.5), ("2", 2.0)])
def test_deadlines_with_units_or_in_seconds(tmp_path: Path, text: str, seconds: float) -> None:
    assert load(tmp_path, f"plan: {{deadline: {text}}}").plan.deadline_s == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("section", "expected"),
    [
        ("{size: [480, 640], layout: nhwc}", Preprocess(size=(480, 640), layout="nhwc")),
        ("{mean: 0.5, std: [0.1, 0.2, 0.3]}", Preprocess(mean=(0.5, 0.5, 0.5), std=(0.1, 0.2, 0.3))),
        ("{mean: [-1, 0, 1e-3]}", Preprocess(mean=(-1, 0, 0.001))),
        ("", Preprocess()),
    ],
)
def test_what_preprocess_may_say(tmp_path: Path, section: str, expected: Preprocess) -> None:
    assert load(tmp_path, f"model:\n  preprocess: {section}\n").model.preprocess == expected


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("preprocess: {size: 0}", "model.preprocess.size must be a number of pixels, or a list of height and width"),
        ("preprocess: {size: [640]}", "model.preprocess.size must be a number of pixels, or a list"),
        ("preprocess: {size: 99999}", "model.preprocess.size must be a number of pixels, or a list"),
        ("preprocess: {std: 0}", "model.preprocess.std must be a positive number, or a list of one for each"),
        ("preprocess: {std: [1, 1, -1]}", "model.preprocess.std must be a positive number"),
        ("preprocess: {mean: [1, 1]}", "model.preprocess.mean must be a number, or a list of one for each"),
        ("preprocess: {mean: grey}", "model.preprocess.mean must be a number"),
        ("preprocess: {layout: chw}", "model.preprocess.layout must be nchw or nhwc, got 'chw'"),
        ("preprocess: {colour: bgr}", "unknown key 'colour' in model.preprocess; did you mean 'color' or 'layout'?"),
        ("postprocess: {task: classify, iou: 0.5}", "model.postprocess: confidence and iou go with task: detect"),
        ("postprocess: {confidence: 0.5}", "model.postprocess: confidence and iou go with task: detect"),
    ],
)
def test_what_is_wrong_with_a_picture_s_way_is_named(tmp_path: Path, section: str, message: str) -> None:
    assert refusal(tmp_path, f"model:\n  {section}\n").startswith(f"configuration.yaml:2: {message}")
