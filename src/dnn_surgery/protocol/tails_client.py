"""The client of a server of any make that serves each exported tail under a name of its own.

It uses the standard's calls alone: ServerLive, ModelReady, ModelMetadata, ModelInfer; plain tensors, no fingerprint.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from dnn_surgery.errors import DeadlineError, FingerprintError, SurgeryError, UnknownModelError, UnreachableError
from dnn_surgery.execution.part_names import tail_name
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.client import InferenceClient, Payload
from dnn_surgery.protocol.credentials import Credentials
from dnn_surgery.protocol.dataplane import Array, TensorDescription
from dnn_surgery.protocol.pending import PendingReply
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from dnn_surgery.protocol.wire import join

# ServerLiveRequest has no fields: what stands in this one is received, and then passed over as of a later version.
_PADDING_FIELD = 15


class TailsClient(InferenceClient):
    """One server, one model, as many served models as there are exported cuts. Arguments as `InferenceClient`.

    Raises:
        InputError: the address is malformed.
    """

    def __init__(
        self,
        address: str,
        graph: ModelGraph,
        *,
        timeout_s: float = 10.0,
        credentials: Credentials = Credentials(),
    ) -> None:
        name = tail_name(graph, graph.inputs, graph.outputs)
        super().__init__(address, model_name=name, timeout_s=timeout_s, credentials=credentials)
        self._graph = graph

    def infer_async(
        self,
        tensors: Mapping[str, Array | Payload],
        outputs: Sequence[str] = (),
        *,
        codecs: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        acknowledged: bool = False,  # noqa: ARG002 - no standard server would
    ) -> PendingReply:
        """See :meth:`InferenceClient.infer_async`; the model is the tail that takes `tensors` and makes `outputs`."""
        return super().infer_async(tensors, outputs, codecs=codecs, timeout_s=timeout_s)

    def _request(
        self,
        tensors: Mapping[str, Array | Payload],
        outputs: Sequence[str],
        codecs: Mapping[str, str] | None,
        timeout_s: float | None,
    ) -> tuple[bytes, float]:
        # Servers know no tensor without dimensions; an exported tail takes a scalar as [1].
        sent = {
            name: value.reshape(1) if isinstance(value, np.ndarray) and not value.ndim else value
            for name, value in tensors.items()
        }
        return super()._request(sent, outputs, codecs, timeout_s)

    def check_live(self) -> None:
        """Makes sure that a server answers.

        Raises:
            UnreachableError: none does, or it says that it is not live.
        """
        if not self._call(methods.SERVER_LIVE, oip.ServerLiveRequest(), None).live:
            raise UnreachableError(f"the server at {self.address} says that it is not live")

    def serves(self, sent: Iterable[str], wanted: Iterable[str]) -> bool:
        """Whether the server has the tail that makes `wanted` from `sent` loaded.

        Raises:
            UnreachableError: no server answers, or the connection was lost.
            DeadlineError: there was no answer in time.
        """
        request = oip.ModelReadyRequest(name=self._model_for(sent, wanted))
        try:
            return self._call(methods.MODEL_READY, request, None).ready
        except (UnreachableError, DeadlineError):
            raise
        except SurgeryError:
            # Some servers say that a model is not ready, others that there is none.
            return False

    def check_served(self, sent: Sequence[str], wanted: Sequence[str]) -> None:
        """Makes sure that the server has this tail, and that it takes and makes what the graph's does.

        Raises:
            UnknownModelError: it has not.
            FingerprintError: what it has under that name is another tail.
        """
        name = self._model_for(sent, wanted)
        if not self.serves(sent, wanted):
            raise UnknownModelError(
                f"the server at {self.address} serves no model {name!r}: export this cut with --format triton and "
                "load it there"
            )
        served = self.model_metadata(name)
        for what, names, found in (("takes", sent, served.inputs), ("makes", wanted, served.outputs)):
            expected = {tensor: self._described(tensor) for tensor in names}
            if not _fits(expected, found):
                raise FingerprintError(
                    f"the server's {name!r} is the tail of another model: it {what} "
                    f"{', '.join(map(_shown, found))}, expected {', '.join(map(_shown, expected.values()))}"
                )

    def probe(self, size_bytes: int, *, timeout_s: float | None = None) -> float:
        """Seconds from sending a ServerLive call of `size_bytes` more than it needs until its answer is here."""
        data = join(b"", _PADDING_FIELD, [memoryview(os.urandom(size_bytes))])
        started_s = time.perf_counter()
        self._call_raw(methods.SERVER_LIVE, data, timeout_s)
        return time.perf_counter() - started_s

    def _model_for(self, tensors: Iterable[str], outputs: Iterable[str]) -> str:
        return tail_name(self._graph, tuple(tensors), tuple(outputs) or self._graph.outputs)

    def _described(self, name: str) -> TensorDescription:
        tensor = self._graph.tensors[name]
        return TensorDescription(name, tensor.dtype, tensor.shape or (1,))


def _fits(expected: Mapping[str, TensorDescription], found: Sequence[TensorDescription]) -> bool:
    """Whether these are the same tensors; a size that either side leaves open fits any."""
    if {tensor.name for tensor in found} != expected.keys():
        return False
    for tensor in found:
        wanted = expected[tensor.name]
        if tensor.dtype != wanted.dtype or len(tensor.shape) != len(wanted.shape):
            return False
        sizes = zip(tensor.shape, wanted.shape, strict=True)
        if any(None not in (one, other) and one != other for one, other in sizes):
            return False
    return True


def _shown(tensor: TensorDescription) -> str:
    sizes = ", ".join("?" if size is None else str(size) for size in tensor.shape)
    return f"{tensor.name} {tensor.dtype} [{sizes}]"
