"""Writes down whom a Python process contacts: on PYTHONPATH, Python imports it before anything else.

Place in the flow: `tests/contacts.py` starts processes with it. An audit hook can't be taken away again and sees every
socket that Python opens, in every thread and child. What native code does alone, it does not see.
"""

import os
import sys


def _watch(path: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
            address = arguments[1]
            if isinstance(address, tuple):  # else a Unix socket's path, or none
                os.write(file, f"{address[0]} {address[1]}\n".encode())
        elif event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr") and arguments[0]:
            host = arguments[0].decode() if isinstance(arguments[0], bytes) else arguments[0]
            os.write(file, f"{host} name\n".encode())

    sys.addaudithook(hook)


if os.environ.get("LINESIDE_TEST_CONTACTS"):
    _watch(os.environ["LINESIDE_TEST_CONTACTS"])
