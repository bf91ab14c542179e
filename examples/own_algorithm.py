"""An own planner and an own online controller, beside those of the project.

    dnn-surgery plan problem.json --bandwidth 4Mbit/s --algorithm examples.own_algorithm:first_narrow
    dnn-surgery evaluate traces --algorithm examples.own_algorithm:first_narrow,examples.own_algorithm:Cautious

Names are looked up from the current folder and from where Python looks for modules.
"""

from collections import deque

from dnn_surgery import Link, Problem, frontier


def first_narrow(problem: Problem, link: Link, goal: object) -> list[str]:  # noqa: ARG001
    """Keeps layers until a single tensor of fewer bytes than the raw input crosses: a rule of thumb, blind to the link.

    A planner returns a `Plan`, or the names of the layers at the edge; the input's layers are always among them.
    """
    names = [layer.name for layer in problem.layers]
    sources = [layer for layer in problem.layers if not layer.inputs]
    whole = sum(tensor.size_bytes for layer in sources for tensor in layer.outputs)
    any_link = Link(bandwidth_bps=1e6)
    for count in range(len(sources) + 1, len(names)):
        plan = problem.cost(edge=names[:count], link=any_link)
        if len(plan.sent) == 1 and plan.sent_bytes < whole:
            return names[:count]
    return names


class Cautious:
    """Plans for the slowest of the last five transfers, and stays local for ten seconds after a failure."""

    def __init__(self, problem: Problem) -> None:
        self._frontier = frontier(problem)
        self._everything = [layer.name for layer in problem.layers]
        self._rates_bps: deque[float] = deque(maxlen=5)
        self._local_until_s = 0.0

    def decide(self, now_s: float) -> object:
        """A plan, or the names of the layers at the edge, for the frame that begins now."""
        if now_s < self._local_until_s or not self._rates_bps:
            return self._everything
        return self._frontier.best(Link(bandwidth_bps=min(self._rates_bps), rtt_s=0.04))

    def transferred(self, size_bytes: float, seconds: float, now_s: float) -> None:  # noqa: ARG002
        """An upload and its reply took so long, the server's work taken out."""
        if seconds > 0:
            self._rates_bps.append(max(1.0, 8 * size_bytes / seconds))

    def failed(self, now_s: float) -> None:
        """No reply within the deadline."""
        self._local_until_s = now_s + 10.0
