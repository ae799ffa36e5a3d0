#!/usr/bin/env python3
"""The parts of tools/labkit that need no machine: the channel's lines, initramfs archives, the table of includes."""
import os
import subprocess
import sys
import tempfile
import unittest

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path.insert(0, os.path.join(TOP, "tools"))
from labkit.channel import Channel  # noqa: E402
from labkit.cpio import Archive  # noqa: E402
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


class TestWords(unittest.TestCase):
    def test_module_string(self):
        self.assertEqual(module_string("/k", "console=ttyS0,115200 x"), "/k console=ttyS0,,115200 x")
        self.assertEqual(module_string("/k"), "/k")

    def test_needs(self):
        self.assertEqual(needs(b"\0license=GPL\0depends=kvm,ccp\0name=x\0"), ["kvm", "ccp"])
        self.assertEqual(needs(b"\0depends=\0"), [])


if __name__ == "__main__":
    unittest.main()
