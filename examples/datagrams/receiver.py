"""Writes each datagram of a Unix socket into a file, like a syslog daemon.

Run by `reuseaddr run --type=datagram ADDRESS -- python3 receiver.py FILE`, it gets the socket as
descriptor 3. SIGTERM ends it between two messages. Those that wait are for its successor.
"""

import os
import select
import signal
import socket
import sys

from notify import notify

told, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGTERM, lambda *_: None)

receiver = socket.socket(fileno=3)
with open(sys.argv[1], "ab", buffering=0) as log:
    notify("READY=1")
    while told not in select.select([receiver, told], [], [])[0]:
        try:
            log.write(receiver.recv(65536, socket.MSG_DONTWAIT) + b"\n")
        except BlockingIOError:
            pass  # The successor, which reads from the same queue, was faster.
