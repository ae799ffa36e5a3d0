#!/usr/bin/env python3
"""The parts of tools/labkit that need no machine: the channel's lines, initramfs archives, the table of includes."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tools"))
from labkit import bochs  # noqa: E402
from labkit.channel import Channel  # noqa: E402
from labkit.cpio import Archive  # noqa: E402
from labkit.mend import calls, clear_with_lock, store_before_call, with_lock  # noqa: E402
from labkit.mend_bochs import commit, detour  # noqa: E402
from labkit.qemu import module_string  # noqa: E402
from labkit.modules import needs  # noqa: E402

STREAM = (b"noise\n@@lab t begin\nout\r\nput\n@@lab t other\n\n@@lab t exit 3\n"
          b"@@lab t file\naGVsbG8=\n@@lab t missing\n@@lab t end\n")


class TestChannel(unittest.TestCase):
    def feed(self, size):
        out = []
        channel = Channel("t", out.append)
        for at in range(0, len(STREAM), size):
            channel.feed(STREAM[at:at + size])
        return channel, b"".join(out)

    def test_any_pieces(self):
        for size in (1, 2, 3, 7, 16, 1000):
            channel, out = self.feed(size)
            self.assertEqual(out, b"out\r\nput\n@@lab t other\n")
            self.assertEqual((channel.state, channel.status, channel.files), ("end", 3, [b"hello", None]))

    def test_output_is_not_held_back(self):
        out = []
        channel = Channel("t", out.append)
        channel.feed(b"@@lab t begin\nprompt# ")
        self.assertEqual(b"".join(out), b"prompt# ")

    def test_another_run(self):
        channel = Channel("u", lambda data: None)
        channel.feed(STREAM)
        self.assertEqual(channel.state, "boot")


class TestArchive(unittest.TestCase):
    def test_cpio_reads_it(self):
        archive = Archive()
        archive.file("a/b/file", b"text", 0o755)
        archive.link("a/link", "b/file")
        archive.file("a/b/file", b"a second one is not taken")
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["cpio", "-idm", "--quiet"], input=archive.bytes(), cwd=folder, check=True)
            with open(f"{folder}/a/link", "rb") as file:
                self.assertEqual(file.read(), b"text")
            self.assertTrue(os.access(f"{folder}/a/b/file", os.X_OK))


class TestMend(unittest.TestCase):
    """The one store before the one call: what QEMU's repair takes out."""

    STORE, OTHER = b"\x89\xb3\x10\xd7\xff\xff", b"\x44\x89\xab\xe0\x33\x00\x00"
    CALL = b"\xe8\x0b\x01\x00\x00"     # from 0x1010 to 0x1120

    def code(self, *parts):
        return b"".join(parts).ljust(16, b"\x90") + self.CALL

    def test_found(self):
        self.assertEqual(store_before_call(self.code(self.OTHER, self.STORE), 0x1000, 0x1120), (7, 6))
        self.assertEqual(store_before_call(self.code(b"\x44" + self.STORE), 0x1000, 0x1120), (0, 7))

    def test_left_alone(self):
        self.assertIsNone(store_before_call(self.code(self.OTHER), 0x1000, 0x1120))
        self.assertIsNone(store_before_call(self.code(self.STORE), 0x1000, 0x1121))
        twice = self.code(self.STORE) + b"\xe8\x06\x01\x00\x00"
        self.assertIsNone(store_before_call(twice, 0x1000, 0x1120))

    def test_lock(self):
        store = bytes.fromhex("818b10d5ffff00010000")                # orl $0x100,-0x2af0(%rbx)
        locked = bytes.fromhex("f0808b11d5ffff016690")               # lock orb $1,-0x2aef(%rbx), and a NOP
        self.assertEqual(with_lock(self.OTHER + store), (len(self.OTHER), locked))
        self.assertEqual(with_lock(b"\x41" + store), (0, locked[:1] + b"\x41" + locked[1:]))
        self.assertIsNone(with_lock(store + store))
        self.assertIsNone(with_lock(bytes.fromhex("818b10d5ffff00020000")))

    def test_lock_of_ignne(self):
        clear = bytes.fromhex("81a0742c00007fffffff")                # andl $~0x80,0x2c74(%rax)
        locked = bytes.fromhex("f080a0742c00007f6690")               # lock andb $0x7f,0x2c74(%rax), and a NOP
        self.assertEqual(clear_with_lock(self.OTHER + clear), (len(self.OTHER), locked))
        self.assertIsNone(clear_with_lock(clear + clear))
        self.assertIsNone(clear_with_lock(self.OTHER))


class TestMendBochs(unittest.TestCase):
    LOOP = bytes.fromhex("488b82e0000000 80bab98e000000 c6823001000000 48898218010000")   # of %rdx
    COMMIT = bytes.fromhex("488b87e0000000 48898718010000 c6873001000000")                # of %rdi

    def test_commit(self):
        self.assertEqual(commit(b"\x90" + self.LOOP + b"\x0f\x85"), self.COMMIT)
        self.assertIsNone(commit(self.LOOP + self.LOOP))
        self.assertIsNone(commit(self.LOOP[:-1]))

    def test_detour(self):
        self.assertEqual(calls(b"\x90" + TestMend.CALL, 0x100f, 0x1120), [1])
        self.assertEqual(calls(b"\x90" + TestMend.CALL, 0x100f, 0x1121), [])
        self.assertEqual(detour(self.COMMIT, 0x2000, 0x1000), self.COMMIT + bytes.fromhex("e9 e6efffff"))


# Lines of a log of Bochs's.
LOG = """00000000000i[SYS   ] bx_pc_system_c::Reset(HARDWARE) called
00690934514e[CPU0  ] RDMSR: Unknown register 0x66a
00690934600e[CPU0  ] VMFAIL: VMCS host state invalid CR0 0x00000030
"""
PANIC = """01043991777p[CPU0  ] >>PANIC<< exception(): 3rd (13) exception with no resolution
01043991777i[CPU0  ] CPU is in long mode (active)
01043991777i[CPU0  ] | RAX=0000000000000000  RBX=0000000000000000
01043991777i[CPU0  ] | RIP=ffffffffa420db67 (ffffffffa420db65)
"""


class TestBochs(unittest.TestCase):
    def test_how_a_machine_ends(self):
        self.assertIsNone(bochs.ending(LOG))
        self.assertEqual(bochs.ending(LOG + PANIC), "guest-reset")
        self.assertEqual(bochs.ending(LOG + "00000000900i[SYS   ] bx_pc_system_c::Reset(SOFTWARE) called\n"), "guest-reset")
        self.assertEqual(bochs.ending(LOG + "01p[ACPI  ] >>PANIC<< ACPI control: soft power off\n"), "guest-shutdown")

    def test_what_a_log_says(self):
        self.assertEqual([line[-10:] for line in LOG.splitlines() if bochs.serious(line)], ["0x00000030"])
        self.assertEqual([line.split()[-1] for line in bochs.registers(LOG + PANIC)], ["(active)", "(ffffffffa420db65)"])


class TestWords(unittest.TestCase):
    def test_module_string(self):
        self.assertEqual(module_string("/k", "console=ttyS0,115200 x"), "/k console=ttyS0,,115200 x")
        self.assertEqual(module_string("/k"), "/k")

    def test_needs(self):
        self.assertEqual(needs(b"\0license=GPL\0depends=kvm,ccp\0name=x\0"), ["kvm", "ccp"])
        self.assertEqual(needs(b"\0depends=\0"), [])


if __name__ == "__main__":
    unittest.main()
