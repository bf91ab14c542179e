"""Problems small enough to be checked by hand."""

TINY = """
{"name": "tiny", "outputs": ["b"],
 "layers": [{"name": "in", "inputs": [], "edge_s": 0, "cloud_s": 0, "output_bytes": 6000},
            {"name": "a", "inputs": ["in"], "edge_s": 3, "cloud_s": 0.5, "output_bytes": 2000},
            {"name": "b", "inputs": ["a"], "edge_s": 8, "cloud_s": 1, "output_bytes": 4}]}
"""
"""Edge 11 s; a's tensor 4.0 s and 2 kB; the input 1.5 s and 6 kB."""
