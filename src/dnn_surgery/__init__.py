"""Run a neural network partly on a device and partly in the cloud, at the cut that is best for the link.

Names are imported when they are used, so that planning needs no PyTorch.
"""
