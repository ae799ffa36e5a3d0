"""A machine's screen without a machine: the worker's end of the seats of include/mgmt/display.h, with the memory and registers of include/mgmt/screen.h."""
import array
import contextlib
import os
import selectors
import socket
import struct
import subprocess

BYTES = (16 << 20) + 0x8000 + (32 << 20)  # frame memory of the VGA, its text, frame memory of the synthetic display
LOOK, KEY, POINTER, JOIN, SIZE = range(5)


class Screen:
    """What is asked at its seats is answered by whoever runs the selector."""

    def __init__(self, select, size):
        self.select, self.size, self.looks, self.seats, self.programs = select, size, 0, set(), []
        self.heard = []  # keys as (key, down), moves as (x, y, buttons, wheel), sizes as ("size", width, height)
        self.follows = None  # whether the guest is told of sizes, and then the function that is called with them
        self.memory = os.memfd_create("screen")
        os.ftruncate(self.memory, BYTES)

    def fill(self, colour, left=0, top=0, right=None, bottom=None):
        """Of 0xRRGGBB."""
        width, height = self.size
        line = array.array("I", [colour]) * ((right or width) - left)
        for y in range(top, bottom or height):
            os.pwrite(self.memory, line.tobytes(), (y * width + left) * 4)

    def lines(self):
        """As a viewer is to show them: each pixel's blue, green and red, and a byte that means nothing."""
        width, height = self.size
        return [os.pread(self.memory, width * 4, y * width * 4) for y in range(height)]

    def show(self, program, name, listener):
        """The program that shows it (vmvnc, vmrdp) has the socket at which viewers connect as descriptor 3, and the first seat as 4."""
        seat, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sit(seat)
        # Both numbers are this process' own as well.
        listener, theirs = (os.fdopen(os.dup(fd), "rb") for fd in (listener, theirs.detach()))
        self.programs.append(subprocess.Popen([program, name], stdin=subprocess.DEVNULL, pass_fds=(3, 4),
                                              preexec_fn=lambda: (os.dup2(listener.fileno(), 3), os.dup2(theirs.fileno(), 4))))
        listener.close()
        theirs.close()
        return self.programs[-1]

    def sit(self, seat):
        socket.send_fds(seat, [struct.pack("<II", 0x31707364, BYTES)], [self.memory])
        self.seats.add(seat)
        self.select.register(seat, selectors.EVENT_READ, self.serve)

    def leave(self, seat):
        self.select.unregister(seat)
        self.seats.discard(seat)
        seat.close()

    def registers(self):
        """The VGA's; of the synthetic display, which shows nothing, all zeros."""
        width, height = self.size
        return struct.pack("<I4x8x32x16x32x768x11HBx80x", 0x32726373, 0, width, height, 32, 0x41, 0, width, height, 0, 0, 0, bool(self.follows))

    def serve(self, seat):
        data, fds = b"", []
        with contextlib.suppress(OSError):
            data, fds, _, _ = socket.recv_fds(seat, 64, 1)
        if not data:
            self.leave(seat)
            return
        kind, key, down, buttons, wheel, x, y, *at = struct.unpack_from("<IBBBbhhHH", data)
        if kind == JOIN:
            self.sit(socket.socket(fileno=fds[0]))
        elif kind == KEY:
            self.heard.append((key, down))
            self.on_key(key, down)
        elif kind == POINTER:
            self.heard.append((x, y, buttons, wheel))
        elif kind == SIZE:
            self.heard.append(("size", *at))
            if self.follows:
                self.follows(*at)
        else:
            self.looks += 1
            with contextlib.suppress(OSError):
                seat.send(self.registers())

    def on_key(self, key, down):
        pass
