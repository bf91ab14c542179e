"""A reader's folder and machine: runs the commands and the Python of a page for real, in order."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dnn_surgery.cli.configuration import load_configuration
from dnn_surgery.cli.main import build_parser, main
from dnn_surgery.edge.source_specs import read_sources
from dnn_surgery.planning import Problem
from tests.cli.serving import environment
from tests.docs.pages import ROOT, Block, commands
from tests.docs.unrun import CAMERA, GIVEN, VIDEO, why_not

# What readers are told to put in for their own server.
ADDRESS = re.compile(r"(?:localhost|127\.0\.0\.1|192\.168\.1\.20|cloud(?:\.example)?):(\d+)")
DEFAULT_MODEL = "efficientnet_lite0"

# Added to a command so that it takes seconds. Nothing that is shown is left out.
SHORTER: dict[str, tuple[str, ...]] = {
    "profile": ("--repeats", "2"),
    "evaluate traces": ("--starts", "1", "--no-tuned"),
    "evaluate fleet": ("--devices", "10", "--workers", "1", "--seconds", "5", "--trace", "my.csv"),
}
# What the folder was prepared with.
PREPARED = ("profile", "resnet18", "-o", "pi.json")
_ALSO_SERVERS = ("serve", "link")


class Processes:
    """Servers that pages start, shared where the arguments are the same; all end with the session."""

    def __init__(self) -> None:
        self._running: dict[tuple[str, ...], tuple[subprocess.Popen[str], str]] = {}

    def address(self, arguments: tuple[str, ...], folder: Path) -> str:
        """Starts `dnn-surgery ARGUMENTS` unless it runs already; where it says that it listens."""
        key = arguments
        if any((folder / word).is_file() for word in arguments):
            key = (str(folder), *arguments)
        if key not in self._running or self._running[key][0].poll() is not None:
            process = subprocess.Popen(
                [sys.executable, "-m", "dnn_surgery", *arguments, "--json"],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                cwd=folder,
                env=environment(),
            )
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, f"dnn-surgery {shlex.join(arguments)} did not come up"
            self._running[key] = process, json.loads(line)["address"]
        return self._running[key][1]

    def end(self) -> None:
        for process, _ in self._running.values():
            process.kill()
            process.communicate()


class Reader:
    """Somebody who copies a page's blocks, one after the other, in a folder with what the pages speak of."""

    def __init__(self, folder: Path, processes: Processes) -> None:
        self.folder, self.processes = folder, processes
        self.names: dict[str, Any] = {"__name__": "__main__"}
        self.addresses: dict[str, str] = {}  # what the page started, by model; "" is a link, "tls MODEL" has TLS
        self.printed: dict[str, str] = {}  # by place of the block

    def copy(self, block: Block) -> None:
        """Does with a block what a reader would do."""
        with _in(self.folder):
            if block.is_commands:
                self.printed[block.place] = "".join(self.command(command) for command in commands(block))
            elif block.language == "python":
                self.printed[block.place] = self.python(block)
            elif block.language == "yaml":
                (self.folder / "block.yaml").write_text(block.text, encoding="utf-8")
                load_configuration(self.folder / "block.yaml")
            elif block.language == "json":
                Problem.from_json(block.text)
            elif not block.language and re.search(r"^\S+ +(name|rate)=", block.text, re.MULTILINE):
                (self.folder / "block.streams").write_text(block.text, encoding="utf-8")
                assert read_sources([str(self.folder / "block.streams")])
            else:
                assert not block.language, f"{block.place}: nothing here runs a block of {block.language!r}"

    def python(self, block: Block) -> str:
        code = ADDRESS.sub(lambda _: self.server(DEFAULT_MODEL), block.text)
        output = io.StringIO()
        if block.page in GIVEN and len(self.names) == 1:
            exec(GIVEN[block.page], self.names)
        with contextlib.redirect_stdout(output):
            exec(compile(code, block.place, "exec"), self.names)
        return output.getvalue()

    def command(self, command: str) -> str:
        """Runs a command, or parses it where the table says why it is not run; what it printed."""
        program, *words = shlex.split(CAMERA.sub(VIDEO, command.replace(" ...", "")), comments=True)
        if why_not(command) is not None:
            _exists(program, words)
            return ""
        if program == "dnn-surgery":
            return self.surgery(words)
        if program == "python" and words[0].startswith("examples/"):
            return self.script(words)
        assert program in ("openssl", "printf", "python3"), f"nobody runs: {command}"
        done = subprocess.run(["bash", "-c", command], cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}: {done.stderr}"
        return done.stdout

    def surgery(self, words: list[str]) -> str:
        """A command of this project."""
        _parse(words)
        if words[0] in _ALSO_SERVERS:
            self.start(words)
            return ""
        if words[0] == "run":
            words = self.completed(words)
        if tuple(words) == PREPARED and (self.folder / words[-1]).is_file():
            return ""
        model = _model(words, self.folder)
        words = [*self.reached(words, f"tls {model}" if "--tls-ca" in words else model), *_shorter(words)]
        output, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            code = main(words)
        assert code == 0, f"dnn-surgery {shlex.join(words)}: {errors.getvalue()}"
        return output.getvalue()

    def script(self, words: list[str]) -> str:
        """One of examples/, with the server's real address."""
        words = self.reached(words, DEFAULT_MODEL)
        output, before = io.StringIO(), sys.argv
        sys.argv = words
        try:
            with contextlib.redirect_stdout(output):
                runpy.run_path(words[0], run_name="__main__")
        finally:
            sys.argv = before
        assert output.getvalue().strip(), f"{words[0]} printed nothing"
        return output.getvalue()

    def completed(self, words: list[str]) -> list[str]:
        """`run` with what a page left out, and with videos for the cameras of its configuration."""
        if "--config" in words:
            place = words.index("--config") + 1
            text = Path(words[place]).read_text(encoding="utf-8")
            (self.folder / "put-in.yaml").write_text(CAMERA.sub(VIDEO, text), encoding="utf-8")
            words = [*words[:place], "put-in.yaml", *words[place + 1 :]]
        elif "--source" not in words:
            words = [*words, "--source", "pictures/"]
        return words if {"--server", "--local"} & set(words) else [*words, "--server", "localhost:50051"]

    def reached(self, words: list[str], model: str) -> list[str]:
        """The words with the addresses of what runs here."""
        return [ADDRESS.sub(lambda match: self.peer(match[1], model), word) for word in words]

    def start(self, words: list[str]) -> None:
        """A server or a link, on any free port."""
        if words[0] == "link":
            words = [*_without(words, "--listen", "--target"), "--listen", "127.0.0.1:0"]
            target = self.server(DEFAULT_MODEL)
            self.addresses[""] = self.processes.address((*words, "--target", target), self.folder)
            return
        model = _model(words, self.folder)
        words = [*_without(words, "--address", "--port"), "--port", "0"]
        model = f"tls {model}" if "--tls-cert" in words else model
        self.addresses[model] = self.processes.address(tuple(words), self.folder)

    def server(self, model: str) -> str:
        """The page's own server of the model, or a plain one."""
        if model in self.addresses:
            return self.addresses[model]
        what = ("--config", model) if model.endswith(".yaml") else (model,)
        return self.processes.address(("serve", *what, "--port", "0"), self.folder)

    def peer(self, port: str, model: str) -> str:
        return self.addresses[""] if port == "50061" else self.server(model)


def _model(words: list[str], folder: Path) -> str:
    """What a command is about: its MODEL, its configuration's architecture, or the file of that where it has none."""
    if "--config" in words:
        path = words[words.index("--config") + 1]
        path = "yolo.yaml" if path == "put-in.yaml" else path
        architecture = load_configuration(folder / words[words.index("--config") + 1]).model.architecture
        return architecture or path
    return words[1] if len(words) > 1 and not words[1].startswith("-") else DEFAULT_MODEL


def _shorter(words: list[str]) -> tuple[str, ...]:
    """What makes this command take seconds."""
    return SHORTER.get(words[0], SHORTER.get(" ".join(words[:2]), ()))


def _without(words: list[str], *flags: str) -> list[str]:
    kept, skip = [], False
    for word in words:
        if skip or word in flags:
            skip = not skip
            continue
        kept.append(word)
    return kept


def _parse(words: list[str]) -> None:
    """Exits where the command's own parser refuses it."""
    build_parser().parse_args(words)


def _exists(program: str, words: list[str]) -> None:
    if program == "dnn-surgery":
        _parse(words)
    elif program == "make":
        targets = re.findall(r"^(\w+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
        assert set(words) <= set(targets), f"make {words}: there is {targets}"
    elif program == "pip":
        project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        for extra in re.findall(r"\[([\w,-]+)\]", " ".join(words)):
            for name in extra.split(","):
                assert re.search(rf"^{name} = \[", project, re.MULTILINE), f"no extra {name!r}"
    elif program == "python" and words[0] == "-m":
        assert find_spec(words[1]) is not None, f"no module {words[1]}"


@contextlib.contextmanager
def _in(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
