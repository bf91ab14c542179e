"""What `serve --ray` refuses before Ray is started; what it serves: tests/cloud."""

from __future__ import annotations

import pytest

from dnn_surgery.cli.main import main


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        (["--ray"], "no TLS"),
        (["--replicas", "2"], "go with --ray"),
        (["--ray", "--insecure", "--replicas", "many"], "number of replicas"),
        (["--ray", "--insecure", "--metrics", ":0"], "--metrics does not go with --ray"),
        (["--ray", "--tls-cert", "a", "--tls-key", "b"], "--tls-cert does not go with --ray"),
    ],
)
def test_what_does_not_go_together_is_one_clear_line(
    flags: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["serve", "resnet18", "--port", "0", *flags]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1
