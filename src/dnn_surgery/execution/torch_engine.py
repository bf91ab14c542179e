"""Runs parts of a traced graph with PyTorch, on the CPU or on CUDA where it is present.

    given tensors --restore memory order--> placeholders --functional operators--> wanted tensors
                                  constants, folded once an engine ---^

Each part is an `fx.GraphModule` made of the very operators of the traced graph, in its order and with its constants, so
that a head and a tail compute what the unsplit model computes, to the bit on one CPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from dnn_surgery.errors import InputError, TensorError
from dnn_surgery.execution.engine import Array, Engine, EngineInfo, Part, check_array
from dnn_surgery.execution.torch_sizes import SizeReader
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.torch_program import TorchProgram

# Arrays that come from the wire are read-only; the graph is functional, so nothing ever writes to them.
warnings.filterwarnings("ignore", message="The given NumPy array is not writable")

# Where torch's own tensors begin. Matrix kernels pick their order of summation by alignment too: the same numbers at an
# odd address, as inside a message, gave other last bits.
MAX_THREADS = 1024
ALIGNMENT_BYTES = 64


class TorchEngine(Engine):
    """PyTorch, eager operators, inference mode.

    Args:
        graph: a traced graph.
        device: ``auto`` (CUDA where present, else the CPU), ``cpu``, ``cuda`` or ``cuda:1``.
        threads: torch's threads within an operator, for the whole process; None leaves them as they are.

    Raises:
        InputError: there is no such device.
    """

    stacks = True

    def __init__(self, graph: ModelGraph, *, device: str = "auto", threads: int | None = None) -> None:
        if not isinstance(graph.program, TorchProgram):
            raise InputError(f"the torch engine runs graphs traced from PyTorch, not from {graph.program.kind}")
        if threads is not None:
            if not 1 <= threads <= MAX_THREADS:
                raise InputError(f"the number of threads must be from 1 to {MAX_THREADS}, got {threads}")
            torch.set_num_threads(threads)
        self.graph, self.program = graph, graph.program
        self.device = _device(device)
        self.info = EngineInfo(
            name="torch",
            version=str(torch.__version__),
            device=str(self.device),
            device_name=torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu",
            threads=torch.get_num_threads(),
        )
        self._constants = self._fold_constants()

    def part(self, inputs: Sequence[str], outputs: Sequence[str]) -> Part:
        """See :meth:`Engine.part`. Building takes milliseconds and copies no weights."""
        self.graph.between(inputs, outputs)
        return TorchPart(self, tuple(inputs), tuple(outputs))

    def example(self) -> dict[str, torch.Tensor]:
        """See :meth:`Engine.example`."""
        return {name: self.restore(name, value.to(self.device)) for name, value in self.program.example.items()}

    def to_native(self, name: str, array: Array) -> torch.Tensor:
        """See :meth:`Engine.to_native`."""
        check_array(self.graph, name, array)
        # Shares the memory where it can. np.ascontiguousarray would make a scalar a vector.
        tensor = torch.from_numpy(np.asarray(array, order="C")).to(self.device)
        if tensor.data_ptr() % ALIGNMENT_BYTES:
            tensor = tensor.clone()
        if self.graph.tensors[name].dtype == "bfloat16":
            tensor = tensor.view(torch.bfloat16)
        return self.restore(name, tensor)

    def restore(self, name: str, tensor: torch.Tensor) -> torch.Tensor:
        """The same values, laid out in memory as when the tensor was traced."""
        return self.program.layout[name].apply(tensor)

    def to_array(self, native: Any) -> Array:
        """See :meth:`Engine.to_array`."""
        tensor = native.detach().contiguous().cpu()
        if tensor.dtype is torch.bfloat16:
            tensor = tensor.view(torch.uint16)
        array: Array = tensor.numpy()
        return array

    def synchronize(self) -> None:
        """See :meth:`Engine.synchronize`."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def module(self, inputs: Sequence[str], outputs: Sequence[str]) -> fx.GraphModule:
        """The operators of a part, as torch's exporters take them."""
        return build_module(self, tuple(inputs), tuple(outputs))

    def constant(self, node: fx.Node) -> object:
        """The value of a constant node, on this engine's device."""
        return self._constants[node]

    def localise(self, node: fx.Node) -> dict[str, Any]:
        """A node's keyword arguments with this engine's device in place of the traced one."""
        return {key: self.device if isinstance(value, torch.device) else value for key, value in node.kwargs.items()}

    def _fold_constants(self) -> dict[fx.Node, object]:
        """Runs every operator that depends on constants alone, once; keeps the values that others read."""
        roles, values = self.program.roles, dict[fx.Node, Any]()
        with torch.inference_mode():
            for node in self.program.graph.nodes:
                if node not in roles.constant:
                    continue
                if node.name in self.program.constants:
                    value = self.program.constants[node.name]
                    values[node] = value.detach().to(self.device) if isinstance(value, torch.Tensor) else value
                else:
                    arguments = fx.map_arg(node.args, values.__getitem__)
                    keywords = fx.map_arg(self.localise(node), values.__getitem__)
                    values[node] = node.target(*arguments, **keywords)
        return {node: value for node, value in values.items() if any(user not in roles.constant for user in node.users)}


class TorchPart(Part):
    """See :class:`Part`. Takes torch tensors or arrays, and gives back what it was given."""

    def __init__(self, engine: TorchEngine, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> None:
        self.engine, self.inputs, self.outputs = engine, inputs, outputs
        self._module = build_module(engine, inputs, outputs)

    def run(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Part.run`."""
        try:
            with torch.inference_mode():
                results = self._module(*(tensors[name] for name in self.inputs))
        except IndexError as error:
            raise TensorError(f"{', '.join(self.inputs)}: a value is out of the model's range: {error}") from error
        return dict(zip(self.outputs, results, strict=True))

    def __call__(self, tensors: Mapping[str, Any]) -> dict[str, Any]:
        """See :meth:`Part.__call__`."""
        if missing := [name for name in self.inputs if name not in tensors]:
            raise TensorError(f"missing tensors: {', '.join(missing)}")
        with torch.inference_mode():
            native = {name: self._admit(name, tensors[name]) for name in self.inputs}
        results = self.run(native)
        if any(isinstance(tensors[name], torch.Tensor) for name in self.inputs):
            return results
        return {name: self.engine.to_array(result) for name, result in results.items()}

    def stack(self, frames: Sequence[Mapping[str, Array]]) -> list[dict[str, Array]]:
        """See :meth:`Part.stack`: each operator by its batching rule (`torch.vmap`), whatever sizes were traced."""
        with torch.inference_mode():
            given = [
                torch.stack([self.engine.to_native(name, frame[name]) for frame in frames]) for name in self.inputs
            ]
            made = torch.vmap(self._module)(*given)
        return [
            {name: self.engine.to_array(result[index]) for name, result in zip(self.outputs, made, strict=True)}
            for index in range(len(frames))
        ]

    def _admit(self, name: str, value: Any) -> torch.Tensor:
        if not isinstance(value, torch.Tensor):
            return self.engine.to_native(name, np.asarray(value))
        stand_in = np.broadcast_to(np.empty((), dtype=_numpy_dtype(value.dtype)), tuple(value.shape))
        check_array(self.engine.graph, name, stand_in)
        return self.engine.restore(name, value.to(self.engine.device))


def build_module(engine: TorchEngine, inputs: tuple[str, ...], outputs: tuple[str, ...]) -> fx.GraphModule:
    """A module from the inputs to the outputs, native tensors in their order: a copy of the operators between them."""
    program = engine.program
    part, holder = fx.Graph(), torch.nn.Module()
    copies: dict[fx.Node, fx.Node] = {}
    for index, name in enumerate(inputs):
        copies[program.node[name]] = part.placeholder(f"input_{index}")
    sizes = SizeReader(part, copies)
    wanted = {program.node[name] for name in outputs}
    needed = _needed(program, wanted, stop=set(copies))

    def copy_of(node: fx.Node) -> fx.Node:
        if node in copies:
            return copies[node]
        if node in program.roles.constant:
            setattr(holder, f"constant_{node.name}", engine.constant(node))
            copies[node] = part.create_node("get_attr", f"constant_{node.name}")
        else:
            copies[node] = sizes.read(node)
        return copies[node]

    for node in program.graph.nodes:
        # A size is copied like any operator where the tensor it is read from is here, else re-read from another one.
        if node not in needed or node in copies or (node in program.roles.size and not sizes.has_sources(node, needed)):
            continue
        if node in program.roles.constant:
            continue
        arguments = fx.map_arg(node.args, copy_of)
        keywords = fx.map_arg(engine.localise(node), copy_of)
        copies[node] = part.create_node(node.op, node.target, arguments, keywords)
    part.output(tuple(copy_of(program.node[name]) for name in outputs))
    return fx.GraphModule(holder, part)


def _needed(program: TorchProgram, wanted: set[fx.Node], *, stop: set[fx.Node]) -> set[fx.Node]:
    """Every node on the way from the given tensors to the wanted ones.

    A size does not need the tensor that it is read from.
    """
    needed, queue = set[fx.Node](), list(wanted)
    while queue:
        node = queue.pop()
        if node in needed:
            continue
        needed.add(node)
        if node not in stop and node not in program.roles.constant:
            queue.extend(
                source
                for source in node.all_input_nodes
                if not (node in program.roles.size and source not in program.roles.size)
            )
    return needed


def _numpy_dtype(dtype: torch.dtype) -> np.dtype[Any]:
    return np.dtype("uint16" if dtype is torch.bfloat16 else str(dtype).removeprefix("torch."))


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()  # the meta device, say, has no values
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise InputError(f"no device {name!r} here: {str(error).splitlines()[0]}") from error
    return device
