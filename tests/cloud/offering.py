"""Many clients in one process, each offering a frame a second: what a fleet does to a server. Prints what became of it.

python -m tests.cloud.offering ADDRESS MODEL FINGERPRINT FRAMES.npz CLIENTS SECONDS SEED

The file holds, for each cut, ``CUT/in/TENSOR`` and ``CUT/out/TENSOR``: what to send, and the right answer to the bit.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections import Counter

import numpy as np

from dnn_surgery.errors import BusyError, DeadlineError, SurgeryError
from dnn_surgery.execution.engine import Array
from dnn_surgery.protocol.client import InferenceClient

# A device would rather finish a frame itself than wait longer.
DEADLINE_S = 2.0

Frames = dict[str, dict[str, dict[str, Array]]]


def main() -> None:
    address, model, fingerprint, file = sys.argv[1:5]
    clients, seconds, seed = (int(argument) for argument in sys.argv[5:])
    frames: Frames = {}
    with np.load(file) as stored:
        for key in stored.files:
            cut, way, tensor = key.split("/", 2)
            frames.setdefault(cut, {"in": {}, "out": {}})[way][tensor] = stored[key]
    outcomes: Counter[str] = Counter()
    lock = threading.Lock()

    def one(number: int) -> None:
        rng = random.Random(seed * 1000 + number)
        with InferenceClient(address, model_name=model, fingerprint=fingerprint) as client:
            time.sleep(rng.random())
            for _ in range(seconds):
                due_s = time.monotonic() + 1.0
                cut = rng.choice(list(frames))
                outcome = ask(client, frames[cut])
                with lock:
                    outcomes[f"{outcome} {cut}" if outcome == "answered" else outcome] += 1
                time.sleep(max(0.0, due_s - time.monotonic()))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.stdout.write(json.dumps(outcomes) + "\n")


def ask(client: InferenceClient, frame: dict[str, dict[str, Array]]) -> str:
    try:
        reply = client.infer(frame["in"], list(frame["out"]), timeout_s=DEADLINE_S)
    except BusyError as error:
        return "refused" if error.retry_after_s > 0 else "refused without a hint"
    except DeadlineError:
        return "late"
    except SurgeryError as error:
        return f"{type(error).__name__}: {error}"
    same = all(np.array_equal(reply.tensors[name], array) for name, array in frame["out"].items())
    return "answered" if same else "wrong"


if __name__ == "__main__":
    main()
