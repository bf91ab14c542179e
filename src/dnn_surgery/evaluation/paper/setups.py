"""Where the paper's experiments run: this machine's profiles, made slower by factors that are stated.

Three set-ups. *measured*: the edge is this machine, so many times slower, the cloud this machine. *calibrated*: both
sides are scaled so that conv8 of tiny YOLOv2 takes what the paper's figure 7 shows; all other layers by the shares
measured here. *implied*: each network's devices take what
the paper's own two bars for Cloud-Only say (figure 12; its upload is the slowest stage),

    throughput speed-up = edge-only / upload,    latency speed-up = edge-only / (upload + cloud),

which shows how far the paper's figures fit each other, whatever its devices were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dnn_surgery.errors import ProfileError
from dnn_surgery.evaluation.paper import published
from dnn_surgery.evaluation.strategies import PictureCodec
from dnn_surgery.planning import CodecCost, Goal, Link, Problem
from dnn_surgery.profiling.profile import Profile

CALIBRATION_LAYER = "conv8"


@dataclass(frozen=True)
class Setup:
    """A pair of machines: `loads` are factors on this machine's seconds, edge and cloud, of each network.

    `problems` hold what the paper knows: the float32 input may be sent, the uint8 picture may not. In `with_jpeg` the
    picture may be sent too, as it is, or as a jpeg.
    """

    name: str
    note: str
    loads: Mapping[str, tuple[float, float]]
    problems: Mapping[str, Problem]
    with_jpeg: Mapping[str, Problem]

    def goal(self, network: str, rate_hz: float | None = None) -> Goal:
        """Least latency of a network on these machines, at a rate."""
        return Goal("latency", rate_hz, *self.loads[network])

    def scaled(self, network: str) -> Problem:
        """A network's problem with the factors in its seconds, for what knows of no loads."""
        problem, (edge_load, cloud_load) = self.problems[network], self.loads[network]
        layers = (
            replace(layer, edge_s=layer.edge_s * edge_load, cloud_s=layer.cloud_s * cloud_load)
            for layer in problem.layers
        )
        return replace(problem, name=f"{network}, {self.name}", layers=tuple(layers))


@dataclass(frozen=True)
class Basis:
    """What all set-ups are made of: profiles of this machine, and what a jpeg of each network's picture costs.

    Networks without a jpeg have no strategies that need one.
    """

    profiles: Mapping[str, Profile]
    jpegs: Mapping[str, PictureCodec]

    def measured(self, edge_slowdown: float) -> Setup:
        """This machine against itself made slower."""
        note = f"profiles of this machine, the edge {edge_slowdown:g} times slower (an emulated device)"
        return self._setup("measured", note, dict.fromkeys(self.profiles, (edge_slowdown, 1.0)))

    def calibrated(self) -> Setup:
        """Both sides scaled to the paper's figure 7.

        Raises:
            ProfileError: there is no profile of tiny YOLOv2, or it has no such layer.
        """
        edge_s, cloud_s = published.CONV8_S
        loads = self._figure_7()
        note = (
            f"shares measured on this machine; {CALIBRATION_LAYER} of tiny YOLOv2 takes {edge_s:g} s at the edge and "
            f"{cloud_s:g} s in the cloud, as in figure 7 (factors {loads[0]:.3g} and {loads[1]:.3g})"
        )
        return self._setup("calibrated", note, dict.fromkeys(self.profiles, loads))

    def implied(self) -> Setup:
        """Each network's devices as fast as the paper's bars for Cloud-Only say."""
        loads = {}
        for network, profile in self.profiles.items():
            problem = Problem.from_profiles(profile, profile)
            edge_s, cloud_s = implied_seconds(network, input_bytes(problem))
            here_s = sum(layer.edge_s for layer in problem.layers)
            loads[network] = (edge_s / here_s, cloud_s / here_s)
        figures = ", ".join(f"{network} {edge:.3g} and {cloud:.3g}" for network, (edge, cloud) in loads.items())
        note = f"devices as the paper's bars for Cloud-Only imply (edge and cloud times this machine: {figures})"
        return self._setup("implied", note, loads)

    def _figure_7(self) -> tuple[float, float]:
        """Factors on this machine's seconds that make conv8 of tiny YOLOv2 what figure 7 shows."""
        profile = self.profiles.get("tiny_yolov2")
        layer = next((one for one in profile.layers if one.name == CALIBRATION_LAYER), None) if profile else None
        if layer is None or not layer.seconds > 0:
            raise ProfileError(f"calibrating to the paper needs the seconds of {CALIBRATION_LAYER} of tiny_yolov2")
        edge_s, cloud_s = published.CONV8_S
        return edge_s / layer.seconds, cloud_s / layer.seconds

    def _setup(self, name: str, note: str, loads: Mapping[str, tuple[float, float]]) -> Setup:
        whole = {network: Problem.from_profiles(profile, profile) for network, profile in self.profiles.items()}
        return Setup(
            name=name,
            note=note,
            loads=loads,
            problems={network: _keep_picture(problem) for network, problem in whole.items()},
            with_jpeg={network: _with_jpeg(whole[network], jpeg) for network, jpeg in self.jpegs.items()},
        )


def _keep_picture(problem: Problem) -> Problem:
    """The same problem where the uint8 picture may not leave: the paper uploads float32."""
    first = picture_layer(problem)
    return replace(
        problem,
        layers=tuple(
            replace(layer, outputs=tuple(replace(tensor, send=False) for tensor in layer.outputs))
            if layer.name == first
            else layer
            for layer in problem.layers
        ),
    )


def _with_jpeg(problem: Problem, jpeg: PictureCodec) -> Problem:
    first = picture_layer(problem)
    (tensor,) = next(layer.outputs for layer in problem.layers if layer.name == first)
    way = CodecCost(jpeg.codec, jpeg.size_bytes, jpeg.encode_s, jpeg.decode_s)
    return problem.with_codecs({tensor.name: [*tensor.ways, way]})


def picture_layer(problem: Problem) -> str:
    """The layer that is the picture itself."""
    return next(layer.name for layer in problem.layers if not layer.inputs)


def input_layer(problem: Problem) -> str:
    """The layer that makes the float32 input of the network out of the picture."""
    first = picture_layer(problem)
    return next(layer.name for layer in problem.layers if first in layer.inputs)


def link_of(network: str) -> Link:
    """A network of the paper's table I; its round trip is not given there, so it counts nothing."""
    return Link(published.UPLINK_MBPS[network] * 1e6)


def input_bytes(problem: Problem) -> float:
    """Bytes of the float32 input."""
    name = input_layer(problem)
    return next(layer.outputs[0].size_bytes for layer in problem.layers if layer.name == name)


def implied_seconds(network: str, size_bytes: float) -> tuple[float, float]:
    """What the whole network takes on the paper's edge and cloud, by its two bars for Cloud-Only in figure 12."""
    upload_s = size_bytes * link_of(published.FIGURE_12_TO_14_LINK).up_byte_s
    latency, throughput = published.CLOUD_LIGHT[network]
    edge_s = throughput * upload_s
    return edge_s, edge_s / latency - upload_s
