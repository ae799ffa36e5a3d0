#!/usr/bin/env python3
"""The parts of tools/labkit that need no machine: the channel's lines, initramfs archives, the table of includes."""
import contextlib
import importlib.machinery
import importlib.util
import io
import os
import struct
import subprocess
import sys
import tempfile
import unittest
import unittest.mock

TOP = os.path.realpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", ".."))
sys.path[:0] = [os.path.join(TOP, "tools"), os.path.join(TOP, "tests", "system")]
import harness  # noqa: E402
import outcomes as counted  # noqa: E402
from labkit import bochs, core, emulator, guest, hvstate  # noqa: E402
from labkit.channel import Channel  # noqa: E402
from labkit.cpio import Archive  # noqa: E402
from labkit.mend import above, calls, clear_with_lock, protect_first, store_before_call, tell_with_lock, with_lock  # noqa: E402
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


class TestEmulator(unittest.TestCase):
    def test_copies(self):
        """One that was mended otherwise, and is still in the cache, is not taken."""
        one, other = (emulator.mended("x", sources) for sources in (["mend.py"], ["mend.py", "mend_bochs.py"]))
        self.assertRegex(one, r"/x-[0-9a-f]{12}$")
        self.assertNotEqual(one, other)
        self.assertEqual(one, emulator.mended("x", ["mend.py"]))


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

    def test_above(self):
        vmrun, write = bytes.fromhex("c1e91083e70f83e10f39f9"), bytes.fromhex("c1e81083e00f39e8")
        self.assertEqual(above(self.OTHER + vmrun + b"\x72\x0e"), (len(self.OTHER + vmrun), b"\x76"))
        self.assertEqual(above(write + bytes.fromhex("0f82c0010000")), (len(write), b"\x0f\x86"))
        self.assertIsNone(above(vmrun + b"\x73\x0e"))
        self.assertIsNone(above((vmrun + b"\x72\x0e") * 2))

    def test_tell(self):
        store = bytes.fromhex("818b10d5ffff00010000")                # orl $0x100,-0x2af0(%rbx)
        common = bytes.fromhex("488dbb40d4ffff")                     # lea -0x2bc0(%rbx),%rdi
        jump = bytes.fromhex("be000100005b5de9ec000000")             # from 0x1013 to 0x10ff
        locked = bytes.fromhex("f0808fd100000001 5b5dc390")          # lock orb $1,0xd1(%rdi); pop; pop; ret
        self.assertEqual(tell_with_lock(common + jump, 0x1000, 0x10ff, store), (7, locked))
        self.assertIsNone(tell_with_lock(common + jump, 0x1000, 0x10fe, store))
        self.assertIsNone(tell_with_lock(jump, 0x1000, 0x10f8, store))
        self.assertIsNone(tell_with_lock(common + jump, 0x1000, 0x10ff, b""))

    def test_lock_of_ignne(self):
        clear = bytes.fromhex("81a0742c00007fffffff")                # andl $~0x80,0x2c74(%rax)
        locked = bytes.fromhex("f080a0742c00007f6690")               # lock andb $0x7f,0x2c74(%rax), and a NOP
        self.assertEqual(clear_with_lock(self.OTHER + clear), (len(self.OTHER), locked))
        self.assertIsNone(clear_with_lock(clear + clear))
        self.assertIsNone(clear_with_lock(self.OTHER))

    def test_protect(self):
        lock = bytes.fromhex("4883ec08 48c1ef0c be01000000 e8bef1ffff b901000000 89ca 8710 85d2 7513 4883c408 31c0 31d2 31c9 31f6 31ff c3 6690")
        first = bytes.fromhex("53 4889fb 48c1ef0c be01000000 e8bef1ffff ba01000000 8710 85d2 7404 f390 ebf1 4889df 5b e9d60f0000")
        self.assertEqual(protect_first(lock, 0x1000, 0x2000), (0, first))
        self.assertIsNone(protect_first(b"\x90" + lock, 0x1000, 0x2000))
        self.assertIsNone(protect_first(lock[:len(first) - 1], 0x1000, 0x2000))


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


class TestCore(unittest.TestCase):
    """The hypervisor in the memory of an emulator, and its state."""

    BASE, HANDOFF = 0x200000, 0x1800

    def memory(self, magic=core.HANDOFF_MAGIC):
        """A mapping with a page before the RAM; in the RAM a module, its beginning alone, and the image in its place."""
        head = struct.pack("<QI", core.IMAGE_MAGIC, 1)
        ram = bytearray(0x400000)
        ram[0x5000:0x500c] = head
        ram[self.BASE:self.BASE + 12] = head
        struct.pack_into("<5Q", ram, self.BASE + self.HANDOFF, magic, 0, 0, self.BASE, 0x3000)
        return bytes(core.PAGE) + bytes(ram)

    def find(self, memory):
        return core.find_image(lambda at, length: memory[at:at + length], len(memory), {1: self.HANDOFF})

    def test_image(self):
        self.assertEqual(self.find(self.memory()), (core.PAGE, self.BASE, 0x3000, 1))
        self.assertIsNone(self.find(self.memory(magic=1)))
        self.assertIsNone(self.find(b""))

    def test_mapping(self):
        maps = ("7f0000000000-7f0080000000 rw-p 00000000 00:00 0 \n7f0100000000-7f0200000000 rw-s 00000000 00:01 7 /memfd\n"
                "7f0300000000-7f0500000000 r--p 00000000 00:00 0 \n600000000000-600000001000 rw-p 00000000 00:00 0 \n")
        self.assertEqual(core.largest_mapping(maps), (0x7f0000000000, 0x80000000))

    def test_segments(self):
        self.assertEqual(core.segments(2 << 30), [(0, 0, 2 << 30)])
        self.assertEqual(core.segments(6 << 30), [(0, 0, 2 << 30), (2 << 30, 4 << 30, 4 << 30)])

    def test_file(self):
        """What readelf makes of it, and what it has of the RAM."""
        memory, registers = self.memory(), core.parse_registers(["CPU#0", "RAX=0000000000000001 RBX=0000000000000002",
                                                                 "RIP=ffffffff80000100 RFL=00000246 [---Z-P-]", "CPU#1", "RIP=0000000000000003"])
        self.assertEqual(registers, [{"RAX": 1, "RBX": 2, "RIP": 0xffffffff80000100, "RFL": 0x246}, {"RIP": 3}])
        head = core.header([(core.IMAGE_VA, self.BASE, 0x3000), (core.DIRECT_MAP, 0, 0x400000)], registers)
        with tempfile.TemporaryFile() as source, tempfile.NamedTemporaryFile() as target:
            source.write(memory)
            source.flush()
            target.write(head)
            target.flush()
            core.copy(source.fileno(), core.PAGE, 0x400000, target.fileno(), len(head))
            target.seek(0)
            self.assertEqual(target.read(), head + memory[core.PAGE:])
            text = subprocess.run(["readelf", "-lWn", target.name], stdout=subprocess.PIPE, text=True, check=True).stdout
        self.assertEqual(text.count("NT_PRSTATUS"), 2)
        self.assertRegex(text, rf"LOAD +0x0*{self.BASE + len(head):x} 0xffffffff80000000")
        self.assertRegex(text, rf"LOAD +0x0*{len(head):x} 0xffff800000000000")

    def test_stacks(self):
        """Two pages of an LP's, whose first is a guard, and another LP's; a large address has no part in it."""
        tables = {0x1000: {0x1a0: 0x2003, 0x1ff: 0x9003}, 0x2000: {0: 0x3003}, 0x3000: {0: 0x4003, 1: 0x5003},
                  0x4000: {1: 0x7063, 2: 0x8063}, 0x5000: {511: 0x6063 | 1 << 63}}
        def read(physical, length):
            return struct.pack("<512Q", *(tables[physical].get(i, 0) for i in range(512)))
        self.assertEqual(list(core.stack_pages(read, 0x1000)),
                         [(core.STACK_MAP + 0x1000, 0x7000), (core.STACK_MAP + 0x2000, 0x8000), (core.STACK_MAP + 0x3ff000, 0x6000)])

    def test_words(self):
        self.assertEqual(hvstate.vectors([1 << 31, 0, 0, 0, 0, 0, 0, 1 << 25]), [31, 0xf9])
        self.assertEqual(hvstate.bits(0x11, {1: "INTERRUPT", 16: "TIMER"}), "INTERRUPT|TIMER")
        self.assertEqual(hvstate.bits(0x81, {1: "INTERRUPT", 16: "TIMER"}), "INTERRUPT|0x80")
        self.assertEqual([hvstate.held(*words) for words in ((5, 5), (6, 5), (1, 0xfffe))], [None, "held", "held, 2 wait"])
        self.assertEqual([hvstate.number(n) for n in (7, 255, 2 ** 64 - 1)], ["7", "0xff", "never"])


def program(path):
    """A program of the tree as a module."""
    loader = importlib.machinery.SourceFileLoader(os.path.basename(path).replace("-", "_"), os.path.join(TOP, path))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
    sys.dont_write_bytecode = True
    loader.exec_module(module)
    return module


class TestClosing(unittest.TestCase):
    def test_lines(self):
        self.assertEqual(harness.closing(["a", "b"], ["pass", "skip"], []), ["1 passed, 0 failed, 1 skipped"])
        self.assertEqual(harness.closing(["a", "b", "c"], ["pass", "fail", "pass"], [0, 2]),
                         ["FLAKY  a", "FLAKY  c", "2 flaky", "2 passed, 1 failed, 0 skipped"])

    def test_tally(self):
        self.assertEqual(harness.tally(["a", "b", "a", "b"], ["pass", "pass", "fail", "pass"]), ["1 of 2  a", "2 of 2  b"])

    def test_second_try(self):
        run = program("tests/system/run")
        tests = [harness.Test(name, 1, None, False) for name in "abc"]
        results = iter(["pass", "fail"])
        run.work = lambda test: next(results)
        outcomes = ["fail", "pass", "fail"]
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(run.again(tests, outcomes), [0])
            self.assertEqual(run.again(tests, ["fail"] * (harness.SECOND_TRIES + 1)), [])
        self.assertEqual(outcomes, ["pass", "pass", "fail"])

    def test_second_try_elsewhere(self):
        """Of tests that have no emulated machine."""
        def a():
            pass

        def b():
            pass

        for results, status, last in ((["pass", "fail", "pass"], 0, ["FLAKY  unit: b", "1 flaky", "2 passed, 0 failed, 0 skipped"]),
                                      (["fail", "skip", "fail"], 1, ["0 passed, 1 failed, 1 skipped"]), (["pass", "pass"], 0, ["2 passed, 0 failed, 0 skipped"])):
            left, out = iter(results), io.StringIO()
            with contextlib.redirect_stdout(out), unittest.mock.patch("sys.argv", [os.path.join(TOP, "tests/unit/run")]):
                self.assertEqual(counted.run([a, b], lambda test, left=left: (next(left), "")), status)
            self.assertEqual(out.getvalue().splitlines()[-len(last):], last)
            self.assertEqual(list(left), [])

    def test_without_the_hypervisor(self):
        """What fails twice is tried without the hypervisor, which changes nothing in the count."""
        run = program("tests/system/run")
        twin = harness.Test("a (bare)", 1, None, True)
        tests = [harness.Test(name, 1, None, False, twin=twin) for name in "ab"]
        results = iter(["fail", "pass", "pass"])
        tried, outcomes = [], ["fail", "fail"]
        run.work = lambda test: tried.append(test.name) or next(results)
        with contextlib.redirect_stdout(io.StringIO()):
            self.assertEqual(run.again(tests, outcomes), [1])
        self.assertEqual((tried, outcomes), (["a", "a (bare)", "b"], ["fail", "pass"]))

    def test_of_all(self):
        """What is flaky goes to the very end; anything else is passed on."""
        lines = ["PASS  a\n", "AGAIN a\n", *(f"{line}\n" for line in harness.closing(["a"], ["pass"], [0]))]
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            self.assertEqual(program("tools/test-all").take(lines), ((1, 0, 0), ["FLAKY  a"]))
        self.assertEqual(out.getvalue(), "PASS  a\nAGAIN a\n")


class TestWords(unittest.TestCase):
    def test_module_string(self):
        self.assertEqual(module_string("/k", "console=ttyS0,115200 x"), "/k console=ttyS0,,115200 x")
        self.assertEqual(module_string("/k"), "/k")

    def test_needs(self):
        self.assertEqual(needs(b"\0license=GPL\0depends=kvm,ccp\0name=x\0"), ["kvm", "ccp"])
        self.assertEqual(needs(b"\0depends=\0"), [])


class TestGuest(unittest.TestCase):
    def test_programs(self):
        """A guest's initramfs has the name that it was given, whatever libraries its programs bring along."""
        path = guest.initrd("labkit-test", programs=["/bin/ls"])
        self.assertEqual(os.path.basename(path), "labkit-test-amd64.cpio")
        with open(path, "rb") as file:
            content = file.read()
        os.unlink(path)
        for name in (b"bin/ls\0", b"libc.so.6\0", b"ld-linux-x86-64.so.2\0"):
            self.assertIn(name, content)


if __name__ == "__main__":
    unittest.main()
