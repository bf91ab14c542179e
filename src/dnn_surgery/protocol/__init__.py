"""Open Inference Protocol (V2) over gRPC: named arrays to messages and back, for both sides.

client: what an edge calls. servicer: the calls on a server, over a data plane (dataplane) that knows no gRPC.
messages, wire, datatypes: tensors to bytes and back. status: errors to gRPC status and back. stubs: generated.
"""
