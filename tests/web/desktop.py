"""A desktop without a screen, for viewers that are X11 programs: Xvfb, what it shows, and keys and moves by xdotool."""
import contextlib
import os
import struct
import subprocess

PATIENCE = 60


class Desktop:
    def __init__(self, width=1024, height=768):
        reading, writing = os.pipe()
        self.server = subprocess.Popen(["Xvfb", "-displayfd", str(writing), "-screen", "0", f"{width}x{height}x24", "-nolisten", "tcp"],
                                       pass_fds=[writing], stderr=subprocess.DEVNULL)
        os.close(writing)
        with os.fdopen(reading) as told:
            self.display = ":" + told.readline().strip()
        self.environment = {**os.environ, "DISPLAY": self.display}
        self.viewers = []

    def start(self, words, log, **environment):
        """A viewer. What it says is in the file `log`."""
        with open(log, "w", encoding="utf-8") as said:
            viewer = subprocess.Popen(words, env={**self.environment, **environment}, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        self.viewers.append(viewer)
        return viewer

    def picture(self):
        """(width, height, lines of 4 bytes a pixel: blue, green, red and nothing) of all that is shown."""
        data = subprocess.run(["xwd", "-root", "-silent"], env=self.environment, capture_output=True, check=True, timeout=PATIENCE).stdout
        head = struct.unpack(">25I", data[:100])
        width, height, line, at = head[4], head[5], head[12], head[0] + 12 * head[19]
        return width, height, [data[at + y * line:at + y * line + 4 * width] for y in range(height)]

    def middle(self):
        """The colour there: red, green, blue."""
        width, height, lines = self.picture()
        return tuple(reversed(lines[height // 2][width // 2 * 4:width // 2 * 4 + 3]))

    def read(self, *words):
        """What xdotool answers."""
        return subprocess.run(["xdotool", *words], env=self.environment, check=True, timeout=PATIENCE, stdout=subprocess.PIPE, text=True).stdout

    def do(self, *words):
        self.read(*words)

    def end(self):
        for process in (*self.viewers, self.server):
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(PATIENCE)


@contextlib.contextmanager
def desktop(**size):
    shown = Desktop(**size)
    try:
        yield shown
    finally:
        shown.end()
