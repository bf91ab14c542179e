"""What can be checked of the files under deploy/ without systemd or Docker at work."""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from dnn_surgery.cli.main import build_parser

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
UNIT = ROOT / "deploy" / "dnn-surgery.service"


def instructions() -> list[tuple[str, str]]:
    """(instruction, arguments), continuation lines joined."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(line.partition(" ")[0], line.partition(" ")[2]) for line in lines if line.strip()]


def stages() -> list[list[tuple[str, str]]]:
    found: list[list[tuple[str, str]]] = []
    for instruction in instructions():
        if instruction[0] == "FROM":
            found.append([])
        found[-1].append(instruction)
    return found


def unit() -> configparser.RawConfigParser:
    # Keys of a unit may stand more than once.
    parser = configparser.RawConfigParser(strict=False, delimiters="=", comment_prefixes="#")
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(re.sub(r"\\\n\s*", "", UNIT.read_text(encoding="utf-8")))
    return parser


def test_every_instruction_is_one_that_docker_knows() -> None:
    known = {
        "FROM",
        "ENV",
        "WORKDIR",
        "COPY",
        "RUN",
        "USER",
        "EXPOSE",
        "STOPSIGNAL",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    }
    assert {name for name, _ in instructions()} <= known


def test_images_are_pinned_to_a_version() -> None:
    for stage in stages():
        image = stage[0][1].partition(" ")[0]
        assert re.fullmatch(r"[a-z/]+:\d+\.\d+[\w.-]*", image), image


def test_the_server_runs_as_nobody_in_particular_and_gets_its_signals() -> None:
    last = stages()[-1]
    order = [name for name, _ in last]
    users = [arguments for name, arguments in last if name == "USER"]
    assert users == ["10001"]
    assert order.index("USER") < order.index("ENTRYPOINT")
    # In exec form: a shell between would keep SIGTERM to itself.
    for name, arguments in last:
        if name in ("ENTRYPOINT", "CMD"):
            assert isinstance(json.loads(arguments), list)
        if name == "HEALTHCHECK":
            json.loads(arguments.partition("CMD ")[2])


def test_nothing_is_cached_or_added_from_elsewhere() -> None:
    assert any(name == "ENV" and "PIP_NO_CACHE_DIR=1" in arguments for name, arguments in instructions())
    for name, arguments in instructions():
        assert name != "ADD"
        if name == "RUN":
            assert "sudo" not in arguments
            assert "apt-get" not in arguments or "--no-install-recommends" in arguments


def test_what_is_copied_is_there_and_not_ignored() -> None:
    ignore = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    for name, arguments in instructions():
        if name == "COPY" and not arguments.startswith("--from"):
            *sources, _ = arguments.split()
            for source in sources:
                assert (ROOT / source).exists(), source
                assert f"!{source}" in ignore, source


def test_the_containers_command_is_one_that_serve_takes() -> None:
    last = dict(stages()[-1])
    entry, command = json.loads(last["ENTRYPOINT"]), json.loads(last["CMD"])
    assert build_parser().parse_args([*entry[1:], *command]).model == "resnet18"


def test_the_units_command_is_one_that_serve_takes() -> None:
    command = unit()["Service"]["ExecStart"].replace("$MODELS", "resnet18 vgg16=vgg16.pth").replace("$OPTIONS", "")
    arguments = build_parser().parse_args(shlex.split(command)[1:])
    assert (arguments.model, arguments.more) == ("resnet18", ["vgg16=vgg16.pth"])
    assert Path(arguments.token_file).name == "tokens"
    assert not arguments.insecure
    assert unit()["Install"]["WantedBy"] == "multi-user.target"


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd here")
    here = tmp_path / UNIT.name
    # The command is not installed where the unit says.
    here.write_text(UNIT.read_text(encoding="utf-8").replace("/opt/dnn-surgery/bin/dnn-surgery", "/bin/true"))
    done = subprocess.run([analyze, "verify", str(here)], capture_output=True, text=True, check=False)
    complaints = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert complaints == []
