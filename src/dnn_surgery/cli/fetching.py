"""Where `run` takes its model from when none is named: the server's bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from dnn_surgery.errors import InputError
from dnn_surgery.model.onnx_extra import require_onnx


def fetch_if_asked(arguments: argparse.Namespace) -> None:
    """Makes the server's bundle the MODEL, with --bundle or where a server but no model is named.

    Raises:
        InputError: flags that do not go together.
        UnreachableError: no server answers.
        RemoteError: it offers no bundle.
        ModelError: what it sent cannot be used.
    """
    if not arguments.bundle and (arguments.model is not None or arguments.server is None or arguments.local):
        return
    if arguments.server_protocol != "own":
        raise InputError("a server of the standard protocol has no bundle to offer: name a MODEL")
    if arguments.local or arguments.server is None:
        raise InputError("--bundle fetches the model from a server: name it with --server, and leave out --local")
    if arguments.bundle and arguments.model is not None:
        raise InputError(f"--bundle takes the server's model; leave out {arguments.model}")
    if arguments.weights is not None:
        raise InputError("the server's bundle brings its own weights: leave out --weights")
    require_onnx()
    from rich.console import Console
    from rich.progress import Progress

    from dnn_surgery.cli.credentials import credentials_of
    from dnn_surgery.model.bundle_file import load_bundle
    from dnn_surgery.protocol.bundle_client import fetch_bundle
    from dnn_surgery.protocol.client import InferenceClient

    def check(path: Path) -> str:
        return load_bundle(path).fingerprint

    with (
        InferenceClient(arguments.server, model_name="", credentials=credentials_of(arguments)) as client,
        Progress(console=Console(stderr=True), transient=True) as bar,
    ):
        task = bar.add_task(f"fetching the model of {client.address}", total=None)
        path = fetch_bundle(client, check, progress=lambda done, total: bar.update(task, completed=done, total=total))
    arguments.model = str(path)
    print(f"dnn-surgery: the model of {arguments.server} is {path}", file=sys.stderr)
