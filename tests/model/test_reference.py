"""What a user may call a model, and every way in which that can be wrong."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dnn_surgery.errors import ModelError, WeightsError
from dnn_surgery.model.graph import Picture
from dnn_surgery.model.reference import load_model
from dnn_surgery.model.weights import seed_weights
from dnn_surgery.model.zoo import entry

torch.set_num_threads(1)

FACTORIES = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=1000):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, kernel_size=7, stride=8)
        self.body = nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, kernel_size=3))
        self.head = nn.Linear(4, classes)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean(dim=(2, 3)))

class WithExamples(nn.Linear):
    example_inputs = torch.ones(1, 3)

    def __init__(self):
        super().__init__(3, 2)

class WithExampleMethod(nn.Linear):
    def __init__(self):
        super().__init__(3, 2)

    def example_inputs(self):
        return (torch.ones(1, 3),)

class HasInput(nn.Module):
    def __init__(self):
        super().__init__()
        self.input = nn.Conv2d(3, 4, kernel_size=7)

    def forward(self, x):
        return self.input(x)

class ReadsPictures(nn.Module):
    def forward(self, frame):
        return frame.float().mean(dim=(1, 2))

def pair(): return nn.Linear(4, 2), torch.ones(1, 4)
def pictures(): return ReadsPictures(), (torch.zeros(1, 32, 48, 3, dtype=torch.uint8),)
def few_classes(): return Net(classes=7)
def wants_299(): return nn.Sequential(nn.Flatten(), nn.Linear(3 * 299 * 299, 2))
def returns_text(): return "a network"
def returns_bad_examples(): return nn.Linear(4, 2), 17
def raises(): raise RuntimeError("no GPU here\\nand a second line")
def needs_argument(size): return nn.Linear(size, 2)

instance = nn.Linear(3, 2)
instance.example_inputs = torch.ones(1, 3)
number = 5

class Namespace:
    net = Net
"""


@pytest.fixture(scope="module", autouse=True)
def factories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("factories")
    (folder / "zoo_of_a_user.py").write_text(FACTORIES)
    (folder / "broken_user_module.py").write_text("import a_module_that_is_not_there\n")
    (folder / "syntax_user_module.py").write_text("def f(:\n")
    return folder


@pytest.fixture(autouse=True)
def in_the_users_folder(factories: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current directory is importable; sys.path is put back."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(factories)


def refused(ref: str, pattern: str, *, error: type[ModelError] = ModelError, **options: object) -> str:
    with pytest.raises(error) as caught:
        load_model(ref, **options)  # type: ignore[arg-type]  # each test gives what it is about
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("spelling", ["resnet18", "ResNet-18", "RESNET_18"])
def test_zoo_names_are_forgiving(spelling: str) -> None:
    assert load_model(spelling).name == "resnet18"


def test_unknown_names_get_near_matches_or_all_names() -> None:
    assert "did you mean 'resnet18'" in refused("resnet19", "no model 'resnet19'")
    assert "'tiny_yolov2'" in refused("tiny-yolo2", "did you mean")
    assert "vgg16, alexnet, nin, tiny_yolov2, resnet18" in refused("qqqqqqq", "it has")


def test_files_that_are_no_models_are_refused() -> None:
    refused("yolov8n.onnx", "no model file")
    refused("vgg16-397923af.pth", "is a weights file, not a model")
    refused("net.safetensors", "is a weights file, not a model")


@pytest.mark.parametrize("ref", ["untrusted_user_module:Net", "net.pt2"])
def test_code_needs_trust(ref: str, factories: Path) -> None:
    (factories / "untrusted_user_module.py").write_text("raise AssertionError('imported')")
    refused(ref, "code that could do anything here.*--trust-model")


def test_networks_without_weights_say_so_and_are_the_same_everywhere() -> None:
    first, second = load_model("resnet18"), load_model("resnet18")
    assert len(first.notices) == 1
    assert "random" in first.notices[0]
    assert first.fingerprint == second.fingerprint


def test_weights_are_loaded_and_change_the_fingerprint(tmp_path: Path) -> None:
    module = entry("resnet18").build(1000)
    seed_weights(module, seed=7)
    torch.save(module.state_dict(), tmp_path / "resnet18.pth")
    graph = load_model("resnet18", tmp_path / "resnet18.pth")
    assert graph.notices == ()
    assert graph.fingerprint != load_model("resnet18").fingerprint


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "other.pth")
    message = refused("resnet18", "is not of ResNet18", error=WeightsError, weights=tmp_path / "other.pth")
    assert "missing conv1.weight" in message
    assert "unexpected weight, bias" in message
    refused("resnet18", "no weights file", error=WeightsError, weights=tmp_path / "absent.pth")


def test_other_numbers_of_classes(tmp_path: Path) -> None:
    graph = load_model("nin", classes=10)
    assert graph.tensors[graph.outputs[0]].shape == (1, 10)
    assert graph.labels is None
    assert len(load_model("efficientnet_lite0", classes=3).notices) == 1
    refused("nin", "from 1 to 1000000 classes, got 0", classes=0)
    refused("zoo_of_a_user:Net", "classes can be chosen for a model of the zoo", classes=3, trust_model=True)


def test_a_classifier_from_a_factory_reads_pictures_under_its_own_names() -> None:
    graph = load_model("zoo_of_a_user:Net", trust_model=True)
    assert graph.name == "Net"
    assert [layer.name for layer in graph.layers[:3]] == ["picture", "input", "stem"]
    assert {
        name for layer in graph.layers for name in layer.parameters if "mean" not in name and "std" not in name
    } == {*("stem.weight", "stem.bias", "body.1.weight", "body.1.bias", "head.weight", "head.bias")}
    assert graph.tensors["picture"].dtype == "uint8"
    assert graph.tensors["input"].shape == (1, 3, 224, 224)
    assert graph.picture == Picture("picture", 224, 224)
    assert graph.labels is not None and len(graph.labels) == 1000
    assert load_model("zoo_of_a_user:few_classes", trust_model=True).labels is None


def test_a_factory_draws_the_same_weights_each_time_and_leaves_the_generator_alone() -> None:
    before = torch.random.get_rng_state()
    first = load_model("zoo_of_a_user:Net", trust_model=True)
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.rand(3)
    assert load_model("zoo_of_a_user:Namespace.net", trust_model=True).fingerprint == first.fingerprint


def test_weights_of_a_factory_are_loaded(tmp_path: Path) -> None:
    torch.save({"weight": torch.full((2, 4), 2.0), "bias": torch.zeros(2)}, tmp_path / "pair.pth")
    with_file = load_model("zoo_of_a_user:pair", tmp_path / "pair.pth", trust_model=True)
    assert with_file.fingerprint != load_model("zoo_of_a_user:pair", trust_model=True).fingerprint
    refused("zoo_of_a_user:Net", "is not of Net", error=WeightsError, weights=tmp_path / "pair.pth", trust_model=True)


@pytest.mark.parametrize(
    ("factory", "shape"),
    [("pair", (1, 4)), ("WithExamples", (1, 3)), ("WithExampleMethod", (1, 3)), ("instance", (1, 3))],
)
def test_example_inputs_are_used_as_they_are(factory: str, shape: tuple[int, ...]) -> None:
    graph = load_model(f"zoo_of_a_user:{factory}", trust_model=True)
    assert graph.tensors[graph.inputs[0]].shape == shape
    assert graph.picture is None and graph.labels is None


def test_an_example_that_looks_like_a_picture_is_one() -> None:
    graph = load_model("zoo_of_a_user:pictures", trust_model=True)
    assert graph.picture == Picture("frame", 32, 48)


@pytest.mark.parametrize(
    ("ref", "pattern"),
    [
        ("no_such_module:net", "cannot import no_such_module: ModuleNotFoundError"),
        ("broken_user_module:net", "cannot import broken_user_module: .*a_module_that_is_not_there"),
        ("syntax_user_module:net", "cannot import syntax_user_module: SyntaxError"),
        ("zoo_of_a_user:missing", "zoo_of_a_user has no 'missing'"),
        ("zoo_of_a_user:Namespace.missing", "zoo_of_a_user has no 'Namespace.missing'"),
        ("zoo_of_a_user:", "expected package.module:factory"),
        (":net", "expected package.module:factory"),
        ("zoo_of_a_user:number", "cannot be called: it is of type int"),
        ("zoo_of_a_user:returns_text", "returned str, expected torch.nn.Module"),
        ("zoo_of_a_user:returns_bad_examples", "example inputs are int"),
        ("zoo_of_a_user:raises", "failed: RuntimeError: no GPU here$"),
        ("zoo_of_a_user:needs_argument", "failed: TypeError: .*size"),
        ("zoo_of_a_user:wants_299", r"cannot export wants_299: .*tried with a picture of 224 x 224"),
        ("zoo_of_a_user:HasInput", "attribute 'input' of its own: return example_inputs"),
    ],
)
def test_factories_that_do_not_work(ref: str, pattern: str) -> None:
    refused(ref, pattern, trust_model=True)


def test_an_exported_program_is_a_model(tmp_path: Path) -> None:
    path = tmp_path / "exported.pt2"
    torch.export.save(torch.export.export(nn.Sequential(nn.Linear(4, 2), nn.Tanh()), (torch.ones(1, 4),)), path)
    graph = load_model(str(path), trust_model=True)
    assert graph.name == "exported"
    assert graph.tensors[graph.outputs[0]].shape == (1, 2)
    refused(str(path), "brings its own weights", error=WeightsError, weights="net.pth", trust_model=True)


def test_exported_programs_that_cannot_be_read(tmp_path: Path) -> None:
    refused(str(tmp_path / "absent.pt2"), "no model file", trust_model=True)
    damaged = tmp_path / "damaged.pt2"
    torch.export.save(torch.export.export(nn.Linear(4, 2), (torch.ones(1, 4),)), damaged)
    whole = damaged.read_bytes()
    for content in (b"", b"nothing", whole[: len(whole) // 2], whole[: len(whole) * 9 // 10]):
        damaged.write_bytes(content)
        refused(str(damaged), "cannot load .*damaged.pt2", trust_model=True)
    program = (
        "from dnn_surgery.errors import ModelError\n"
        "from dnn_surgery.model.reference import load_model\n"
        f"try: load_model({str(damaged)!r}, trust_model=True)\n"
        "except ModelError: pass\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stderr == ""  # no traceback that torch logs


@pytest.mark.parametrize("ref", ["vgg16", "net.pt2", "zoo_of_a_user:Net"])
def test_without_torch_the_error_says_what_to_install(ref: str) -> None:
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from dnn_surgery.errors import ModelError\n"
        "from dnn_surgery.model.reference import load_model\n"
        f"try: load_model({ref!r}, trust_model=True)\n"
        "except ModelError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "PyTorch models need torch: pip install dnn-surgery[torch]\n"


def test_unknown_names_are_found_out_without_importing_torch() -> None:
    program = (
        "import sys\n"
        "from dnn_surgery.errors import ModelError\n"
        "from dnn_surgery.model.reference import load_model\n"
        "try: load_model('resnet19')\n"
        "except ModelError: print('torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "False\n"
