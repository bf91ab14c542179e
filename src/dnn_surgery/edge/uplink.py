"""The link's own threads: one tensor set on the link at a time, pings and probes while it is idle.

    sender:     put --> wait until the link is free --> request ------> server
    arrivals:                       ^-- the upload has ended <-- [1] ------|
    gRPC:                                     done <------------ reply <---|

The server acknowledges a request as soon as it has all of it [1]. Until word of that is here a round trip has passed,
in which the link would be idle; so the next upload begins when those before it are predicted to have left, or when they
are acknowledged if that comes first. How many may be without word is bounded, in case the prediction is wrong.
"""

from __future__ import annotations

import math
import queue
import threading
from collections.abc import Callable
from types import TracebackType

from dnn_surgery.edge.frame import Taken
from dnn_surgery.edge.link_care import PING_TIMEOUT_S, LinkCare
from dnn_surgery.edge.link_watch import LinkWatch
from dnn_surgery.errors import DeadlineError, NetworkError, RemoteError, SurgeryError
from dnn_surgery.protocol.client import InferenceClient
from dnn_surgery.protocol.pending import PendingReply

# Early rather than late: what is early waits in this machine's own buffers, what is late leaves the link idle. By this
# share of an upload, and by what a thread may wake up late.
_EARLY, _WAKE_S = 0.1, 0.005
_LONGEST_WAIT_S, _BUSY_S = 60.0, 0.5


class Uplink:
    """Sends frames to one server, from entering to leaving its context.

    Args:
        client: the server. watch: what is known of the link, told of every transfer.
        done: called with each frame that was put, once: it has a reply, or an error and a failure.
    """

    def __init__(self, client: InferenceClient, watch: LinkWatch, done: Callable[[Taken], None]) -> None:
        self._client, self._watch, self._done = client, watch, done
        self._clock = watch.clock
        self._changed = threading.Condition()
        self._next: Taken | None = None
        self._under_way: list[Taken] = []
        self._uploading: list[Taken] = []
        self._arrived_s = -math.inf
        self._closed = False
        self._care = LinkCare(client, watch)
        self._sent: queue.SimpleQueue[Taken | None] = queue.SimpleQueue()
        self._threads = [
            threading.Thread(target=self._send_all, name="dnn-surgery-uplink", daemon=True),
            threading.Thread(target=self._note_arrivals, name="dnn-surgery-arrivals", daemon=True),
        ]

    def __enter__(self) -> Uplink:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._give_up("the run ended")
        for thread in self._threads:
            thread.join(timeout=PING_TIMEOUT_S)  # a ping or a probe may still be out; the thread ends after it

    def put(self, taken: Taken) -> None:
        """Hands over a frame; waits while another one waits for the link."""
        with self._changed:
            self._changed.wait_for(lambda: self._next is None or self._closed)
            if not self._closed:
                self._next = taken
                self._changed.notify_all()
                return
        self._fail(taken, NetworkError("the run ended"))

    def _send_all(self) -> None:
        try:
            while (taken := self._wait_for_frame()) is not None:
                if (reason := self._watch.lost) is not None:
                    self._fail(taken, NetworkError(f"the cloud failed a moment ago: {reason}"))
                else:
                    self._send(taken)
        finally:
            # Whatever ended this thread, no frame may wait for it.
            with self._changed:
                self._closed = True
                taken, self._next = self._next, None
                self._changed.notify_all()
            if taken is not None:
                self._fail(taken, NetworkError("the run ended"))
            self._sent.put(None)

    def _wait_for_frame(self) -> Taken | None:
        """The next frame once the link is free for it; None when closed. Looks after the link meanwhile."""
        while True:
            with self._changed:
                if self._closed:
                    return None
                wait_s = self._until_free_s()
                if self._next is not None and wait_s <= 0 and not self._care.is_overdue:
                    taken, self._next = self._next, None
                    self._changed.notify_all()
                    return taken
                if self._next is None or self._care.is_overdue:
                    busy = self._watch.lost is None and self._uploading
                    wait_s = _BUSY_S if busy else self._care.until_due_s()
                if wait_s > 0:
                    self._changed.wait(min(wait_s, _LONGEST_WAIT_S))
                    continue
            self._care.do()

    def _until_free_s(self) -> float:
        """Seconds until the next upload may begin: when all before it are predicted to have left."""
        if self._watch.lost is not None or not self._uploading:
            return 0.0
        belief = self._watch.belief()
        if belief is None:
            return _LONGEST_WAIT_S  # woken by its arrival, or its failure
        left_s, upload_s = self._began_s(self._uploading[0], self._arrived_s), 0.0
        for taken in self._uploading:
            upload_s = 8 * taken.size_bytes / belief.bandwidth_bps
            left_s = max(left_s, taken.times.sent_s) + upload_s
        # So many may have left without word of their arrival; more would mean that the prediction is wrong.
        if len(self._uploading) >= 2 + math.ceil(belief.rtt_s / max(upload_s, 1e-4)):
            return _LONGEST_WAIT_S
        return left_s - _EARLY * upload_s - _WAKE_S - self._clock()

    def _send(self, taken: Taken) -> None:
        way = taken.way
        try:
            taken.times.sent_s = self._clock()
            pending = self._client.infer_async(
                taken.payloads,
                way.parts.head.tensors.remaining,
                codecs=taken.codecs,
                timeout_s=way.deadline_s,
                acknowledged=True,
            )
        except SurgeryError as error:
            self._watch.failed(error)
            self._fail(taken, error)
            return
        except (RuntimeError, ValueError) as error:  # gRPC's and the threads' way to say that the client was closed
            self._fail(taken, NetworkError(f"the connection was closed: {error}"))
            return
        taken.pending = pending
        with self._changed:
            self._under_way.append(taken)
            self._uploading.append(taken)
            self._tell_uploading()
        self._sent.put(taken)
        pending.add_done_callback(lambda _: self._ended(taken, pending))

    def _tell_uploading(self) -> None:
        """Tells the watch what is on the link now, and since when alone."""
        if not self._uploading:
            self._watch.uploading(None)
        else:
            first = self._uploading[0]
            self._watch.uploading(first.size_bytes, self._began_s(first, self._arrived_s))

    def _began_s(self, taken: Taken, before_s: float) -> float:
        """When the link began with an upload, if word of the one before came at `before_s`.

        Word of either comes half a round trip late, so the round trip stays in what is measured, as for a first one.
        """
        return max(taken.times.sent_s, before_s - self._watch.rtt_s)

    def _note_arrivals(self) -> None:
        while (taken := self._sent.get()) is not None:
            if taken.pending is None:
                continue
            arrived_s = taken.pending.wait_received()
            if arrived_s is not None:
                self._arrived(taken, taken.size_bytes, self._clock())

    def _arrived(self, taken: Taken, size_bytes: int, now_s: float, server_s: float = 0.0) -> None:
        """The upload has ended; the time that it took counts from the end of the one before, if that was later."""
        with self._changed:
            if taken not in self._uploading:
                return
            self._uploading.remove(taken)
            taken.times.received_s = now_s
            before_s, self._arrived_s = max(self._arrived_s, self._care.ended_s), now_s - server_s
            self._tell_uploading()
            self._changed.notify_all()
        seconds = max(0.0, now_s - server_s - self._began_s(taken, before_s))
        self._watch.transferred(size_bytes, seconds, idle_s=max(0.0, taken.times.sent_s - before_s))

    def _ended(self, taken: Taken, pending: PendingReply) -> None:
        """The call is over, well or not; in a thread of gRPC."""
        try:
            reply = pending.result()
            if missing := [name for name in taken.way.parts.head.tensors.remaining if name not in reply.tensors]:
                raise RemoteError(f"the server at {self._client.address} answered without {', '.join(missing)}")
        except SurgeryError as error:
            self._failed(taken, error)
            return
        except Exception as error:  # noqa: BLE001 - nobody else would notice, and the frame would never be answered
            self._failed(taken, RemoteError(f"the answer cannot be read: {type(error).__name__}: {error}"))
            return
        taken.times.replied_s = self._clock()
        # From a server that acknowledges nothing, the reply is the first word of the upload's end.
        self._arrived(taken, taken.size_bytes, taken.times.replied_s, reply.queue_s + reply.compute_s)
        with self._changed:
            self._under_way.remove(taken)
        taken.reply = reply
        self._watch.worked()
        self._done(taken)

    def _failed(self, taken: Taken, error: SurgeryError) -> None:
        if taken.failure is None:  # else it was given up here
            seconds = self._clock() - taken.times.sent_s
            size_bytes = 0 if taken.times.received_s or taken.pending is None else taken.pending.bytes_up
            self._watch.failed(error, size_bytes=size_bytes, seconds=seconds)
        with self._changed:
            self._under_way.remove(taken)
            if taken in self._uploading:
                self._uploading.remove(taken)
            self._tell_uploading()
            self._changed.notify_all()
        self._fail(taken, error)
        if isinstance(error, DeadlineError):
            self._give_up(str(error))

    def _give_up(self, reason: str) -> None:
        """Those behind a frame that came too late would be later still: the edge finishes them now."""
        with self._changed:
            rest = [taken for taken in self._under_way if taken.failure is None]
            for taken in rest:
                taken.failure = reason
        for taken in rest:
            if taken.pending is not None:
                taken.pending.cancel()

    def _fail(self, taken: Taken, error: SurgeryError) -> None:
        taken.error, taken.failure = error, taken.failure or str(error)
        self._done(taken)
