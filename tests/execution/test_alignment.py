import numpy as np
import torch

from dnn_surgery.execution.engine import Array
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.tracing import trace


def at_offset(array: Array, offset_bytes: int) -> Array:
    """The same array at an address that is so many bytes behind a multiple of 64."""
    memory = np.zeros(array.nbytes + 128, dtype=np.uint8)
    start = -memory.ctypes.data % 64 + offset_bytes
    memory[start : start + array.nbytes] = array.reshape(-1).view(np.uint8)
    return np.frombuffer(memory[start : start + array.nbytes].data, dtype=array.dtype).reshape(array.shape)


def test_the_address_of_an_array_changes_no_bit() -> None:
    torch.manual_seed(0)
    graph = trace(torch.nn.Linear(2048, 10).eval(), (torch.zeros(1, 2048),))
    part = make_engine(graph, device="cpu", threads=1).part(graph.inputs, graph.outputs)
    (name,), (output,) = graph.inputs, graph.outputs
    array = np.random.default_rng(0).standard_normal((1, 2048)).astype(np.float32)
    answers = [part({name: at_offset(array, offset)})[output] for offset in (0, 1, 2, 3, 4, 8, 16, 52)]
    for answer in answers:
        np.testing.assert_array_equal(answer, answers[0])
