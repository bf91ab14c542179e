"""Weights from files that may be damaged or hostile, and weights from integers."""

from __future__ import annotations

import hashlib
import math
import os
import pickle
import re
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from dnn_surgery.errors import WeightsError
from dnn_surgery.model.weights import load_weights, seed_weights
from dnn_surgery.model.zoo import entry

torch.set_num_threads(1)


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(3, 4, kernel_size=3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 5))


def digest(module: nn.Module) -> str:
    state = hashlib.sha256()
    for name, value in module.state_dict().items():
        state.update(f"{name} {tuple(value.shape)} {value.dtype}".encode() + value.numpy().tobytes())
    return state.hexdigest()


def test_seeded_weights_have_golden_bytes() -> None:
    module = network()
    seed_weights(module)
    assert digest(module) == "9d99dd8f3989c37cecc62bef8f31e0e77662c7a6082c45b17a8320957cf30796"
    seed_weights(module, seed=1)
    assert digest(module) == "ee67e163072be584242a41a3b45515bed65d9781a7c8c2cd46047af07af22811"


def philox(counter: int, key: tuple[int, int]) -> tuple[int, ...]:
    """Philox4x64-10 (Salmon et al., Parallel random numbers: as easy as 1, 2, 3), on Python's integers."""
    mask = (1 << 64) - 1
    words = (counter, 0, 0, 0)
    for step in range(10):
        round_key = ((key[0] + step * 0x9E3779B97F4A7C15) & mask, (key[1] + step * 0xBB67AE8584CAA73B) & mask)
        first, second = words[0] * 0xD2E7470EE14C6C93, words[2] * 0xCA5A826395121157
        words = (
            (second >> 64) ^ words[1] ^ round_key[0],
            second & mask,
            (first >> 64) ^ words[3] ^ round_key[1],
            first & mask,
        )
    return words


def test_seeded_weights_follow_from_integers_alone() -> None:
    module = network()
    seed_weights(module)
    key = hashlib.sha256(b"0:0.weight").digest()
    halves = [
        (word >> shift) & 0xFFFF
        for counter in (1, 2)
        for word in philox(counter, (int.from_bytes(key[:8], "little"), int.from_bytes(key[8:16], "little")))
        for shift in (0, 16, 32, 48)
    ]
    scale = np.float32(math.sqrt(6 / 27) / 32767.5)
    expected = [float(np.float32(half - 32767.5) * scale) for half in halves]
    assert module.get_parameter("0.weight").flatten()[: len(expected)].tolist() == expected


def test_seeded_resnet18_has_golden_bytes_however_it_was_built() -> None:
    ordinary = entry("resnet18").build(1000)
    with torch.device("meta"):
        without_memory = entry("resnet18").build(1000)
    for module in (ordinary, without_memory):
        seed_weights(module)
        assert digest(module) == "640ef2e66eba2c65b83ba790e44db9a50b6b0eae708a3e3a68f107be713d80d3"


def test_seeded_weights_are_uniform_with_the_promised_bound() -> None:
    module = nn.Linear(300, 400)
    seed_weights(module)
    bound = math.sqrt(6 / 300)
    assert bound * 0.999 < module.weight.abs().max().item() <= bound
    assert abs(module.weight.mean().item()) < 0.01 * bound
    assert module.weight.var().item() == pytest.approx(bound**2 / 3, rel=0.02)
    assert not module.bias.any()


def test_seeded_normalisation_is_neutral_and_statistics_are_reset() -> None:
    module = nn.Sequential(nn.BatchNorm2d(3), nn.LayerNorm(5))
    module[0](torch.randn(4, 3, 2, 2))  # moves the running statistics
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.fill_(3.0)
    seed_weights(module)
    planes = torch.randn(2, 3, 4, 4)
    torch.testing.assert_close(module[0].eval()(planes), planes, atol=1e-4, rtol=1e-4)
    assert module.get_parameter("1.weight").eq(1).all()
    assert module.get_parameter("1.bias").eq(0).all()


def test_seeded_weights_do_not_depend_on_order_datatype_or_memory_order() -> None:
    forward = nn.ModuleDict({"a": nn.Linear(3, 7), "b": nn.Linear(5, 7)})
    backward = nn.ModuleDict({"b": nn.Linear(5, 7), "a": nn.Linear(3, 7)}).to(torch.bfloat16)
    for module in (forward, backward):
        seed_weights(module)
    assert torch.equal(forward.get_parameter("a.weight").to(torch.bfloat16), backward.get_parameter("a.weight"))
    plain, strided = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
    strided.weight = nn.Parameter(strided.weight.detach().to(memory_format=torch.channels_last))
    assert not strided.weight.is_contiguous()
    for convolution in (plain, strided):
        seed_weights(convolution)
    assert torch.equal(plain.weight, strided.weight)


@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors", "nested", "parallel", "half", "no counters"])
def test_what_was_saved_is_loaded(kind: str, tmp_path: Path) -> None:
    source, module = network(), network()
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    state: dict[str, Any] = dict(source.state_dict())
    if kind == "half":
        source.half()
        state = dict(source.state_dict())
    if kind == "parallel":
        state = {f"module.{name}": value for name, value in state.items()}
    if kind == "no counters":
        state = {name: value for name, value in state.items() if "num_batches" not in name}
    if kind == "nested":
        state = {"epoch": 3, "state_dict": state}
    if kind == "safetensors":
        save_file(state, path)
    else:
        torch.save(state, path, _use_new_zipfile_serialization=kind != "legacy")
    load_weights(module, path)
    assert module.get_parameter("0.weight").dtype == torch.float32
    for name, value in module.state_dict().items():
        assert torch.equal(value, source.state_dict()[name].to(value.dtype)), name


def test_a_module_built_without_memory_is_filled(tmp_path: Path) -> None:
    source = network()
    torch.save(source.state_dict(), tmp_path / "weights.pt")
    with torch.device("meta"):
        module = network()
    load_weights(module, str(tmp_path / "weights.pt"))
    assert digest(module) == digest(source)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.97])
@pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
def test_truncated_files_are_refused(kind: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / ("weights.safetensors" if kind == "safetensors" else "weights.pth")
    if kind == "safetensors":
        save_file(dict(network().state_dict()), path)
    else:
        torch.save(network().state_dict(), path, _use_new_zipfile_serialization=kind == "zip")
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    _refused(network(), path, "truncated or damaged|is damaged")


class Hostile:
    """A pickle of this runs a command when it is read without care."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.marker}",)


@pytest.mark.parametrize("kind", ["torch", "pickle"])
def test_a_pickle_that_runs_code_is_refused_and_runs_nothing(kind: str, tmp_path: Path) -> None:
    path, marker = tmp_path / "weights.pth", tmp_path / "marker"
    content = {**network().state_dict(), "extra": Hostile(marker)}
    if kind == "torch":
        torch.save(content, path)
    else:
        path.write_bytes(pickle.dumps(content))
    _refused(network(), path, "refused" + (", .*asks for posix.system" if kind == "torch" else ""))
    assert not marker.exists()


def test_a_pickled_module_is_refused_with_what_it_asks_for(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "whole.pth")
    _refused(network(), tmp_path / "whole.pth", "refused.*asks for nn.modules.container.Sequential")


def test_other_content_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    _refused(network(), path, "no weights file")
    path.write_text("<html>404 not found</html>")
    _refused(network(), path, "refused")
    torch.save([1, 2], path)
    _refused(network(), path, "holds no state dict")
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), path)
    _refused(network(), path, "TorchScript")
    (tmp_path / "folder.pth").mkdir()
    _refused(network(), tmp_path / "folder.pth", "no weights file")
    _refused(network(), tmp_path / "weights.h5", r"must end with \.pth, \.pt, \.safetensors")


def test_differences_are_listed_by_kind(tmp_path: Path) -> None:
    state = network().state_dict()
    del state["0.bias"]
    state["extra.weight"] = torch.zeros(2)
    state["3.weight"] = torch.zeros(7, 16)
    torch.save(state, tmp_path / "other.pth")
    message = _refused(network(), tmp_path / "other.pth", "is not of Sequential: ")
    assert message.endswith("missing 0.bias; unexpected extra.weight; 3.weight is [7, 16] instead of [5, 16]")


def test_long_lists_of_differences_are_cut_short(tmp_path: Path) -> None:
    torch.save(nn.ModuleDict({"head": network()}).state_dict(), tmp_path / "other.pth")
    module = nn.ModuleList(nn.Linear(2, 2) for _ in range(50))
    message = _refused(module, tmp_path / "other.pth", r"missing .* and 97 more; unexpected .* and 6 more$")
    assert len(message) < 250 + len(str(tmp_path))


def test_a_refused_file_leaves_the_module_as_it_was(tmp_path: Path) -> None:
    module = network()
    before = digest(module)
    state = network().state_dict()
    state["3.weight"] = torch.zeros(7, 16)
    torch.save(state, tmp_path / "other.pth")
    _refused(module, tmp_path / "other.pth", "instead of")
    assert digest(module) == before


def _refused(module: nn.Module, path: Path, pattern: str) -> str:
    with pytest.raises(WeightsError) as caught:
        load_weights(module, path)
    message = str(caught.value)
    assert re.search(pattern, message), message
    assert path.name in message and "\n" not in message
    return message


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.out = nn.Embedding(5, 3), nn.Linear(3, 5, bias=False)
        self.out.weight = self.embedding.weight


def test_a_format_that_stores_a_shared_weight_once_is_read(tmp_path: Path) -> None:
    from safetensors.torch import save_model

    path = tmp_path / "tied.safetensors"
    source, target = Tied(), Tied()
    save_model(source, str(path))
    load_weights(target, path)
    assert torch.equal(target.out.weight, source.embedding.weight)


def test_a_module_of_the_name_module_keeps_it(tmp_path: Path) -> None:
    path = tmp_path / "module.pth"
    source, target = (nn.Sequential(OrderedDict(module=nn.Linear(2, 2))) for _ in range(2))
    torch.save(source.state_dict(), path)
    load_weights(target, path)
    assert torch.equal(target.get_parameter("module.weight"), source.get_parameter("module.weight"))


@pytest.mark.parametrize(
    ("weight", "kind"),
    [
        (torch.eye(2).to_sparse(), "sparse"),
        (torch.eye(2, dtype=torch.complex64), "complex"),
        (torch.quantize_per_tensor(torch.eye(2), 0.1, 0, torch.qint8), "quantized"),
        (torch.empty(2, 2, device="meta"), "without values"),
    ],
)
def test_tensors_that_are_no_weights_are_named(weight: torch.Tensor, kind: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.pth"
    torch.save({"weight": weight, "bias": torch.zeros(2)}, path)
    with pytest.raises(WeightsError, match=f"weight is {kind}|cannot read it|damaged"):
        load_weights(nn.Linear(2, 2), path)
