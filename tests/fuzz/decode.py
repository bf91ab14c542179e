"""Coverage-guided fuzzing of the decoding path: `python -m tests.fuzz.decode --runs 100000` (extra `fuzz`).

It begins with the corpus beside this file, and leaves that as it is; what it finds new goes to --keep if that is given.
Ends with 0 if there was no crash, no input that took more than ten seconds, and no more than the memory allowed; else
the input is written to the working folder, to be put into the corpus together with the fix.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"

# Python, numpy, protobuf and Pillow with the fuzzer's counters take a quarter of it.
MEMORY_MB = 1024


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.decode", description=__doc__)
    parser.add_argument("--runs", type=int, default=100_000, help="inputs (default 100000)")
    parser.add_argument("--seconds", type=int, default=0, help="end after so long (default: never)")
    parser.add_argument("--keep", metavar="DIR", help="where inputs go that reach something new")
    parser.add_argument("--seed", type=int, default=1, help="of the fuzzer's random numbers (default 1)")
    arguments = parser.parse_args()
    import atheris

    # Everything that is imported from here on counts what is reached.
    with atheris.instrument_imports(include=["dnn_surgery", "tests.fuzz"]):
        from tests.fuzz.target import decode

    with tempfile.TemporaryDirectory() as found:
        options = [
            f"-runs={arguments.runs}",
            f"-max_total_time={arguments.seconds}",
            f"-seed={arguments.seed}",
            f"-rss_limit_mb={MEMORY_MB}",
            "-timeout=10",
            "-max_len=4096",
            "-print_final_stats=1",
            "-verbosity=1",
        ]
        # New inputs go into the first folder.
        atheris.Setup([sys.argv[0], *options, arguments.keep or found, str(CORPUS)], decode)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
