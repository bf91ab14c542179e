import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from dnn_surgery import codecs
from dnn_surgery.cloud.ray_server import RayServer
from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.model.tracing import trace
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.dataplane import TensorDescription
from tests.cloud.network import NAME, SIZE, assert_equal, cuts, head, random_input, seeded, served


@pytest.fixture(scope="module")
def server(either_server: CloudServer | RayServer) -> CloudServer | RayServer:
    return either_server


def test_the_models_own_input_gets_the_whole_models_answer(
    client: InferenceClient, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    assert len(expected) == 2
    assert_equal(dict(client.infer(inputs).tensors), expected)


def test_every_cut_is_equal_to_the_whole_model_bit_for_bit(
    client: InferenceClient, engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    sent_counts = set()
    for edge in cuts(engine.graph):
        sent, remaining = head(engine, edge, inputs)
        sent_counts.add(len(sent))
        reply = client.infer(sent, remaining)
        assert_equal(dict(reply.tensors), {name: expected[name] for name in remaining})
    assert {1, 2} <= sent_counts, "the network should have cuts with one and with two boundary tensors"


def test_one_output_alone_needs_only_its_own_way(
    client: InferenceClient, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    for name, array in expected.items():
        assert_equal(dict(client.infer(inputs, [name]).tensors), {name: array})


def test_a_tensor_in_the_middle_can_be_asked_for(
    client: InferenceClient, engine: Engine, inputs: dict[str, Array]
) -> None:
    edge = engine.graph.edge_layers(engine.graph.layers[2].name)
    sent, _ = head(engine, edge, inputs)
    assert sent
    assert_equal(dict(client.infer(inputs, list(sent)).tensors), sent)


def test_outputs_come_in_the_order_they_were_asked_for(client: InferenceClient, inputs: dict[str, Array]) -> None:
    names = list(client.infer(inputs).tensors)
    assert list(client.infer(inputs, names[::-1]).tensors) == names[::-1]


def test_raw_and_lossless_payloads_are_decoded(
    client: InferenceClient, inputs: dict[str, Array], expected: dict[str, Array], graph: ModelGraph
) -> None:
    (name,) = graph.inputs
    payload = codecs.encode("raw", inputs[name])
    assert_equal(dict(client.infer({name: payload}, codecs={name: "raw"}).tensors), expected)


@pytest.mark.parametrize("codec", ["zstd", "fp16+zstd", "int8c+zstd", "int3"])
def test_a_boundary_tensor_travels_with_a_codec(
    client: InferenceClient, engine: Engine, inputs: dict[str, Array], codec: str
) -> None:
    encoded = 0
    for edge in cuts(engine.graph):
        sent, remaining = head(engine, edge, inputs)
        floats = {
            name: array for name, array in sent.items() if codecs.get(codec).accepts(array.dtype.name, array.shape)
        }
        reply = client.infer(sent, remaining, codecs=dict.fromkeys(floats, codec))
        arrived = {
            name: codecs.decode(codec, codecs.encode(codec, array), array.dtype.name, array.shape)
            for name, array in floats.items()
        }
        by_hand = client.infer({**sent, **arrived}, remaining)
        assert_equal(dict(reply.tensors), dict(by_hand.tensors))
        encoded += len(floats)
    assert encoded > 3


def test_a_picture_travels_as_jpeg_and_png() -> None:
    class Pixels(torch.nn.Module):
        def forward(self, picture: torch.Tensor) -> torch.Tensor:
            return picture.to(torch.float32) / 255

    picture = np.random.default_rng(1).integers(0, 256, (1, SIZE, SIZE, 3)).astype(np.uint8)
    graph = trace(Pixels(), (torch.zeros(1, SIZE, SIZE, 3, dtype=torch.uint8),), name="pixels")
    (name,), (output,) = graph.inputs, graph.outputs
    with served(make_engine(graph)) as client:
        plain = client.infer({name: picture})
        png = client.infer({name: picture}, codecs={name: "png"})
        jpeg = client.infer({name: picture}, codecs={name: "jpeg95"})
        by_hand = client.infer({name: codecs.encode("jpeg95", picture)}, codecs={name: "jpeg95"})
    decoded = codecs.decode("jpeg95", codecs.encode("jpeg95", picture), "uint8", picture.shape)
    np.testing.assert_array_equal(plain.tensors[output], png.tensors[output])
    np.testing.assert_array_equal(jpeg.tensors[output], decoded.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(jpeg.tensors[output], by_hand.tensors[output])
    assert not np.array_equal(jpeg.tensors[output], plain.tensors[output])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_tensors_of_other_datatypes_cross_the_cut(dtype: torch.dtype) -> None:
    class Mixed(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            converted = (x * 3).to(dtype)
            return converted, converted.to(torch.float32) + x.mean()

    graph = trace(Mixed(), (torch.randn(2, 3),), name="mixed")
    engine = make_engine(graph)
    inputs = {graph.inputs[0]: np.random.default_rng(2).standard_normal((2, 3)).astype(np.float32)}
    expected = engine.part(graph.inputs, graph.outputs)(inputs)
    converted, last = graph.outputs
    assert graph.tensors[converted].dtype == str(dtype).removeprefix("torch.")
    sent, remaining = head(engine, graph.edge_layers(graph.producer[converted].name), inputs)
    assert converted in sent
    assert remaining == (last,)
    with served(engine) as client:
        assert_equal(dict(client.infer(sent, remaining).tensors), {last: expected[last]})
        assert_equal(dict(client.infer(inputs).tensors), expected)


def test_a_batch_of_any_size_is_served_where_the_size_was_left_open() -> None:
    example = torch.zeros(2, 3, SIZE, SIZE)
    graph = trace(seeded(0), (example,), name=NAME, dynamic_shapes=({0: torch.export.Dim("batch")},))
    engine = make_engine(graph, device="cpu", threads=1)
    (name,) = graph.inputs
    assert graph.tensors[name].shape == (None, 3, SIZE, SIZE)
    with served(engine) as client:
        assert client.model_metadata().inputs == (TensorDescription(name, "float32", (None, 3, SIZE, SIZE)),)
        for batch in (1, 3):
            inputs = {name: np.concatenate([random_input(number) for number in range(batch)])}
            answer = engine.part(graph.inputs, graph.outputs)(inputs)
            assert_equal(dict(client.infer(inputs).tensors), answer)
            sent, remaining = head(engine, cuts(graph)[2], inputs)
            assert_equal(dict(client.infer(sent, remaining).tensors), {one: answer[one] for one in remaining})
        one = client.infer({name: codecs.encode("raw", random_input(0))}, codecs={name: "raw"})
        assert_equal(dict(one.tensors), dict(client.infer({name: random_input(0)}).tensors))


def test_a_reply_says_what_it_took(client: InferenceClient, inputs: dict[str, Array]) -> None:
    reply = client.infer(inputs)
    assert reply.compute_s > 0
    assert reply.queue_s >= 0
    assert reply.elapsed_s >= reply.compute_s + reply.queue_s
    assert reply.load >= 1
    payload_bytes = sum(array.nbytes for array in inputs.values())
    assert payload_bytes < reply.bytes_up < payload_bytes + 500
    answer_bytes = sum(array.nbytes for array in reply.tensors.values())
    assert answer_bytes < reply.bytes_down < answer_bytes + 500


def test_many_clients_with_many_cuts_get_their_own_answers(client: InferenceClient, engine: Engine) -> None:
    whole = engine.part(engine.graph.inputs, engine.graph.outputs)
    start = threading.Barrier(8)

    def one_client(number: int) -> None:
        inputs = {engine.graph.inputs[0]: random_input(number)}
        answer = whole(inputs)
        start.wait()
        for edge in cuts(engine.graph):
            sent, remaining = head(engine, edge, inputs)
            assert_equal(dict(client.infer(sent, remaining).tensors), {name: answer[name] for name in remaining})

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one_client, range(8)))


def test_server_and_model_describe_themselves(client: InferenceClient, graph: ModelGraph) -> None:
    assert client.is_live()
    assert client.server_metadata().name == "dnn-surgery"
    model = client.model_metadata()
    assert (model.name, model.versions) == (NAME, ("1",))
    assert model.inputs == (TensorDescription(graph.inputs[0], "float32", (1, 3, SIZE, SIZE)),)
    assert [output.name for output in model.outputs] == list(graph.outputs)
    assert [output.shape for output in model.outputs] == [(1, 10), (1, 8)]
