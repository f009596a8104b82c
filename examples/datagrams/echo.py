"""Answers each message of a seqpacket connection with the same message.

Run by `reuseaddr run --type=seqpacket ADDRESS -- python3 echo.py`, it gets the listening socket as
descriptor 3. At SIGTERM it accepts no more, and ends with its last connection.
"""

import os
import select
import signal
import socket
import threading

from notify import notify

told, tell = os.pipe()
os.set_blocking(tell, False)
signal.set_wakeup_fd(tell)
signal.signal(signal.SIGTERM, lambda *_: None)


def serve(connection):
    with connection:
        # Each recv is one message, of whatever length. Empty: the client has closed.
        while message := connection.recv(65536):
            connection.send(message)


listener = socket.socket(fileno=3)
listener.setblocking(False)
notify("READY=1")
while told not in select.select([listener, told], [], [])[0]:
    try:
        connection, _ = listener.accept()
    except BlockingIOError:
        continue  # The successor, which accepts from the same queue, was faster.
    connection.setblocking(True)
    threading.Thread(target=serve, args=(connection,)).start()
