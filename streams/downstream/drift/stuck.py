"""A camera that gives the same picture again and again, or pictures that it gave before. Pure.

A live picture has noise: no two are equal. Equal ones mean a frozen driver, or a grabber that hands out old buffers,
while triggers go on and parts pass unseen. A frame that was sent again is not a second picture. Where frames carry a
known label, as those of demos do, old pictures are meant to come again: then only one that stands still counts.
"""

from __future__ import annotations

from collections import Counter, deque

from schemas.records import PictureFigures, VerdictIssued

RUNNING = 5  # equal pictures in a row
REMEMBERED = 500  # pictures of a camera
AMONG = 50  # newest frames, of which
AGAIN = 10  # at least so many were met before: the pictures repeat


class Stuck:
    """One camera, all its products together: what it shows has no say."""

    def __init__(self) -> None:
        self._before: tuple[bytes, PictureFigures | None] | None = None
        self.running = 1  # equal pictures that came last
        self._known: deque[bytes] = deque()
        self._counts: Counter[bytes] = Counter()
        self._again: deque[bool] = deque(maxlen=AMONG)

    def take(self, verdict: VerdictIssued) -> bool:
        """Whether the picture is another one than the last; false where it tells nothing new."""
        digest, figures = bytes(verdict.image_sha256[:16], "utf-8", "replace"), verdict.picture
        before, self._before = self._before, (digest, figures)
        has_noise = figures is not None and figures.contrast > 0  # one without any light looks like every other
        same = before is not None and (before[0] == digest or (has_noise and before[1] == figures))
        self.running = self.running + 1 if same else 1
        if verdict.label is None and not same:
            self._again.append(self._counts[digest] > 0)
            self._remember(digest)
        return not same

    @property
    def is_stuck(self) -> bool:
        return self.running >= RUNNING

    @property
    def repeated(self) -> int:
        """How many of the newest pictures were met before."""
        return sum(self._again)

    @property
    def told(self) -> str | None:
        """What is wrong; None where nothing is."""
        if self.is_stuck:
            return f"the same picture {self.running} times running, while triggers go on: is the camera frozen?"
        if self.repeated >= AGAIN:
            return f"{self.repeated} of the newest {len(self._again)} pictures came before: are old buffers sent again?"
        return None

    @property
    def is_well(self) -> bool:
        """Whether pictures have been new for long enough."""
        newest = list(self._again)[-RUNNING:]
        return self.running == 1 and not any(newest) and self.repeated < AGAIN

    def _remember(self, digest: bytes) -> None:
        self._known.append(digest)
        self._counts[digest] += 1
        if len(self._known) > REMEMBERED:
            oldest = self._known.popleft()
            self._counts[oldest] -= 1
            if not self._counts[oldest]:
                del self._counts[oldest]
