"""The ModelGraph of an exported PyTorch program: operators become layers, their results named tensors."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind, OutputKind

from dnn_surgery.errors import ModelError
from dnn_surgery.model import torch_nodes as nodes
from dnn_surgery.model.graph import Layer, ModelGraph, Picture, Tensor
from dnn_surgery.model.grouping import Operator, group
from dnn_surgery.model.naming import NameSource, layer_names
from dnn_surgery.model.torch_program import TorchProgram
from dnn_surgery.model.torch_recording import Recorder
from dnn_surgery.model.torch_sizes import reading

LayerModules = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Description:
    """What a graph says of itself beside its layers."""

    name: str
    layers: LayerModules = field(default_factory=dict)
    picture: Picture | None = None
    labels: tuple[str, ...] | None = None
    notices: tuple[str, ...] = ()


class Builder:
    """One pass over an exported program; :meth:`build` is the order in which the pieces depend on each other."""

    def __init__(self, program: ExportedProgram, example: list[Any], description: Description) -> None:
        self.program, self.description = program, description
        self.notices = list(description.notices)
        self.graph = program.graph
        self._refuse_changed_state()
        by_name = {node.name: node for node in self.graph.nodes}
        specs = program.graph_signature.input_specs
        user = [spec for spec in specs if spec.kind is InputKind.USER_INPUT]
        self.example = {
            by_name[spec.arg.name]: value
            for spec, value in zip(user, example, strict=True)
            if isinstance(value, torch.Tensor)
        }
        self.constants, self.parameter_names = self._constants(by_name)
        for node in self.graph.nodes:
            # A view needs strides that a received tensor may not have; reshape is the same where it has them.
            if node.target is torch.ops.aten.view.default:
                node.target = torch.ops.aten.reshape.default
        self.outputs = self._outputs(by_name)
        self.roles = nodes.roles(self.graph, self.example.keys())
        for node in self.example:
            if node not in self.roles.data:
                self.notices.append(f"no result of {description.name} needs its input {node.name!r}; it is left out")
        self.values = Recorder(program, self.roles).record(self.constants, self.example)

    def build(self) -> ModelGraph:
        """The graph; `ModelError` where a layer cannot be one."""
        groups = self._group()
        names = self._names(groups)
        tensor_of = self._tensors(groups, names)
        made: dict[int, list[fx.Node]] = {}
        for node in tensor_of:
            made.setdefault(groups[node], []).append(node)
        layers = tuple(
            self._layer(
                names[label], [node for node in self.roles.data if groups[node] == label], made[label], tensor_of
            )
            for label in range(len(names))
        )
        parameters = {self.parameter_names[node]: self.constants[node.name] for node in self.parameter_names}
        program = TorchProgram(
            graph=self.graph,
            roles=self.roles,
            constants=self.constants,
            parameters={name: value for name, value in parameters.items() if isinstance(value, torch.Tensor)},
            node={tensor: node for node, tensor in tensor_of.items()},
            layout={tensor: self.values[node].layout for node, tensor in tensor_of.items()},
            example={tensor_of[node]: value for node, value in self.example.items() if node in tensor_of},
        )
        return ModelGraph(
            name=self.description.name,
            layers=layers,
            tensors={tensor: self._tensor(tensor, node) for node, tensor in tensor_of.items()},
            inputs=tuple(tensor_of[node] for node in self.example if node in tensor_of),
            outputs=tuple(dict.fromkeys(tensor_of[node] for node in self.outputs)),
            program=program,
            picture=self.description.picture,
            labels=self.description.labels,
            notices=tuple(self.notices),
        )

    def _refuse_changed_state(self) -> None:
        changed = [
            spec.target for spec in self.program.graph_signature.output_specs if spec.kind is OutputKind.BUFFER_MUTATION
        ]
        if changed:
            raise ModelError(
                f"{self.description.name} changes its own state ({', '.join(map(str, changed))}) on each call"
            )

    def _constants(self, by_name: Mapping[str, fx.Node]) -> tuple[dict[str, object], dict[fx.Node, str]]:
        """Values of all placeholders that are no input and of all attributes, and the name of each that is a weight."""
        program, values, names = self.program, dict[str, object](), dict[fx.Node, str]()
        for spec in program.graph_signature.input_specs:
            node = by_name[spec.arg.name] if hasattr(spec.arg, "name") else None
            if node is None or node in self.example:
                continue
            target = str(spec.target) if spec.target is not None else node.name
            if spec.kind is InputKind.USER_INPUT:
                values[node.name] = getattr(spec.arg, "value", None)  # a literal argument, such as a flag
                continue
            stored = program.state_dict if spec.target in program.state_dict else program.constants
            values[node.name], names[node] = stored[target], target
            if isinstance(stored[target], torch.Tensor) and stored[target].layout != torch.strided:
                raise ModelError(f"weight {target} of {self.description.name} is sparse; only dense ones are supported")
        for node in self.graph.nodes:
            if node.op == "get_attr":
                values[node.name] = _attribute(program.graph_module, str(node.target))
        return values, names

    def _outputs(self, by_name: Mapping[str, fx.Node]) -> list[fx.Node]:
        """The nodes of the model's results, in order; the graph's output node is rewritten to them alone."""
        results = []
        for position, spec in enumerate(self.program.graph_signature.output_specs):
            if spec.kind is not OutputKind.USER_OUTPUT:
                continue
            node = by_name.get(getattr(spec.arg, "name", ""))
            if node is not None and isinstance(node.meta.get("val"), torch.Tensor):
                results.append(node)
            else:
                self.notices.append(f"result {position} of {self.description.name} is no tensor and is left out")
        self._set_outputs(results)
        found = nodes.roles(self.graph, self.example.keys())
        fixed = [node for node in results if node not in found.data]
        if fixed:
            self.notices.append(
                f"{len(fixed)} results of {self.description.name} do not depend on its inputs; left out"
            )
        results = [node for node in results if node not in fixed]
        if not results:
            raise ModelError(f"{self.description.name} returns no tensor that depends on its inputs")
        self._set_outputs(results)
        return results

    def _set_outputs(self, results: list[fx.Node]) -> None:
        next(node for node in self.graph.nodes if node.op == "output").args = (tuple(results),)

    def _group(self) -> dict[fx.Node, int]:
        data = self.roles.data
        number = {node: index for index, node in enumerate(data)}
        joined: dict[int, set[int]] = {index: set() for index in range(len(data))}
        for index, node in enumerate(data):
            sources = [number[source] for source in node.all_input_nodes if source in number]
            for source in sources:
                if not nodes.is_cuttable(data[source]) or nodes.needs_storage_of(node):
                    joined[index].add(source)
        wanted = {index: layer for index, node in enumerate(data) if (layer := self._wanted_layer(node)) is not None}
        first: dict[str, int] = {}
        for index, layer in wanted.items():
            joined[index].add(first.setdefault(layer, index))
        if absent := set(self.description.layers) - set(first):
            raise ModelError(f"layers name modules that run no operator in {self.description.name}: {sorted(absent)}")
        results = set(self.outputs)
        operators = [
            Operator(
                reads=tuple(number[source] for source in node.all_input_nodes if source in number),
                size_bytes=self.values[node].size_bytes if node in self.values else 0,
                follows=nodes.is_follower(node),
                fixed=index in wanted,
                is_input=node in self.example,
                is_output=node in results,
                joined=tuple(joined[index]),
            )
            for index, node in enumerate(data)
        ]
        return dict(zip(data, group(operators), strict=True))

    def _wanted_layer(self, node: fx.Node) -> str | None:
        path = nodes.module_path(node)
        for layer, modules in self.description.layers.items():
            if any(module and (path == module or path.startswith(module + ".")) for module in modules):
                return layer
        return None

    def _names(self, groups: Mapping[fx.Node, int]) -> list[str]:
        members: dict[int, list[fx.Node]] = {}
        for node in self.roles.data:
            members.setdefault(groups[node], []).append(node)
        sources = []
        for label in range(len(members)):
            inside = members[label]
            main = next((node for node in inside if not nodes.is_follower(node)), inside[0])
            wanted = next((layer for node in inside if (layer := self._wanted_layer(node)) is not None), None)
            fixed = main.name if main in self.example else wanted
            sources.append(NameSource(nodes.module_path(main), nodes.operator_name(main), fixed))
        return layer_names(sources, [nodes.module_path(node) for node in self.roles.data])

    def _tensors(self, groups: Mapping[fx.Node, int], names: Sequence[str]) -> dict[fx.Node, str]:
        """The tensors that leave their layer: the layer's name if it makes one, else ``name:0``, ``name:1`` ..."""
        results = set(self.outputs)
        leaving: dict[int, list[fx.Node]] = {}
        for node in self.roles.data:
            read_outside = any(groups.get(user, groups[node]) != groups[node] for user in node.users)
            if node in results or read_outside:
                leaving.setdefault(groups[node], []).append(node)
        return {
            node: names[label] if len(made) == 1 else f"{names[label]}:{index}"
            for label, made in sorted(leaving.items())
            for index, node in enumerate(made)
        }

    def _layer(
        self, name: str, inside: Sequence[fx.Node], made: Sequence[fx.Node], tensor_of: Mapping[fx.Node, str]
    ) -> Layer:
        members = set(inside)
        read = dict.fromkeys(
            tensor_of[source]
            for node in inside
            for source in node.all_input_nodes
            if source in tensor_of and source not in members
        )
        self._check_sizes(name, inside, [node for node in tensor_of if tensor_of[node] in read])
        weights = sorted(self._weights(inside))
        values = [self.constants[node.name] for node in self.parameter_names if self.parameter_names[node] in weights]
        return Layer(
            name=name,
            inputs=tuple(read),
            outputs=tuple(tensor_of[node] for node in made),
            operators=tuple(nodes.operator_text(node) for node in inside if node not in self.example),
            parameters=tuple(weights),
            param_bytes=sum(value.nbytes for value in values if isinstance(value, torch.Tensor)),
        )

    def _check_sizes(self, name: str, inside: Sequence[fx.Node], read: Sequence[fx.Node]) -> None:
        """Every size that a layer needs must be told by what it reads, or cuts before it could not run."""
        known, queue = {*inside}, [source for node in inside for source in node.all_input_nodes]
        while queue:
            node = queue.pop()
            if node in known or node not in self.roles.size | self.roles.local:
                continue
            known.add(node)
            own_source = all(source in inside for source in node.all_input_nodes)
            if node in self.roles.size and (own_source or reading(node, [*read, *inside]) is not None):
                continue
            if node in self.roles.size and not any(source in self.roles.size for source in node.all_input_nodes):
                raise ModelError(
                    f"layer {name} of {self.description.name} needs the size {nodes.size_expression(node)}, which "
                    "varies and which no tensor that it reads tells: export the model with that size fixed"
                )
            queue.extend(node.all_input_nodes)

    def _weights(self, inside: Sequence[fx.Node]) -> set[str]:
        """Names of the weights that these operators read, also by way of constant operators."""
        seen = set[fx.Node]()
        queue = [source for node in inside for source in node.all_input_nodes if source not in self.roles.data]
        while queue:
            node = queue.pop()
            if node not in seen and node in self.roles.constant | self.roles.local:
                seen.add(node)
                queue.extend(node.all_input_nodes)
        return {self.parameter_names[node] for node in seen if node in self.parameter_names}

    def _tensor(self, name: str, node: fx.Node) -> Tensor:
        value = node.meta["val"]
        shape = tuple(int(size) if isinstance(size, int) else None for size in value.shape)
        return Tensor(name, str(value.dtype).removeprefix("torch."), shape, self.values[node].size_bytes)


def _attribute(module: torch.nn.Module, target: str) -> object:
    value: object = module
    for part in target.split("."):
        value = getattr(value, part)
    return value
