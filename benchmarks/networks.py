"""Graphs of known architectures as planning problems, with layer times from a simple model of two machines.

Shapes and operations are counted as in the networks' papers; a layer takes a fixed overhead and its multiply-adds at a
fixed speed. Times are made up so, sizes and graphs are not: what a planner's speed depends on is the graph.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

from dnn_surgery.planning import CodecCost, Problem, ProblemLayer, TensorCost

EDGE = (2e-4, 8e9)  # seconds of overhead, multiply-adds per second
CLOUD = (5e-5, 4e11)


class Builder:
    """Adds layers one by one; a tensor is (name, channels, height and width)."""

    def __init__(self, name: str, side: int, channels: int = 3) -> None:
        self.name = name
        self._layers: list[ProblemLayer] = []
        self._shapes: dict[str, tuple[int, int]] = {}
        self.input = self._add("input", (), 0.0, (channels, side), 0.0)

    def conv(self, name: str, inputs: str | Sequence[str], channels: int, kernel: int = 3, stride: int = 1) -> str:
        """A convolution over the concatenated inputs (further inputs of equal shape may also be added)."""
        names = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        deep, side = sum(self._shapes[n][0] for n in names), -(-self._shapes[names[0]][1] // stride)
        weights = deep * channels * kernel * kernel
        return self._add(name, names, weights * side * side, (channels, side), 4.0 * weights)

    def add(self, name: str, inputs: Sequence[str], channels: int, kernel: int = 3, stride: int = 1) -> str:
        """A convolution of the first input, to which the others are added."""
        deep, side = self._shapes[inputs[0]][0], -(-self._shapes[inputs[0]][1] // stride)
        weights = deep * channels * kernel * kernel
        return self._add(name, tuple(inputs), weights * side * side, (channels, side), 4.0 * weights)

    def pool(self, name: str, source: str, stride: int = 2, *, whole: bool = False) -> str:
        """A pooling layer."""
        channels, side = self._shapes[source]
        small = 1 if whole else -(-side // stride)
        return self._add(name, (source,), channels * side * side, (channels, small), 0.0)

    def join(self, name: str, inputs: Sequence[str]) -> str:
        """A concatenation."""
        channels = sum(self._shapes[n][0] for n in inputs)
        side = self._shapes[inputs[0]][1]
        return self._add(name, tuple(inputs), channels * side * side, (channels, side), 0.0)

    def dense(self, name: str, inputs: str | Sequence[str], features: int) -> str:
        """A fully connected layer."""
        names = (inputs,) if isinstance(inputs, str) else tuple(inputs)
        weights = features * sum(self._shapes[n][0] * self._shapes[n][1] ** 2 for n in names)
        return self._add(name, names, weights, (features, 1), 4.0 * weights)

    def problem(self) -> Problem:
        """All layers so far; tensors that nothing reads are the outputs."""
        read = {name for layer in self._layers for name in layer.inputs}
        outputs = tuple(layer.name for layer in self._layers if layer.name not in read)
        return Problem(self.name, tuple(self._layers), outputs)

    def _add(self, name: str, inputs: tuple[str, ...], work: float, shape: tuple[int, int], params: float) -> str:
        self._shapes[name] = channels, side = shape
        edge_s, cloud_s = (overhead + work / speed if inputs else 0.0 for overhead, speed in (EDGE, CLOUD))
        tensor = TensorCost(name, 4.0 * channels * side * side)
        self._layers.append(ProblemLayer(name, inputs, (tensor,), edge_s, cloud_s, param_bytes=params))
        return name


def nin() -> Problem:
    """Network in Network: 9 layers."""
    net = Builder("NiN", 224)
    x = net.input
    for i, (channels, kernel, stride) in enumerate(((96, 11, 4), (256, 5, 1), (384, 3, 1)), 1):
        x = net.pool(f"max{i}", net.conv(f"conv{i}", x, channels, kernel, stride))
    net.pool("output", net.conv("conv4", x, 1000), whole=True)
    return net.problem()


def tiny_yolov2() -> Problem:
    """Tiny YOLOv2: 17 layers."""
    net = Builder("tiny YOLOv2", 288)
    x = net.input
    for i, channels in enumerate((16, 32, 64, 128, 256), 1):
        x = net.pool(f"max{i}", net.conv(f"conv{i}", x, channels))
    x = net.pool("max6", net.conv("conv6", x, 512), 1)
    x = net.conv("conv9", net.conv("conv8", net.conv("conv7", x, 1024), 1024), 125, 1)
    net.pool("output", x, 1)
    return net.problem()


def vgg16() -> Problem:
    """VGG16: 24 layers."""
    net = Builder("VGG16", 224)
    x = net.input
    for i, (count, channels) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
        for j in range(count):
            x = net.conv(f"conv{i}_{j + 1}", x, channels)
        x = net.pool(f"max{i}", x)
    x = net.dense("fc3", net.dense("fc2", net.dense("fc1", x, 4096), 4096), 1000)
    net.pool("output", net.pool("softmax", x, 1), 1)
    return net.problem()


def alexnet() -> Problem:
    """AlexNet with two towers joined by the last fully connected layer: 23 layers."""
    net = Builder("AlexNet", 224)
    ends = []
    for tower in "ab":
        x = net.pool(f"max1{tower}", net.conv(f"conv1{tower}", net.input, 48, 11, 4))
        x = net.pool(f"max2{tower}", net.conv(f"conv2{tower}", x, 128, 5))
        for i, channels in ((3, 192), (4, 192), (5, 128)):
            x = net.conv(f"conv{i}{tower}", x, channels)
        x = net.pool(f"max5{tower}", x)
        ends.append(net.dense(f"fc7{tower}", net.dense(f"fc6{tower}", x, 2048), 2048))
    net.pool("output", net.dense("fc8", ends, 1000), 1)
    return net.problem()


def resnet18() -> Problem:
    """ResNet-18 with additions fused into the second convolution of a block: 20 layers."""
    net = Builder("ResNet-18", 224)
    x = net.conv("conv1", net.input, 64, 7, 4)
    for i in range(8):
        channels, stride = 64 << i // 2, 2 if i in (2, 4, 6) else 1
        x = net.add(f"conv{2 * i + 3}", [net.conv(f"conv{2 * i + 2}", x, channels, 3, stride), x], channels)
    net.pool("output", net.dense("fc", x, 1000), 1)
    return net.problem()


def resnet152() -> Problem:
    """ResNet-152: bottleneck blocks, additions as layers of their own, projections where the shape changes."""
    net = Builder("ResNet-152", 224)
    x = net.pool("max", net.conv("conv1", net.input, 64, 7, 2))
    for stage, count in enumerate((3, 8, 36, 3)):
        for block in range(count):
            at, wide = f"{stage}.{block}.", 64 << stage
            stride = 2 if block == 0 and stage else 1
            y = net.conv(at + "b", net.conv(at + "a", x, wide, 1), wide, 3, stride)
            skip = net.conv(at + "skip", x, 4 * wide, 1, stride) if block == 0 else x
            x = net.add(at + "c", [y, skip], 4 * wide, 1)
    net.dense("fc", net.pool("mean", x, whole=True), 1000)
    return net.problem()


def googlenet() -> Problem:
    """GoogLeNet: nine modules of four branches, each activation a layer of its own."""
    net = Builder("GoogLeNet-like", 224)
    x = net.pool("max1", net.conv("conv1", net.input, 64, 7, 2))
    x = net.pool("max2", net.conv("conv2", x, 192))
    for i, wide in enumerate((256, 480, 512, 512, 512, 528, 832, 832, 1024)):
        at = f"{i}."
        if i in (2, 7):
            x = net.pool(at + "max", x)
        branches = [_activated(net, at + "1x1", x, wide // 4, 1)]
        for kernel, share in ((3, 2), (5, 8)):
            small = _activated(net, f"{at}{kernel}r", x, wide // (2 * share), 1)
            branches.append(_activated(net, f"{at}{kernel}", small, wide // share, kernel))
        branches.append(_activated(net, at + "proj", net.pool(at + "pool", x, 1), wide // 8, 1))
        x = net.join(at + "cat", branches)
    net.dense("fc", net.pool("mean", x, whole=True), 1000)
    return net.problem()


def _activated(net: Builder, name: str, source: str, channels: int, kernel: int) -> str:
    return net.pool(name + ".relu", net.conv(name, source, channels, kernel), 1)


def inception_v4() -> Problem:
    """Inception-v4: 4 A, 7 B and 3 C modules, the last with forked branches."""
    net = Builder("Inception-v4-like", 299)
    x = net.conv("stem3", net.conv("stem2", net.conv("stem1", net.input, 32, 3, 2), 32), 64)
    x = net.join("stem4", [net.pool("stem4a", x), net.conv("stem4b", x, 96, 3, 2)])
    x = net.pool("stem5", net.conv("stem6", x, 192))
    kinds = (("a", 4, 96, (1, 2, 2, 3)), ("b", 7, 192, (1, 2, 3, 5)), ("c", 3, 256, (1, 2, 3, 4)))
    for kind, count, channels, depths in kinds:
        for block in range(count):
            branches: list[str] = []
            for b, depth in enumerate(depths):
                y = x
                for d in range(depth):
                    y = net.conv(f"{kind}{block}.{b}.{d}", y, channels, 1 if d == 0 else 3)
                fork = kind == "c" and depth > 2
                ends = (y, net.conv(f"{kind}{block}.{b}.fork", y, channels, 1)) if fork else (y,)
                branches += ends
            x = net.join(f"{kind}{block}.cat", branches)
        if kind != "c":
            x = net.join(f"{kind}.down", [net.pool(f"{kind}.down.a", x), net.conv(f"{kind}.down.b", x, 384, 3, 2)])
    net.dense("fc", net.pool("mean", x, whole=True), 1000)
    return net.problem()


def densenet201() -> Problem:
    """DenseNet-201: every layer of a block reads all that came before it in the block."""
    net = Builder("DenseNet-201", 224)
    x = net.pool("max", net.conv("conv1", net.input, 64, 7, 2))
    for block, count in enumerate((6, 12, 48, 32)):
        features = [x]
        for layer in range(count):
            small = net.conv(f"{block}.{layer}.a", features, 128, 1)
            features.append(net.conv(f"{block}.{layer}.b", small, 32))
        x = net.conv(f"{block}.next", features, 128 << min(block, 2), 1)
        x = net.pool(f"{block}.pool", x, whole=block == 3)
    net.dense("fc", x, 1000)
    return net.problem()


def transformer(blocks: int = 96, width: int = 64) -> Problem:
    """A vision transformer of many blocks: 196 tokens, queries, keys and values in parallel, two skips a block."""
    net = Builder(f"transformer of {blocks} blocks", 14, 16 * 16 * 3)
    x = net.conv("embed", net.input, width, 1)
    for i in range(blocks):
        norm = net.pool(f"{i}.norm1", x, 1)
        parts = [net.conv(f"{i}.{part}", norm, width, 1) for part in "qkv"]
        x = net.add(f"{i}.proj", [net.conv(f"{i}.attention", parts, width, 1), x], width, 1)
        hidden = net.conv(f"{i}.fc1", net.pool(f"{i}.norm2", x, 1), 4 * width, 1)
        x = net.add(f"{i}.fc2", [hidden, x], width, 1)
    net.dense("head", net.pool("mean", x, whole=True), 1000)
    return net.problem()


def nasnet(cells: int = 44, seed: int = 0) -> Problem:
    """NASNet-like: each cell reads the two before it and combines random pairs of its own tensors."""
    dice = random.Random(seed)
    net = Builder("NASNet-like", 112, 32)
    before, last = net.input, net.conv("stem", net.input, 44, 3, 2)
    for cell in range(cells):
        at = f"{cell}."
        hidden = [net.conv(at + "left", before, 44, 1, 2 if cell == 0 else 1), net.conv(at + "right", last, 44, 1)]
        for block in range(8):
            one, other = dice.sample(hidden, 2)
            pair = [net.conv(f"{at}{block}.{side}", x, 44) for side, x in (("l", one), ("r", other))]
            hidden.append(net.add(f"{at}{block}", pair, 44, 1))
        before, last = last, net.join(at + "cat", hidden[2:])
    net.dense("fc", net.pool("mean", last, whole=True), 1000)
    return net.problem()


def random_dag(layers: int, seed: int = 0, reach: int = 4) -> Problem:
    """A random graph: each layer reads one to three of the last `reach`, now and then one from far back."""
    dice = random.Random(seed)
    net = Builder(f"random {layers}", 28, 8)
    made = [net.input]
    for i in range(layers - 1):
        near = made[-reach:]
        reads = set(dice.sample(near, min(len(near), dice.choice((1, 1, 2, 3)))))
        if dice.random() < 0.02:
            reads.add(dice.choice(made))
        made.append(net.conv(f"l{i}", sorted(reads), dice.choice((4, 8, 16)), dice.choice((1, 3))))
    return net.problem()


def with_six_codecs(problem: Problem) -> Problem:
    """The same with raw, fp16, int8, int4, lossless and a picture codec for every tensor."""
    shares = (("raw", 1.0, 0.0), ("fp16", 0.5, 4e9), ("int8", 0.25, 2e9), ("int4", 0.125, 1e9), ("lossless", 0.7, 1e8))
    codecs = {}
    for layer in problem.layers:
        for tensor in layer.outputs:
            # How well a tensor compresses depends on what is in it; its name stands for that.
            luck = 0.7 + 0.6 * (sum(map(ord, tensor.name)) * 0.6180339887 % 1)
            ways = [
                CodecCost(name, math.ceil(tensor.size_bytes * share * (luck if name == "lossless" else 1.0)), s, s / 2)
                for name, share, speed in shares
                for s in [tensor.size_bytes / speed if speed else 0.0]
            ]
            ways.append(CodecCost("picture", math.ceil(0.06 * luck * tensor.size_bytes), tensor.size_bytes / 3e7, 1e-4))
            codecs[tensor.name] = ways
    return problem.with_codecs(codecs)


FIVE: tuple[Callable[[], Problem], ...] = (nin, tiny_yolov2, vgg16, alexnet, resnet18)
LARGE: tuple[Callable[[], Problem], ...] = (resnet152, googlenet, inception_v4, densenet201, transformer)
