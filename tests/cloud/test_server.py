import socket
import threading
from collections.abc import Iterator

import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.errors import AddressError, DeadlineError, RemoteError, UnreachableError
from dnn_surgery.execution.engine import Array, Engine
from tests.cloud.engines import GatedEngine
from tests.cloud.network import assert_equal, client_of, served


@pytest.fixture
def gated() -> Iterator[GatedEngine]:
    engine = GatedEngine()
    yield engine
    engine.running.set()


def our_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("dnn-surgery")]


def test_a_port_in_use_is_one_clear_error(engine: Engine, capfd: pytest.CaptureFixture[str]) -> None:
    before = our_threads()
    with CloudServer(engine) as server:
        with pytest.raises(AddressError, match=f"cannot listen at {server.address}: the port is in use"):
            CloudServer(engine, address=server.address).start()
        with client_of(server, engine.graph) as client:
            assert client.is_live()
    assert our_threads() == before
    assert capfd.readouterr().err == ""


def test_a_port_that_another_program_has_is_not_shared(engine: Engine) -> None:
    with socket.create_server(("127.0.0.1", 0), reuse_port=True) as other:
        address = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(AddressError, match="the port is in use"):
            CloudServer(engine, address=address).start()


@pytest.mark.parametrize(
    ("address", "why"),
    [("nowhere.invalid:0", "the name 'nowhere.invalid' does not resolve"), ("192.0.2.1:0", "assign")],
)
def test_an_address_that_is_not_this_machines(engine: Engine, address: str, why: str) -> None:
    with pytest.raises(AddressError, match=f"cannot listen at {address}: .*{why}"):
        CloudServer(engine, address=address, insecure=True).start()


def test_a_port_is_free_again_at_once(engine: Engine, inputs: dict[str, Array], expected: dict[str, Array]) -> None:
    with CloudServer(engine) as server, client_of(server, engine.graph) as client:
        assert_equal(dict(client.infer(inputs).tensors), expected)
        server.stop()
        with CloudServer(engine, address=server.address) as again, client_of(again, engine.graph) as other:
            assert_equal(dict(other.infer(inputs).tensors), expected)


def test_stopping_joins_every_thread_and_may_be_repeated(engine: Engine, inputs: dict[str, Array]) -> None:
    before = our_threads()
    server = CloudServer(engine)
    with server, client_of(server, engine.graph) as client:
        client.infer(inputs)
        assert len(our_threads()) > len(before)
        server.stop()
        server.stop()
    assert our_threads() == before


def test_a_request_under_way_is_finished_before_the_server_stops(
    gated: GatedEngine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    gated.running.clear()
    with CloudServer(gated) as server, client_of(server, gated.graph) as client:
        pending = client.infer_async(inputs)
        gated.begun.acquire()
        stopping = threading.Thread(target=server.stop, kwargs={"grace_s": 60.0})
        stopping.start()
        with pytest.raises(UnreachableError, match="the server is stopping"):
            while True:
                client.server_metadata()
        assert client.is_live()
        gated.running.set()
        assert_equal(dict(pending.result().tensors), expected)
        stopping.join()
    assert not client.is_live()


def test_a_request_that_outlasts_the_grace_is_given_up_without_a_word(
    gated: GatedEngine, inputs: dict[str, Array], capfd: pytest.CaptureFixture[str]
) -> None:
    gated.running.clear()
    with CloudServer(gated) as server, client_of(server, gated.graph) as client:
        pending = client.infer_async(inputs)
        gated.begun.acquire()
        stopping = threading.Thread(target=server.stop, kwargs={"grace_s": 0.0})
        stopping.start()
        with pytest.raises(UnreachableError):
            pending.result()
        gated.running.set()
        stopping.join()
    assert capfd.readouterr().err == ""


def test_a_fault_of_the_server_ends_one_request_and_shows_no_traceback(
    gated: GatedEngine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    gated.failure = RuntimeError("at /somewhere/secret.py")
    with served(gated) as client:
        with pytest.raises(RemoteError, match=r"INTERNAL: the server failed: RuntimeError$"):
            client.infer(inputs)
        gated.failure = None
        assert_equal(dict(client.infer(inputs).tensors), expected)


def test_a_deadline_is_kept_and_what_waits_past_it_is_never_begun(
    gated: GatedEngine, inputs: dict[str, Array], expected: dict[str, Array]
) -> None:
    gated.running.clear()
    with served(gated) as client:
        first = client.infer_async(inputs)
        gated.begun.acquire()
        with pytest.raises(DeadlineError, match="did not answer within 200 ms"):
            client.infer(inputs, timeout_s=0.2)
        client.server_metadata()  # travels behind the cancellation: the server knows of it once this is answered
        gated.running.set()
        assert_equal(dict(first.result().tensors), expected)
        assert_equal(dict(client.infer(inputs).tensors), expected)
    assert gated.ran == 2


def test_waiting_behind_others_shows_in_queue_and_load(gated: GatedEngine, inputs: dict[str, Array]) -> None:
    gated.running.clear()
    with served(gated) as client:
        pending = [client.infer_async(inputs) for _ in range(3)]
        gated.begun.acquire()
        gated.running.set()
        replies = sorted((one.result() for one in pending), key=lambda reply: reply.queue_s)
    assert replies[0].queue_s < replies[1].queue_s < replies[2].queue_s
    assert max(reply.load for reply in replies) > 1
