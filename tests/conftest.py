"""One thread a process, before any engine starts: two cores are shared by edge and cloud."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
