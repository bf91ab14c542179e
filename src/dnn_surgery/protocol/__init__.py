"""Open Inference Protocol (V2) over gRPC: named arrays to messages and back, for both sides.

client, credentials: what an edge calls, and as whom. handler: from a request's bytes to a reply's, over a data plane
(dataplane) that knows no gRPC; gate: who is let in. servicer, health: the handler on a grpc.aio server.
messages, wire, datatypes: tensors to bytes and back. status: errors to gRPC status and back. stubs: generated.
"""
