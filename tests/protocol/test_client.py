import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.errors import DeadlineError, InputError, RemoteError, UnreachableError
from dnn_surgery.execution.engine import Array, Engine
from dnn_surgery.protocol import methods
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.pending import PendingReply
from dnn_surgery.protocol.stubs import open_inference_pb2 as oip
from tests.cloud.engines import GatedEngine
from tests.cloud.network import NAME, assert_equal, client_of, served


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def test_a_server_that_is_not_there_is_named(inputs: dict[str, Array]) -> None:
    port = free_port()
    with InferenceClient(f"127.0.0.1:{port}", model_name=NAME) as client:
        with pytest.raises(UnreachableError, match=f"^no server answers at 127.0.0.1:{port}$"):
            client.infer(inputs)
        with pytest.raises(UnreachableError, match=r"^no server answers"):
            client.model_metadata()
        with pytest.raises(UnreachableError, match=r"^no server answers"):
            client.probe(10)
        assert not client.is_live()


def test_a_name_that_is_nobodys_is_named() -> None:
    with (
        InferenceClient("nowhere.invalid:1", model_name=NAME) as client,
        pytest.raises(UnreachableError, match=r"at nowhere\.invalid:1: the name does not resolve"),
    ):
        client.server_metadata()


def test_an_address_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match="no port"):
        InferenceClient("cloud:http", model_name=NAME)


def test_a_restarted_server_is_found_again(
    engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    with CloudServer(engine) as server, client_of(server, engine.graph) as client:
        assert_equal(dict(client.infer(inputs).tensors), expected)
        server.stop()
        with pytest.raises(UnreachableError):
            client.infer(inputs)
        with CloudServer(engine, address=server.address):
            while not client.is_live():
                pass
            assert_equal(dict(client.infer(inputs).tensors), expected)


def test_a_closed_client_says_so(server: CloudServer, engine: Engine, inputs: dict[str, Array]) -> None:
    with client_of(server, engine.graph) as client:
        client.infer(inputs)
    client.close()
    with pytest.raises(UnreachableError, match="is closed"):
        client.infer(inputs)
    with pytest.raises(UnreachableError, match="is closed"):
        client.server_metadata()


def test_answers_are_awaited_together(client: InferenceClient, inputs: dict[str, Array], expected: Any) -> None:
    called: list[PendingReply] = []
    all_called = threading.Semaphore(0)

    def note(pending: PendingReply) -> None:
        called.append(pending)
        all_called.release()

    pending = [client.infer_async(inputs) for _ in range(10)]
    for one in pending:
        one.add_done_callback(note)
    for one in pending:
        assert_equal(dict(one.result().tensors), expected)
        assert one.done()
    for _ in pending:
        all_called.acquire()
    assert sorted(map(id, called)) == sorted(map(id, pending))


def test_one_client_serves_many_threads(client: InferenceClient, inputs: dict[str, Array], expected: Any) -> None:
    with ThreadPoolExecutor(8) as pool:
        for reply in pool.map(lambda _: client.infer(inputs), range(40)):
            assert_equal(dict(reply.tensors), expected)


def test_waiting_may_be_bounded_while_the_request_goes_on(inputs: dict[str, Array], expected: dict[str, Array]) -> None:
    engine = GatedEngine()
    engine.running.clear()
    with served(engine) as client:
        pending = client.infer_async(inputs)
        with pytest.raises(DeadlineError, match="within 10 ms yet"):
            pending.result(timeout_s=0.01)
        assert not pending.done()
        engine.running.set()
        assert_equal(dict(pending.result().tensors), expected)


def test_a_request_given_up_in_the_queue_is_never_begun(inputs: dict[str, Array], expected: dict[str, Array]) -> None:
    engine = GatedEngine()
    engine.running.clear()
    with served(engine) as client:
        first = client.infer_async(inputs)
        engine.begun.acquire()
        second = client.infer_async(inputs)
        client.server_metadata()  # travels behind it: the server has it once this is answered
        second.cancel()
        with pytest.raises(UnreachableError, match="was cancelled"):
            second.result()
        client.server_metadata()
        engine.running.set()
        assert_equal(dict(first.result().tensors), expected)
        client.infer(inputs)
    assert engine.ran == 2


def test_a_probe_takes_longer_than_nothing(client: InferenceClient) -> None:
    assert all(client.probe(size_bytes) > 0 for size_bytes in (0, 1, 100_000))


class OtherServer:
    """A server of another make: no profile, typed contents in its replies."""

    def __enter__(self) -> str:
        self._server = grpc.server(ThreadPoolExecutor(1))
        handler = grpc.unary_unary_rpc_method_handler(self._infer)
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(methods.INFERENCE_SERVICE, {"ModelInfer": handler}),)
        )
        port = self._server.add_insecure_port("127.0.0.1:0")
        self._server.start()
        return f"127.0.0.1:{port}"

    def __exit__(self, *_: object) -> None:
        self._server.stop(None).wait()

    def _infer(self, data: bytes, _: grpc.ServicerContext) -> bytes:
        reply = oip.ModelInferResponse(model_name=oip.ModelInferRequest.FromString(data).model_name)
        reply.outputs.add(name="y", datatype="INT32", shape=[2]).contents.int_contents.extend([4, 5])
        return reply.SerializeToString()


def test_a_server_of_another_make_is_understood_as_far_as_it_goes() -> None:
    with OtherServer() as address, InferenceClient(address, model_name="theirs") as client:
        reply = client.infer({"x": np.zeros(1, np.float32)})
        np.testing.assert_array_equal(reply.tensors["y"], np.array([4, 5], np.int32))
        assert (reply.queue_s, reply.compute_s, reply.load) == (0.0, 0.0, 1.0)
        with pytest.raises(RemoteError, match="UNIMPLEMENTED"):
            client.fetch_profile()


def test_word_of_a_requests_arrival_comes_before_it_is_computed(inputs: dict[str, Array]) -> None:
    engine = GatedEngine()
    engine.running.clear()
    with served(engine) as client:
        pending = client.infer_async(inputs, acknowledged=True)
        assert pending.wait_received() is not None
        assert not pending.done()
        engine.running.set()
        assert pending.result().bytes_up == pending.bytes_up
        plain = client.infer_async(inputs)
        plain.result()
        assert plain.wait_received() is None


def test_a_request_that_fails_is_never_said_to_have_arrived(inputs: dict[str, Array]) -> None:
    with InferenceClient(f"127.0.0.1:{free_port()}", model_name=NAME) as client:
        assert client.infer_async(inputs, acknowledged=True).wait_received() is None


def test_a_ping_takes_time_and_finds_who_is_there(server: CloudServer, engine: Engine) -> None:
    with client_of(server, engine.graph) as client:
        assert client.ping() > 0
        client.reconnect()
        assert client.ping() > 0
    with InferenceClient(f"127.0.0.1:{free_port()}", model_name=NAME) as client, pytest.raises(UnreachableError):
        client.ping(timeout_s=1.0)
