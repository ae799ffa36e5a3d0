"""A person's terminal while the lab is interactive: raw, with one key to leave."""
import os
import sys
import termios
import tty

LEAVE = b"\x1d"  # Ctrl-]


class Terminal:
    def __init__(self):
        self.input = sys.stdin.fileno()
        self.saved = termios.tcgetattr(self.input)

    def __enter__(self):
        tty.setraw(self.input)
        return self

    def __exit__(self, *_):
        termios.tcsetattr(self.input, termios.TCSADRAIN, self.saved)

    def keys(self, stream):
        """Pass what was typed to the machine; True when the person leaves."""
        data = os.read(self.input, 1024)
        if not data or LEAVE in data:
            return True
        try:
            stream.sendall(data)
        except OSError:
            return True
        return False
