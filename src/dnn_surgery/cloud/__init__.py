"""The server's run time: tails by their tensors, one compute thread, a gRPC server with a loop of its own.

server: starts and stops it all. service: checks, queues and runs a request. tails: what was built. load: how busy.
"""
