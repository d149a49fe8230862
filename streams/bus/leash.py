"""Holds the embedded Kafka on a leash: becomes Java, and leaves a watcher that ends Java when our parent is gone.

Place in the flow: `embedded.py` runs this file by its path as a program of its own, in its own session (so that a
Ctrl-C on the terminal reaches our parent alone), with a pipe from the parent as standard input. The pipe closes when
the parent ends, however it ends: the watcher then asks Java to stop, and kills it when it doesn't. Python's
threads forbid doing this with `preexec_fn`, and Linux's PR_SET_PDEATHSIG would follow the thread that started us, not
the process. Knows nothing of Kafka. Imports the standard library alone: it runs without site-packages.

Arguments: the parent's process id, the seconds that Java may take to stop, then the command.
"""

import contextlib
import os
import select
import signal
import sys
import time

POLL_S = 0.5
STDIN = 0


def main() -> None:
    """Forks the watcher, then becomes the command, so that the parent's child is Java itself."""
    parent_pid, grace_s, command = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3:]
    java_pid = os.getpid()
    if os.fork() == 0:
        watch(java_pid, parent_pid, grace_s)
        os._exit(0)
    os.dup2(os.open(os.devnull, os.O_RDONLY), STDIN)
    os.execv(command[0], command)  # noqa: S606


def watch(java_pid: int, parent_pid: int, grace_s: float) -> None:
    """Waits until Java or the parent ends; in the latter case stops Java."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.closerange(3, 1024)  # the data folder's lock is Java's, not ours
    while os.getppid() == java_pid:
        pipe_closed = select.select([STDIN], [], [], POLL_S)[0]
        if pipe_closed or not _is_alive(parent_pid):  # a forked child of the parent may hold the pipe open
            with contextlib.suppress(ProcessLookupError):  # Java ended between our look and our signal
                _stop(java_pid, grace_s)
            return


def _stop(java_pid: int, grace_s: float) -> None:
    deadline_s = time.monotonic() + grace_s
    if os.getppid() == java_pid:  # while Java is our parent its id can't belong to another process
        os.kill(java_pid, signal.SIGTERM)
    while os.getppid() == java_pid:
        if time.monotonic() > deadline_s:
            os.kill(java_pid, signal.SIGKILL)
            return
        time.sleep(0.05)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


if __name__ == "__main__":
    main()
