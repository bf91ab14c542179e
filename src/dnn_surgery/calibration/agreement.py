"""How often answers agree, and how sure that is: agreement proved, not only seen.

The bound is Wilson's score interval (E. B. Wilson, 1927, J. Amer. Statist. Assoc. 22, p. 209), its lower end at 95 %
two-sided: with k of n frames alike, p = k / n and z = 1.96,

    (p + z^2 / 2n - z sqrt(p (1 - p) / n + z^2 / 4n^2)) / (1 + z^2 / n)

All of n alike prove n / (n + z^2): 20 of 20 prove 84 %, and 99 % takes 381 frames.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from dnn_surgery.errors import InputError

CONFIDENCE = 0.95
_Z = 1.959963984540054  # the standard normal quantile of (1 + CONFIDENCE) / 2


@dataclass(frozen=True, slots=True)
class Agreement:
    """`agreeing` of `frames` frames got the answer of the unsplit model. `decided` says that more were not looked at.

    Raises:
        InputError: there are not so many frames.
    """

    agreeing: int
    frames: int
    decided: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.agreeing <= self.frames:
            raise InputError(f"{self.agreeing} of {self.frames} frames cannot agree")

    @property
    def share(self) -> float:
        """The share that was seen; 1 without frames."""
        return self.agreeing / self.frames if self.frames else 1.0

    @property
    def bound(self) -> float:
        """The share that is proved: Wilson's lower bound at 95 %; 0 without frames."""
        return wilson_bound(self.agreeing, self.frames)


def wilson_bound(agreeing: int, frames: int) -> float:
    """The lower end of Wilson's interval for `agreeing` of `frames`."""
    if frames == 0:
        return 0.0
    share, z2 = agreeing / frames, _Z * _Z
    margin = _Z * math.sqrt(share * (1 - share) / frames + z2 / (4 * frames * frames))
    return max(0.0, (share + z2 / (2 * frames) - margin) / (1 + z2 / frames))


def frames_needed(accuracy: float, *, disagreeing: int = 0) -> int:
    """The fewest frames that prove `accuracy` when all but so many agree.

    Raises:
        InputError: the accuracy is not between 0 and 1; nothing less than every frame ever proves 1.
    """
    check_accuracy(accuracy)
    # The bound grows with the frames when the disagreeing ones stay; doubling and halving finds where it crosses.
    high = max(1, disagreeing)
    while wilson_bound(high - disagreeing, high) < accuracy:
        high *= 2
    low = high // 2
    while high - low > 1:
        middle = (low + high) // 2
        if middle >= disagreeing and wilson_bound(middle - disagreeing, middle) >= accuracy:
            high = middle
        else:
            low = middle
    return high


def disagreeing_allowed(accuracy: float, frames: int) -> int:
    """How many of `frames` may disagree with `accuracy` still proved; -1 where even none is too many.

    Raises:
        InputError: the accuracy is not between 0 and 1.
    """
    check_accuracy(accuracy)
    allowed = -1
    while allowed + 1 <= frames and wilson_bound(frames - allowed - 1, frames) >= accuracy:
        allowed += 1
    return allowed


def check_accuracy(accuracy: float) -> None:
    """An accuracy to prove lies between 0 and 1.

    Raises:
        InputError: it does not.
    """
    if not 0 < accuracy < 1:
        raise InputError(f"an accuracy to prove lies between 0 and 1 (0.99), or is exact, got {accuracy}")


def parse_accuracy(text: str) -> float | None:
    """``exact`` is None: no bit may be lost; a number such as ``0.99`` is the share of frames to prove.

    Raises:
        InputError: the text is neither.
    """
    if text == "exact":
        return None
    try:
        accuracy = float(text)
    except ValueError:
        raise InputError(f"cannot read {text!r} as an accuracy: expected exact or a number such as 0.99") from None
    check_accuracy(accuracy)
    return accuracy
