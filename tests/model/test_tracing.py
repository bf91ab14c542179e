"""What a graph is: functional, no constants or sizes on the wire, several outputs a layer, stable names."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from dnn_surgery.errors import ModelError
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.execution.split import split
from dnn_surgery.model.tracing import trace

torch.set_num_threads(1)


class InPlace(nn.Module):
    """Takes a tensor, then changes it in place: a boundary tensor that must keep its value."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = self.first(x)
        moved = self.second(kept)
        kept.add_(moved)
        return torch.cat([kept.relu_(), moved], 1)


class Dynamic(nn.Module):
    """Reads its batch size, in shapes that the tail has to know as well."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lstm, self.fc = nn.Conv2d(3, 8, 3), nn.LSTM(8, 6, batch_first=True), nn.Linear(6, 4)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        x = self.conv(x).flatten(2).transpose(1, 2)
        x = x + torch.arange(x.shape[1])[:, None]
        made, (hidden, _) = self.lstm(x)
        return self.fc(made.reshape(made.shape[0] * made.shape[1], 6)), hidden


def seeded(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        for index, parameter in enumerate(module.parameters()):
            generator = torch.Generator().manual_seed(index)
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    return module.eval()


def picture(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(7))


def test_an_in_place_operator_behind_the_cut_leaves_the_boundary_tensor_alone() -> None:
    module, x = seeded(InPlace()), picture(1, 3, 5, 5)
    graph = trace(module, x)
    head, tail = split(graph, cut="first")
    held = head({"x": x})
    kept = {name: value.clone() for name, value in held.items()}
    with torch.inference_mode():
        expected = module(x.clone())
    assert torch.equal(tail(held)[graph.outputs[0]], expected)
    for name, value in held.items():
        assert torch.equal(value, kept[name])
    # The frame may be finished again, here, from what the edge still holds.
    assert torch.equal(tail(held)[graph.outputs[0]], expected)


def test_an_input_changed_in_place_is_not_changed_for_the_caller() -> None:
    class Doubles(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mul_(2) + 1

    x = torch.ones(1, 2)
    graph = trace(Doubles(), x.clone())
    head, tail = split(graph, cut="x")
    assert tail(head({"x": x}))[graph.outputs[0]].tolist() == [[3.0, 3.0]]
    assert x.tolist() == [[1.0, 1.0]]


def test_constants_and_sizes_are_no_layers_and_never_cross_a_cut() -> None:
    module = seeded(Dynamic())
    graph = trace(module, picture(2, 3, 6, 6), dynamic_shapes=({0: torch.export.Dim("batch")},))
    assert graph.inputs == ("x",)
    assert [layer.name for layer in graph.layers if not layer.inputs] == ["x"]
    assert not any(
        "arange" in operator or "zeros" in operator for layer in graph.layers for operator in layer.operators
    )
    assert graph.tensors["x"].shape == (None, 3, 6, 6)
    engine = make_engine(graph)
    x = picture(5, 3, 6, 6)
    with torch.inference_mode():
        expected = module(x)
    for layer in graph.layers:
        head, tail = split(graph, cut=layer.name, engine=engine)
        results = tail(head({"x": x.numpy()}))
        for name, value in zip(graph.outputs, expected, strict=True):
            assert np.array_equal(results[name], value.numpy()), layer.name


def test_a_layer_may_make_several_tensors() -> None:
    class Halves(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            first, second = torch.topk(x, 2).values.split(1, dim=1)
            return first.exp() @ second.sin().T

    graph = trace(Halves(), picture(3, 4))
    several = [layer for layer in graph.layers if len(layer.outputs) > 1]
    assert several
    assert several[0].outputs == (f"{several[0].name}:0", f"{several[0].name}:1")


def test_layers_that_no_output_needs_are_dropped_and_unneeded_inputs_too() -> None:
    class Spare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            self.spare(x)
            return self.used(x)

    graph = trace(Spare().eval(), (picture(1, 2), picture(1, 2)))
    assert [layer.name for layer in graph.layers] == ["x", "used"]
    assert graph.inputs == ("x",)
    assert any("'y'" in notice for notice in graph.notices)


def test_names_and_fingerprint_are_the_same_in_another_process() -> None:
    program = textwrap.dedent(
        """
        import torch
        from tests.model.test_tracing import Dynamic, picture, seeded
        from dnn_surgery.model.tracing import trace
        graph = trace(seeded(Dynamic()), picture(1, 3, 6, 6))
        print(graph.fingerprint, *(layer.name for layer in graph.layers), *graph.tensors)
        """
    )
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    graph = trace(seeded(Dynamic()), picture(1, 3, 6, 6))
    assert other.stdout.split() == [graph.fingerprint, *(layer.name for layer in graph.layers), *graph.tensors]


def test_the_fingerprint_tells_weights_and_structure_apart() -> None:
    base = trace(seeded(Dynamic()), picture(1, 3, 6, 6)).fingerprint
    changed = seeded(Dynamic())
    with torch.no_grad():
        changed.get_parameter("fc.bias")[0] += 1e-3
    assert trace(changed, picture(1, 3, 6, 6)).fingerprint != base
    assert trace(seeded(Dynamic()), picture(1, 3, 7, 7)).fingerprint != base


def test_training_mode_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Dropout(), nn.BatchNorm1d(2))
    module[1].eval()
    trace(module, picture(1, 2))
    assert [module.training, module[1].training, module[2].training] == [True, False, True]


class Draws(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + torch.rand(x.shape)


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.calls: torch.Tensor
        self.register_buffer("calls", torch.zeros(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls.add_(1)
        return x * self.calls


class Branches(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + 1 if x.sum() > 0 else x - 1


class Fixed(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ones(3)


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (Draws(), "draws random numbers"),
        (Counts(), "changes its own state"),
        (Branches(), "cannot export Branches"),
        (Fixed(), "returns no tensor that depends on its inputs"),
    ],
)
def test_what_cannot_be_split_is_refused_in_one_line(module: nn.Module, message: str) -> None:
    with pytest.raises(ModelError, match=message) as raised:
        trace(module, picture(1, 3))
    assert "\n" not in str(raised.value)


def test_a_layer_that_names_no_module_is_refused() -> None:
    with pytest.raises(ModelError, match="no operator"):
        trace(nn.Sequential(nn.Linear(2, 2)), picture(1, 2), layers={"stem": ("conv",)})


class Formula(nn.Module):
    """Two linear maps and whatever a test wants to compute with them."""

    def __init__(self, formula: Callable[[Formula, torch.Tensor], object]) -> None:
        super().__init__()
        self.formula = formula
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: torch.Tensor) -> object:
        return self.formula(self, x)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda m, x: x.relu() - x.sigmoid(), lambda m, x: x.sigmoid() - x.relu()),
        (lambda m, x: x.relu() + torch.full((4,), 1.0), lambda m, x: x.relu() + torch.full((4,), 2.0)),
        (lambda m, x: x.relu() * torch.arange(4), lambda m, x: x.relu() * (torch.arange(4) + 5)),
        (lambda m, x: x * m.a.bias + m.b.bias, lambda m, x: x * m.b.bias + m.a.bias),
        (lambda m, x: m.a(x) / (m.a(x) + 1), lambda m, x: (m.a(x) + 1) / m.a(x)),
        (
            lambda m, x: torch.cond(x.sum() > 0, lambda y: y + 1, lambda y: y - 1, (x,)),
            lambda m, x: torch.cond(x.sum() > 0, lambda y: y + 5, lambda y: y - 1, (x,)),
        ),
    ],
)
def test_the_fingerprint_tells_apart_what_computes_something_else(
    one: Callable[[Formula, torch.Tensor], object], other: Callable[[Formula, torch.Tensor], object]
) -> None:
    first, second = (trace(seeded(Formula(formula)), picture(1, 4), name="formula") for formula in (one, other))
    assert first.fingerprint != second.fingerprint
    assert first.fingerprint == trace(seeded(Formula(one)), picture(1, 4), name="formula").fingerprint


def test_one_tensor_given_twice_is_two_inputs() -> None:
    class Adds(nn.Module):
        def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            return x.exp() - y

    x = picture(1, 4)
    graph = trace(Adds(), (x, x))
    assert graph.inputs == ("x", "y")
    head, tail = split(graph, cut=["x", "y"])
    assert torch.equal(tail(head({"x": x, "y": 2 * x}))[graph.outputs[0]], x.exp() - 2 * x)


def test_scalars_stay_scalars_across_a_cut() -> None:
    module = seeded(Formula(lambda m, x: m.b(m.a(x).mean() * x)))
    graph, x = trace(module, picture(1, 4)), picture(1, 4)
    scalar = next(layer for layer in graph.layers if graph.tensors[layer.outputs[0]].shape == ())
    head, tail = split(graph, cut=[scalar.name, "x"])
    held = head({"x": x.numpy()})
    assert held[scalar.outputs[0]].shape == ()
    assert np.array_equal(tail(held)[graph.outputs[0]], module(x).detach().numpy())


def test_tensors_that_the_wire_cannot_carry_stay_within_a_layer() -> None:
    graph = trace(seeded(Formula(lambda m, x: m.b(torch.fft.irfft(torch.fft.rfft(m.a(x)) * 2, n=4)))), picture(1, 4))
    assert {tensor.dtype for tensor in graph.tensors.values()} == {"float32"}


def test_a_size_that_only_a_formula_tells_is_solved_for() -> None:
    class Grows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            more = torch.cat([x, x[:1]], 0).cumsum(1)
            return more.cumsum(0) * x.shape[0]

    graph = trace(Grows(), picture(3, 4), dynamic_shapes=({0: torch.export.Dim("batch")},))
    engine, x = make_engine(graph), picture(5, 4)
    for layer in graph.layers:
        head, tail = split(graph, cut=layer.name, engine=engine)
        assert torch.equal(tail(head({"x": x}))[graph.outputs[0]], Grows()(x))


def test_a_size_that_nothing_tells_is_refused_when_tracing() -> None:
    class Forgets(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x.mean(0).cumsum(0).cumsum(0) * x.shape[0]

    with pytest.raises(ModelError, match="export the model with that size fixed"):
        trace(Forgets(), picture(3, 4), dynamic_shapes=({0: torch.export.Dim("batch")},))


def test_sparse_weights_are_refused() -> None:
    module = Formula(lambda m, x: x @ m.get_buffer("table").to_dense())
    module.register_buffer("table", torch.eye(4).to_sparse())
    with pytest.raises(ModelError, match=r"sparse|cannot export"):
        trace(module, picture(1, 4))


def test_a_fast_path_that_rounds_otherwise_is_noticed() -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1).eval()
    graph = trace(encoder, picture(1, 3, 8))
    assert any("fast path" in notice for notice in graph.notices)
