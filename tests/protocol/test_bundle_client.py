"""Fetching a bundle over real sockets, from the real server and from servers that misbehave."""

from __future__ import annotations

import asyncio
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc.aio
import pytest

from dnn_surgery.cloud.server import CloudServer
from dnn_surgery.errors import FingerprintError, ModelError, RemoteError, UnknownModelError, UnreachableError
from dnn_surgery.execution.engine import Engine
from dnn_surgery.model.bundle_file import load_bundle
from dnn_surgery.protocol.bundle_client import RETRIES, fetch_bundle
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.dataplane import (
    BundleFile,
    Caller,
    DataPlane,
    InferRequest,
    InferResult,
    ModelDescription,
    ServerDescription,
)
from dnn_surgery.protocol.handler import BUNDLE_PIECE_BYTES, RequestHandler
from dnn_surgery.protocol.servicer import Servicer
from tests.cloud.network import client_of

CONTENT = bytes(range(256)) * 8192
FINGERPRINT = "ab" * 32


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "dnn-surgery" / "bundles"


def check(path: Path) -> str:
    return load_bundle(path).fingerprint


def check_content(path: Path) -> str:
    if path.read_bytes() != CONTENT:
        raise ModelError(f"{path} is damaged")
    return FINGERPRINT


class Plane(DataPlane):
    """Offers `file`; nothing else is asked of it."""

    def __init__(self, file: BundleFile) -> None:
        self.file = file

    @property
    def models(self) -> tuple[str, ...]:
        return ()

    def server(self) -> ServerDescription:
        raise NotImplementedError

    def model(self, name: str, version: str) -> ModelDescription:
        raise NotImplementedError

    async def infer(self, request: InferRequest, caller: Caller = Caller()) -> InferResult:
        raise NotImplementedError

    async def profile(self, name: str, fingerprint: str | None) -> str:
        raise NotImplementedError

    async def bundle(self, name: str, fingerprint: str | None) -> BundleFile:
        return self.file


@contextmanager
def serving(plane: DataPlane) -> Iterator[InferenceClient]:
    """A client of a real server over a plane of the test's."""
    ready, ended = threading.Event(), threading.Event()
    ports: list[int] = []

    async def run() -> None:
        server = grpc.aio.server()
        server.add_generic_rpc_handlers(Servicer(RequestHandler(plane)).handlers())
        ports.append(server.add_insecure_port("127.0.0.1:0"))
        await server.start()
        ready.set()
        await asyncio.to_thread(ended.wait)
        await server.stop(None)

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert ready.wait(30)
        with InferenceClient(f"127.0.0.1:{ports[0]}", model_name="") as client:
            yield client
    finally:
        ended.set()
        thread.join()


def offered(
    read: Callable[[int, int], bytes] = lambda offset, count: CONTENT[offset : offset + count],
    *,
    size_bytes: int = len(CONTENT),
    sha256: str = hashlib.sha256(CONTENT).hexdigest(),
    fingerprint: str = FINGERPRINT,
) -> Plane:
    return Plane(BundleFile("odd", fingerprint, size_bytes, sha256, read))


def test_the_real_server_gives_its_model(engine: Engine, server: CloudServer, cache: Path) -> None:
    with InferenceClient(server.address, model_name="") as client:
        seen: list[tuple[int, int]] = []
        path = fetch_bundle(client, check, progress=lambda done, total: seen.append((done, total)))
        assert seen[-1][0] == seen[-1][1] == path.stat().st_size
        again = fetch_bundle(client, check, progress=lambda done, total: pytest.fail("it was fetched again"))
    assert again == path
    assert load_bundle(path).fingerprint == engine.graph.fingerprint
    assert list(cache.iterdir()) == [path]


def test_another_model_than_the_servers(engine: Engine, server: CloudServer) -> None:
    with InferenceClient(server.address, model_name="other") as client, pytest.raises(UnknownModelError):
        fetch_bundle(client, check)
    with client_of(server, engine.graph) as client:
        client.fingerprint = "0" * 64
        with pytest.raises(FingerprintError):
            fetch_bundle(client, check)


def test_it_comes_in_pieces() -> None:
    asked: list[tuple[int, int]] = []

    def read(offset: int, count: int) -> bytes:
        asked.append((offset, count))
        return CONTENT[offset : offset + count]

    done: list[int] = []
    with serving(offered(read)) as client:
        path = fetch_bundle(client, check_content, progress=lambda bytes_done, _: done.append(bytes_done))
    assert path.read_bytes() == CONTENT
    assert {count for _, count in asked} == {BUNDLE_PIECE_BYTES}
    assert [offset for offset, _ in asked] == list(range(0, len(CONTENT), BUNDLE_PIECE_BYTES))
    assert done == [min(offset + BUNDLE_PIECE_BYTES, len(CONTENT)) for offset, _ in asked]


def test_a_lost_connection_is_waited_for() -> None:
    failures = iter([True, True, False, True])

    def read(offset: int, count: int) -> bytes:
        if offset and next(failures, False):
            raise UnreachableError("the server is stopping")
        return CONTENT[offset : offset + count]

    waits: list[float] = []
    with serving(offered(read)) as client:
        assert fetch_bundle(client, check_content, sleep=waits.append).read_bytes() == CONTENT
    assert len(waits) == 3


def test_a_server_that_is_gone_for_good_leaves_nothing(cache: Path) -> None:
    def read(offset: int, count: int) -> bytes:
        if offset:
            raise UnreachableError("the server is stopping")
        return CONTENT[:count]

    waits: list[float] = []
    with serving(offered(read)) as client, pytest.raises(UnreachableError):
        fetch_bundle(client, check_content, sleep=waits.append)
    assert len(waits) == RETRIES
    assert list(cache.iterdir()) == []


def flipped(offset: int, count: int) -> bytes:
    piece = bytearray(CONTENT[offset : offset + count])
    piece[-1] ^= 1
    return bytes(piece)


@pytest.mark.parametrize(
    ("plane", "message"),
    [
        (offered(flipped), "damaged on its way"),
        (offered(size_bytes=len(CONTENT) + 1), "not the .* bytes that it announced"),
        (offered(size_bytes=len(CONTENT) - 1), "not the .* bytes that it announced"),
        (offered(lambda offset, count: b""), "not the .* bytes that it announced"),
        (offered(size_bytes=0), "announces a bundle of 0 bytes"),
        (offered(size_bytes=2**62), "announces a bundle of"),
        (offered(sha256="short"), "announces a bundle with the digest 'short'"),
        (offered(fingerprint="../../../etc/passwd"), r"with the fingerprint '\.\./\.\./"),
        (offered(fingerprint="cd" * 32), "of another model than it announced"),
    ],
)
def test_what_is_not_as_announced_is_one_line_and_leaves_nothing(plane: Plane, message: str, cache: Path) -> None:
    with serving(plane) as client, pytest.raises(RemoteError, match=message):
        fetch_bundle(client, check_content)
    assert not cache.exists() or list(cache.iterdir()) == []


def test_a_bundle_that_changes_meanwhile() -> None:
    plane = offered()

    def read(offset: int, count: int) -> bytes:
        plane.file = BundleFile("odd", FINGERPRINT, len(CONTENT), "0" * 64, plane.file.read)
        return CONTENT[offset : offset + count]

    plane.file = offered(read).file
    with serving(plane) as client, pytest.raises(RemoteError, match="changed while it was fetched"):
        fetch_bundle(client, check_content)


def test_no_room_left(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(offered(size_bytes=15 * 2**30)) as client:
        import shutil

        free_bytes = shutil.disk_usage("/").free
        if free_bytes > 15 * 2**30:
            monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
        with pytest.raises(ModelError, match="has only"):
            fetch_bundle(client, check_content)
