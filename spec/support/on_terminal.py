"""Run a program on a terminal of its own, type to it and wait for what it shows.

Reads {"command": [...], "env": {...}, "cwd": "...", "steps": [["see", TEXT] | ["type", TEXT], ...]} as JSON
from standard input and prints {"seen": TRANSCRIPT, "status": EXIT STATUS or null, "missing": TEXT or null}.
A "see" looks at what came after the last one.
"""

import fcntl
import json
import os
import pty
import select
import signal
import struct
import sys
import termios
import time

PATIENCE = 20  # seconds for one step, and for the end


class Session:
    def __init__(self, request):
        self.seen = b""
        self.mark = 0
        self.open = True
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(request["cwd"])
            os.execvpe(request["command"][0], request["command"], {**os.environ, **request["env"]})
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def read(self, seconds):
        ready, _, _ = select.select([self.fd], [], [], seconds)
        if not ready:
            return
        try:
            data = os.read(self.fd, 4096)
        except OSError:  # the other side is closed
            data = b""
        self.open = data != b""
        self.seen += data

    def see(self, text):
        wanted, deadline = text.encode(), time.monotonic() + PATIENCE
        while True:
            found = self.seen.find(wanted, self.mark)
            if found >= 0:
                self.mark = found + len(wanted)
                return True
            if not self.open or time.monotonic() > deadline:
                return False
            self.read(0.1)

    def type(self, text):
        os.write(self.fd, text.encode())
        return True

    def end(self):
        deadline = time.monotonic() + PATIENCE
        while self.open and time.monotonic() < deadline:
            self.read(0.1)
        if self.open:
            os.kill(self.pid, signal.SIGKILL)
        _, status = os.waitpid(self.pid, 0)
        return os.waitstatus_to_exitcode(status)


def main():
    request = json.load(sys.stdin)
    session, missing = Session(request), None
    for action, text in request["steps"]:
        if not getattr(session, action)(text):
            missing = text
            os.kill(session.pid, signal.SIGKILL)
            break
    status = session.end()
    print(json.dumps({"seen": session.seen.decode(errors="replace"), "status": status, "missing": missing}))


main()
