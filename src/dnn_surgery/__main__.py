"""``python -m dnn_surgery`` is the same as ``dnn-surgery``."""

import sys

from dnn_surgery.cli.main import main

sys.exit(main())
