"""The examples of docs/export.md do what it says, in the order in which they stand there."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from dnn_surgery.cli.main import main
from tests.cli.serving import serving
from tests.evaluation.pictures import IMAGENET
from tests.standard_server import standard_server

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "export.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with pictures, which is the current one while the examples run."""
    folder, before = tmp_path_factory.mktemp("docs"), Path.cwd()
    (folder / "pictures").mkdir()
    for path in IMAGENET[:2]:
        (folder / "pictures" / path.name).write_bytes(path.read_bytes())
    os.chdir(folder)
    yield folder
    os.chdir(before)


def run(line: str, **replaced: str) -> None:
    for written, real in replaced.items():
        assert written in line
        line = line.replace(written, real)
    program, *arguments = shlex.split(line)
    assert program == "dnn-surgery"
    assert main(arguments) == 0


def listed(folder: str) -> set[str]:
    """What the page lists of a folder."""
    return set(re.findall(rf"^    ({folder}/\S+)", TEXT, flags=re.MULTILINE))


def files(home: Path, folder: str) -> set[str]:
    return {path.relative_to(home).as_posix() for path in (home / folder).rglob("*") if path.is_file()}


def test_the_examples(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts, triton, standard, bundle, fetched = blocks("sh")
    run(parts)
    assert files(home, "parts") == listed("parts")
    capsys.readouterr()
    exec(blocks("python")[0], {})
    assert 0 <= int(capsys.readouterr().out) < 1000

    run(triton)
    assert files(home, "models") == listed("models") | {"models/manifest.json"}
    with standard_server(home / "models") as address:
        capsys.readouterr()
        run(standard, **{"192.168.1.20:8001": address})
        assert "2 answered by the cloud, 0 here" in capsys.readouterr().err

    pack, local = bundle.splitlines()
    run(pack)
    run(local)
    with serving("efficientnet_lite0", "--threads", "1", "--port", "0", "--json") as server:
        capsys.readouterr()
        run(fetched, **{"192.168.1.20:50051": server.event["address"]})
    output = capsys.readouterr()
    assert "the model of" in output.err
    assert len(output.out.splitlines()) == 2


def test_the_readme_names_flags_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    (dnn-surgery (?:export|run \S+ --server-protocol) .*?)(?:  +#.*)?$", readme, re.MULTILINE)
    assert len(lines) == 3
    from dnn_surgery.cli.main import build_parser

    for line in lines:
        build_parser().parse_args(shlex.split(line)[1:])
