import hashlib
import logging
from contextlib import ExitStack
from pathlib import Path

import pytest

from dnn_surgery.cloud.gate import ClientGate, Quota
from dnn_surgery.cloud.limits import ServingLimits
from dnn_surgery.cloud.tokens import TokenFile
from dnn_surgery.errors import BusyError, InputError, UnauthenticatedError
from tests.cloud.test_load import Clock

CAMERA, DRONE = "camera-token-0123456789", "drone-token-0123456789"


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens"
    digest = hashlib.sha256(DRONE.encode()).hexdigest()
    path.write_text(f"# who may come\ncamera:{CAMERA}\n\ndrone: sha256:{digest}\n")
    return path


def rewrite(path: Path, text: str) -> None:
    """Also where the clock of the file system is coarse, the file is another one."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


def name_of(gate: ClientGate, token: str | None, scheme: str = "Bearer") -> str:
    metadata = [] if token is None else [("authorization", f"{scheme} {token}")]
    with gate.enter(metadata, peer="ipv4:1.2.3.4:5") as name:
        return name


def test_a_token_names_its_client_in_the_clear_or_hashed(tokens: Path) -> None:
    gate = ClientGate(tokens=TokenFile(tokens))
    assert (name_of(gate, CAMERA), name_of(gate, DRONE), name_of(gate, CAMERA, "bearer")) == (
        "camera",
        "drone",
        "camera",
    )


@pytest.mark.parametrize(
    ("token", "scheme", "why"),
    [
        (None, "", "brings none"),
        ("wrong-token-0123456789", "Bearer", "none that this server knows"),
        (CAMERA[:-1], "Bearer", "none that this server knows"),
        ("", "Bearer", "none that this server knows"),
        (hashlib.sha256(DRONE.encode()).hexdigest(), "Bearer", "none that this server knows"),
        (CAMERA, "Basic", "no bearer token"),
    ],
)
def test_nobody_else_gets_in(tokens: Path, token: str | None, scheme: str, why: str) -> None:
    with pytest.raises(UnauthenticatedError, match=why):
        name_of(ClientGate(tokens=TokenFile(tokens)), token, scheme)


def test_a_changed_file_counts_at_once_and_a_broken_one_not_at_all(
    tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gate = ClientGate(tokens=TokenFile(tokens))
    rewrite(tokens, "newcomer:newcomer-token-012345\n")
    assert name_of(gate, "newcomer-token-012345") == "newcomer"
    with pytest.raises(UnauthenticatedError):
        name_of(gate, CAMERA)
    with caplog.at_level(logging.WARNING):
        rewrite(tokens, "no colon\n")
        assert name_of(gate, "newcomer-token-012345") == "newcomer"
        tokens.unlink()
        assert name_of(gate, "newcomer-token-012345") == "newcomer"
    assert "stay as they were" in caplog.text
    assert "newcomer-token" not in caplog.text
    rewrite(tokens, f"camera:{CAMERA}\n")
    assert name_of(gate, CAMERA) == "camera"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "no tokens in it"),
        ("camera\n", ":1: expected name:token"),
        ("# x\ncamera:short\n", ":2: expected name:token with 16 characters"),
        ("camera:sha256:abcd\n", ":1: expected"),
        ("camera:sha256:" + "zz" * 32 + "\n", ":1: expected"),
        (f"a:{CAMERA}\nb:{CAMERA}\n", ":2: b has the same token as a"),
    ],
)
def test_a_malformed_file_is_named_with_its_line_and_without_its_tokens(tmp_path: Path, text: str, why: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(InputError, match=why) as caught:
        TokenFile(path)
    assert CAMERA not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere: No such file"):
        TokenFile(tmp_path / "nowhere")


def test_without_tokens_the_certificate_names_the_client_else_the_connection() -> None:
    gate = ClientGate()
    with gate.enter([], peer="ipv4:1.2.3.4:5", certificate_name="camera") as name:
        assert name == "camera"
    assert name_of(gate, None) == "ipv4:1.2.3.4:5"


def test_a_quota_of_requests_lets_a_burst_in_and_says_when_there_is_more() -> None:
    clock = Clock()
    gate = ClientGate(quota=Quota(requests_hz=2.0, burst_s=2.0), clock=clock)
    for _ in range(4):
        gate.charge("camera", 10)
    with pytest.raises(BusyError, match="camera is beyond its quota of 2 requests a second") as caught:
        gate.charge("camera", 10)
    gate.charge("drone", 10)
    clock.now_s += caught.value.retry_after_s
    gate.charge("camera", 10)


def test_a_quota_of_bytes_is_paid_in_full_and_the_debt_waited_for() -> None:
    clock = Clock()
    gate = ClientGate(quota=Quota(bytes_per_s=100.0, burst_s=1.0), clock=clock)
    gate.charge("camera", 600)
    with pytest.raises(BusyError, match="100 bytes a second") as caught:
        gate.charge("camera", 1)
    assert caught.value.retry_after_s == pytest.approx(5.0, abs=0.02)
    clock.now_s += 4.9
    with pytest.raises(BusyError):
        gate.charge("camera", 1)
    clock.now_s += 0.2
    gate.charge("camera", 1)


@pytest.mark.parametrize("quota", [{"requests_hz": 0.0}, {"bytes_per_s": -1.0}])
def test_a_quota_that_makes_no_sense_is_refused(quota: dict[str, float]) -> None:
    with pytest.raises(InputError, match="must be positive"):
        Quota(**quota)


def test_calls_of_one_client_at_once_are_bounded_and_end() -> None:
    gate = ClientGate(limits=ServingLimits(calls_per_client=3))
    with ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(gate.enter([], peer="a"))
        with pytest.raises(BusyError, match="a has 3 calls under way"), gate.enter([], peer="a"):
            pass
        with gate.enter([], peer="b"):
            pass
    with gate.enter([], peer="a"):
        pass


def test_silent_clients_make_room_for_new_ones_busy_ones_do_not() -> None:
    clock = Clock()
    gate = ClientGate(limits=ServingLimits(clients=2), quota=Quota(requests_hz=1.0), clock=clock)
    with gate.enter([], peer="a"):
        pass
    with gate.enter([], peer="b"):
        pass
    with pytest.raises(BusyError, match="2 clients are here already"), gate.enter([], peer="c"):
        pass
    clock.now_s += 61.0
    with gate.enter([], peer="c") as name:
        assert name == "c"
