import pytest

from dnn_surgery.errors import InputError
from dnn_surgery.protocol.address import Address, parse_address


@pytest.mark.parametrize(
    ("text", "host", "port", "shown"),
    [
        ("cloud:1234", "cloud", 1234, "cloud:1234"),
        ("cloud", "cloud", 50051, "cloud:50051"),
        (":0", "127.0.0.1", 0, "127.0.0.1:0"),
        ("[::1]:80", "::1", 80, "[::1]:80"),
        ("[::1]", "::1", 50051, "[::1]:50051"),
        ("::1", "::1", 50051, "[::1]:50051"),
    ],
)
def test_addresses_as_people_write_them(text: str, host: str, port: int, shown: str) -> None:
    address = parse_address(text)
    assert (address.host, address.port, str(address)) == (host, port, shown)


@pytest.mark.parametrize(
    "text",
    ["cloud:", "cloud:x", "cloud:65536", "cloud:-1", "[::1", "[::1]80", "http://cloud:80/v2", "a b:1", "cloud:\u0663"],
)
def test_other_texts_are_refused_by_name(text: str) -> None:
    with pytest.raises(InputError, match="as an address"):
        parse_address(text)


def test_loopback_is_known() -> None:
    assert [Address(host).loopback for host in ("127.0.0.1", "127.1.2.3", "::1", "localhost")] == [True] * 4
    assert not Address("10.0.0.1").loopback
