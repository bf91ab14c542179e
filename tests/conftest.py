"""One thread a process, before any engine starts: two cores are shared by edge and cloud."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")

# What engines cache must not end in the user's own cache, and not come from it.
os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(prefix="dnn-surgery-")
atexit.register(shutil.rmtree, os.environ["XDG_CACHE_HOME"], ignore_errors=True)
