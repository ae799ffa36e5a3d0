"""The stream between tools/lab and the root's first process: a command's output, its status, then files.

The root writes lines that begin with a token of this run: begin, exit N, file (base64 follows), missing, end. What
stands between begin and exit is the command's output, byte for byte.
"""
import base64
import re


class Channel:
    def __init__(self, token, sink):
        self.sink = sink          # called with the command's output, bytes
        self.mark = b"@@lab " + token.encode() + b" "
        self.exit_mark = re.compile(rb"\r?\n" + re.escape(self.mark) + rb"exit (\d+)\r?\n")
        self.buffer = b""
        self.state = "boot"
        self.status = None
        self.files = None         # after end: the bytes of each file asked for, or None for one that was not there

    def feed(self, data):
        self.buffer += data
        if self.state == "boot":
            self.find_begin()
        if self.state == "output":
            self.find_exit()
        if self.state == "files":
            self.find_end()

    def find_begin(self):
        head, found, rest = self.buffer.partition(self.mark + b"begin")
        if found and b"\n" in rest:
            self.buffer = rest.split(b"\n", 1)[1]
            self.state = "output"

    def find_exit(self):
        match = self.exit_mark.search(self.buffer)
        if match:
            self.sink(self.buffer[:match.start()])
            self.status = int(match[1])
            self.buffer = self.buffer[match.end():]
            self.state = "files"
            return
        keep = self.undecided()
        if len(self.buffer) > keep:
            self.sink(self.buffer[:len(self.buffer) - keep])
            self.buffer = self.buffer[len(self.buffer) - keep:]

    def undecided(self):
        """How many bytes at the end may be the beginning of the exit line."""
        longest = len(self.mark) + 12
        for start in range(max(0, len(self.buffer) - longest), len(self.buffer)):
            tail = self.buffer[start:].lstrip(b"\r")
            if tail == b"" or (tail[:1] == b"\n" and (self.mark.startswith(tail[1:])
                                                        or tail[1:].startswith(self.mark))):
                return len(self.buffer) - start
        return 0

    def find_end(self):
        if self.mark + b"end" not in self.buffer:
            return
        self.files = []
        for part in self.buffer.split(self.mark)[1:]:
            word, _, body = part.partition(b"\n")
            if word.strip() == b"file":
                self.files.append(base64.b64decode(body))
            elif word.strip() == b"missing":
                self.files.append(None)
        self.state = "end"
