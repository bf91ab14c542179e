"""A camera's frames through a network that is cut between this device and a server.

    python examples/webcam.py --server 192.168.1.20:50051 --source 0

A video file or a folder does as well for `--source`. The server runs `dnn-surgery serve efficientnet_lite0`.
"""

import argparse

from dnn_surgery import connect, load_model
from dnn_surgery.edge.answer import answer
from dnn_surgery.edge.intake import Intake
from dnn_surgery.edge.source_specs import read_sources
from dnn_surgery.edge.sources import fit


def main() -> None:
    """Prints a line a frame until the source ends or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--server", default="localhost:50051")
    parser.add_argument("--source", default="0", help="a camera's number, a video file, a folder, a stream's URL")
    parser.add_argument("--model", default="efficientnet_lite0")
    arguments = parser.parse_args()

    graph = load_model(arguments.model)
    assert graph.picture is not None, f"{graph.name} takes no pictures"
    # A camera offers frames whether anybody is ready or not: the newest one is taken, older ones are dropped.
    with (
        connect(graph, arguments.server, report=print) as connection,
        Intake(read_sources([arguments.source]), overload="skip", on_notice=print) as intake,
    ):
        for frame in intake:
            result = connection({graph.picture.tensor: fit(frame.pixels, graph.picture)}, name=frame.name)
            said = answer(graph, result)
            where = f"{result.sent_bytes / 1e3:.1f} kB sent, finished by: {result.finished_by}"
            print(f"{frame.index}: {said} in {1e3 * result.latency_s:.0f} ms, {where}", flush=True)


if __name__ == "__main__":
    main()
