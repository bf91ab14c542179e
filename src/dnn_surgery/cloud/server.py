"""The cloud: a gRPC server with an event loop in a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from types import TracebackType

import grpc.aio

from dnn_surgery.cloud.encryption import ServerTls
from dnn_surgery.cloud.gate import ClientGate, Quota
from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.listening import check_exposure, check_listen
from dnn_surgery.cloud.service import TailService
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import AddressError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.execution.engines import make_engine
from dnn_surgery.model.graph import ModelGraph
from dnn_surgery.profiling.profile import Profile
from dnn_surgery.protocol.address import Address, parse_address
from dnn_surgery.protocol.channel import DEFAULT_MAX_MESSAGE_BYTES, HANDSHAKE_TIMEOUT_S, server_options
from dnn_surgery.protocol.handler import Observer, RequestHandler
from dnn_surgery.protocol.servicer import DEFAULT_UPLOAD_TIMEOUT_S, Servicer

logger = logging.getLogger(__name__)

DEFAULT_GRACE_S = 5.0

# For answers that are on their way out.
_FLUSH_S = 0.2


class CloudServer:
    """Serves the models of its engines while the `with` block runs.

    Args:
        engine: runs the tails, in one thread; several serve several models.
        address: ``host:port``; port 0 takes any free one, see `port`.
        max_message_bytes: the largest message taken or sent.
        profile: what a model costs here, or several; without it, it is measured when a client first asks for it.
        limits: what is taken on at once.
        batching: requests for the same cut may run together where that is faster; results then differ in last bits.
        tls: our certificate, and whose clients' certificates we trust.
        insecure: allows an address beyond this machine without `tls`.
        tokens: without a token of this file nobody gets in.
        quota: what each client may.
        observers: told of every call.
        handshake_timeout_s: how long a client may take to connect.
        upload_timeout_s: how long it may take to send a request.

    Raises:
        InputError: the address is malformed, or beyond this machine without TLS; two models have one name.
        ProfileError: a profile is of another model.
        AddressError: the address cannot be listened on (raised on entering).
    """

    def __init__(
        self,
        engine: Engine | Sequence[Engine],
        *,
        address: str = "127.0.0.1:0",
        max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
        profile: Profile | Sequence[Profile] | None = None,
        limits: ServingLimits = ServingLimits(),
        batching: bool = False,
        tls: ServerTls | None = None,
        insecure: bool = False,
        tokens: TokenFile | None = None,
        quota: Quota = Quota(),
        observers: Sequence[Observer] = (),
        handshake_timeout_s: float = HANDSHAKE_TIMEOUT_S,
        upload_timeout_s: float = DEFAULT_UPLOAD_TIMEOUT_S,
    ) -> None:
        self._asked = parse_address(address)
        check_exposure(self._asked, encrypted=tls is not None, insecure=insecure)
        self._options = server_options(max_message_bytes=max_message_bytes, handshake_timeout_s=handshake_timeout_s)
        self._limits, self._tls, self._observers = limits, tls, tuple(observers)
        self._upload_timeout_s = upload_timeout_s
        self._gate = ClientGate(tokens=tokens, quota=quota, limits=limits)
        self.service = TailService(engine, profile=profile, limits=limits, batching=batching)
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
        self.service.close()

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
        server = grpc.aio.server(options=self._options, maximum_concurrent_rpcs=self._limits.calls)
        handler = RequestHandler(self.service, gate=self._gate, observers=self._observers)
        server.add_generic_rpc_handlers(Servicer(handler, upload_timeout_s=self._upload_timeout_s).handlers())
        try:
            if self._tls is None:
                port = server.add_insecure_port(str(self._asked))
            else:
                port = server.add_secure_port(str(self._asked), self._tls.credentials())
        except RuntimeError as error:
            raise AddressError(f"cannot listen at {self._asked}") from error
        await server.start()
        started.set_result(port)
        # Asked before the loop ran, nobody could wake it.
        if not self._stop_asked.is_set():
            await stopping.wait()
        # Not left to gRPC's own grace: calls that reach it as it begins to stop are neither answered nor refused.
        await handler.drain(grace_s=self._grace_s)
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
    tls: ServerTls | None = None,
    insecure: bool = False,
    tokens: TokenFile | None = None,
) -> CloudServer:
    """A server of `graph`, to be used as a context manager; its `address` says where it listens.

    Args:
        graph: the model.
        address: ``host:port``; port 0 takes any free one.
        engine: what runs the tails; torch on this machine by default.
        profile: what the model costs here; measured when a client first asks, if not given.
        max_message_bytes: the largest message taken or sent.
        tls: the server's certificate; without it only this machine is listened to, unless `insecure` allows more.
        tokens: without a token of this file nobody gets in.

    Raises:
        InputError: the address is beyond this machine without TLS.
        AddressError: the address cannot be listened on (raised on entering).

    Example:
        >>> with serve(graph) as server, connect(graph, server.address) as edge:
        ...     result = edge({"picture": picture})
    """
    return CloudServer(
        engine or make_engine(graph),
        address=address,
        profile=profile,
        max_message_bytes=max_message_bytes,
        tls=tls,
        insecure=insecure,
        tokens=tokens,
    )
