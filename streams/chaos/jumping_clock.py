"""`python -m streams.chaos.jumping_clock JUMP_S AFTER_S worker …`: a worker whose wall clock jumps, as by a bad NTP.

Only what our own code asks for jumps; Kafka's clients and timers go by other clocks. Knows nothing of frames.
"""

from __future__ import annotations

import datetime as clock
import sys
import time
from typing import Any


def install(jump_s: float, after_s: float) -> None:
    """From `after_s` seconds from now on, `datetime.now` of inspection's modules is off by `jump_s` seconds."""
    real, started = clock.datetime, time.monotonic()

    class Jumping(real):  # type: ignore[misc, valid-type]
        @classmethod
        def now(cls, tz: Any = None) -> clock.datetime:
            off_s = jump_s if time.monotonic() - started > after_s else 0.0
            return real.now(tz) + clock.timedelta(seconds=off_s)

    for name, module in tuple(sys.modules.items()):
        if name.startswith("streams.inspection") and getattr(module, "datetime", None) is real:
            module.datetime = Jumping  # type: ignore[attr-defined]


if __name__ == "__main__":
    import streams.app  # noqa: F401  # all modules of inspection are there to be changed
    from streams.cli import main

    install(float(sys.argv.pop(1)), float(sys.argv.pop(1)))
    main()
