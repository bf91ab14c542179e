"""The server's run time: tails by their tensors, one compute thread, a gRPC server with a loop of its own.

server: starts and stops it all. service: from a request to its place in the queue and back. model_service: one model's
checks and runs. compute, fair_queue: the thread, and whose turn it is. tails: what was built. estimates, load: how long
it takes, how busy it is. batching: what runs together. gate, tokens, encryption, limits: who may come in, and how much.
metrics, call_log: what is told.
"""
