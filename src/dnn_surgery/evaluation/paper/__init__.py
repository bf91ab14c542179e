"""The paper's experiments, redone: its networks, links and loads, planned here and set beside its own numbers."""
