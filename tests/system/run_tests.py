"""make run on a terminal: what a person sees, and the key to end it."""
import os
import pty
import re
import select
import signal
import subprocess
import time

from harness import TOP, test

KEY = b"\x1d"  # Ctrl-]


class Person:
    """Who sits at the terminal of a program."""

    def __init__(self, t, words):
        self.t, self.text, self.ends = t, b"", time.monotonic() + t.deadline
        self.fd, end = pty.openpty()
        self.program = subprocess.Popen(words, stdin=end, stdout=end, stderr=end, start_new_session=True)
        os.close(end)

    def look(self):
        """More of what is shown; False: the program has ended."""
        self.t.check(time.monotonic() < self.ends, f"it takes too long; shown was {self.text[-2000:]!r}")
        if not select.select([self.fd], [], [], 1)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # nobody has the other end any more
            data = b""
        self.text += data
        return bool(data)

    def sees(self, wanted):
        while wanted not in self.text:
            self.t.check(self.look(), f"no {wanted!r}; shown was {self.text[-2000:]!r}")

    def types(self, keys):
        os.write(self.fd, keys)

    def leaves(self):
        """The program's status, after it has ended; all that was shown."""
        while self.look():
            pass
        return self.program.wait(), self.text.decode(errors="replace")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.program.poll() is None:
            self.program.send_signal(signal.SIGINT)
            self.program.wait()
        os.close(self.fd)


@test("run: on a terminal Ctrl-] shuts the guest down in order, and twice turns it off", deadline=600)
def key(t):
    shown = {}
    for name, keys in (("once", KEY), ("twice", 2 * KEY)):
        with Person(t, [os.path.join(TOP, "tools", "run"), "tiny"]) as person:
            person.sees(b"guest: ready")
            person.sees(b"# ")
            person.types(b"until dmesg | grep -q 'Shutdown IC'; do sleep 1; done; echo it is $((1 + 1))\r")
            person.sees(b"it is 2")
            person.types(keys)
            status, shown[name] = person.leaves()
        t.same(f"{name}: the status of make run", status, 0)
        t.has(shown[name], "the guest is asked to shut down; Ctrl-] again turns the machine off")
    t.check(re.search(r"reboot: Power down", shown["once"]), f"the guest was not shut down in order: {shown['once'][-1000:]}")
    t.has(shown["once"], "run: the guest ran and powered off")
    for text in ("Power down", "powered off"):
        t.check(text not in shown["twice"], f"the guest was shut down in order, and was to be turned off: {shown['twice'][-1000:]}")
