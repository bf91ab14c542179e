"""The cloud: a gRPC server with an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from concurrent.futures import Future
from types import TracebackType

import grpc.aio

from dnn_surgery.cloud.listening import check_listen
from dnn_surgery.cloud.service import TailService
from dnn_surgery.cloud.tails import DEFAULT_MAX_TAILS
from dnn_surgery.errors import AddressError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.address import Address, parse_address
from dnn_surgery.protocol.channel import DEFAULT_MAX_MESSAGE_BYTES, server_options
from dnn_surgery.protocol.servicer import InferenceServicer

logger = logging.getLogger(__name__)

DEFAULT_GRACE_S = 5.0

# For answers that are on their way out.
_FLUSH_S = 0.2


class CloudServer:
    """Serves the model of an engine while the `with` block runs.

    Args:
        engine: runs the tails, in one thread.
        address: ``host:port``; port 0 takes any free one, see `port`.
        max_message_bytes: the largest message taken or sent.
        profile: what the model costs here; without it, it is measured when a client first asks for it.
        max_tails: so many tails are kept.

    Raises:
        InputError: the address is malformed.
        ProfileError: the profile is of another model.
        AddressError: the address cannot be listened on (raised on entering).
    """

    def __init__(
        self,
        engine: Engine,
        *,
        address: str = "127.0.0.1:0",
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        profile: Profile | None = None,
        max_tails: int = DEFAULT_MAX_TAILS,
    ) -> None:
        self._asked = parse_address(address)
        self._max_message_bytes = max_message_bytes
        self._service = TailService(engine, profile=profile, max_tails=max_tails)
        self._stop_asked = threading.Event()
        self._stopping: tuple[asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._thread: threading.Thread | None = None
        self._grace_s = DEFAULT_GRACE_S
        self.port = self._asked.port

    @property
    def address(self) -> str:
        """``host:port`` as it is listened on."""
        return str(Address(self._asked.host, self.port))

    def __enter__(self) -> CloudServer:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Listens; returns once requests are answered.

        Raises:
            AddressError: the address cannot be listened on.
        """
        try:
            check_listen(self._asked)
            started: Future[int] = Future()
            self._thread = threading.Thread(target=self._serve, args=(started,), name="dnn-surgery-server")
            self._thread.start()
            self.port = started.result()
        except BaseException:
            self.stop()
            raise

    def stop(self, *, grace_s: float = DEFAULT_GRACE_S) -> None:
        """Takes no more requests, finishes those under way (for at most `grace_s`), joins all threads.

        May be called again; a stopped server does not start again.
        """
        if self._thread is not None:
            self._grace_s = grace_s
            self._stop_asked.set()
            if self._stopping is not None:
                loop, stopping = self._stopping
                # The loop may have ended by itself meanwhile.
                with contextlib.suppress(RuntimeError):
                    loop.call_soon_threadsafe(stopping.set)
            self._thread.join()
            self._thread = None
        self._service.close()

    def _serve(self, started: Future[int]) -> None:
        try:
            asyncio.run(self._main(started))
        except Exception as error:
            if started.done():
                logger.exception("the server ended")
            else:
                started.set_exception(error)

    async def _main(self, started: Future[int]) -> None:
        stopping = asyncio.Event()
        self._stopping = asyncio.get_running_loop(), stopping
        server = grpc.aio.server(options=server_options(max_message_bytes=self._max_message_bytes))
        servicer = InferenceServicer(self._service)
        server.add_generic_rpc_handlers(servicer.handlers())
        try:
            port = server.add_insecure_port(str(self._asked))
        except RuntimeError as error:
            raise AddressError(f"cannot listen at {self._asked}") from error
        await server.start()
        started.set_result(port)
        # Asked before the loop ran, nobody could wake it.
        if not self._stop_asked.is_set():
            await stopping.wait()
        # Not left to gRPC's own grace: calls that reach it as it begins to stop are neither answered nor refused.
        await servicer.drain(grace_s=self._grace_s)
        await server.stop(_FLUSH_S)
        # Tasks of calls that were given up end by themselves; cancelled with the loop, they would print a traceback.
        if left := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.wait(left, timeout=1.0)


def serve(
    graph: ModelGraph,
    address: str = "127.0.0.1:0",
    *,
    engine: Engine | None = None,
    profile: Profile | None = None,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
) -> CloudServer:
    """A server of `graph`, to be used as a context manager; its `address` says where it listens.

    Args:
        graph: the model.
        address: ``host:port``; port 0 takes any free one.
        engine: what runs the tails; torch on this machine by default.
        profile: what the model costs here; measured when a client first asks, if not given.
        max_message_bytes: the largest message taken or sent.

    Raises:
        AddressError: the address cannot be listened on (raised on entering).

    Example:
        >>> with serve(graph) as server, connect(graph, server.address) as edge:
        ...     result = edge({"picture": picture})
    """
    return CloudServer(
        engine or make_engine(graph), address=address, profile=profile, max_message_bytes=max_message_bytes
    )
