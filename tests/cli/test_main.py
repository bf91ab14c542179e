"""What all commands share."""

from __future__ import annotations

import subprocess
import sys

import pytest

from dnn_surgery.cli.main import COMMANDS, main


@pytest.mark.parametrize("command", COMMANDS)
def test_every_help_text_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    assert ended.value.code == 0
    assert f"example:\n  dnn-surgery {command} " in capsys.readouterr().out


def test_help_needs_no_engine() -> None:
    program = (
        "import sys\n"
        "from dnn_surgery.cli.main import build_parser\n"
        "build_parser()\n"
        "print([name for name in ('torch', 'grpc', 'numpy') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_an_unknown_command_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["surf"])
    assert ended.value.code == 2
    assert "invalid choice: 'surf'" in capsys.readouterr().err


def test_a_reader_that_leaves_is_no_traceback() -> None:
    command = (
        f"{sys.executable} -m dnn_surgery plan tests/planning/data/paper-tiny-yolov2.json --bandwidth 1Mbit/s --json"
    )
    done = subprocess.run(["bash", "-c", f"{command} | true"], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr
