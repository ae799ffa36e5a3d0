"""The memory of an emulated machine as a core file of its hypervisor, and what gdb says of it (hvstate.py).

The RAM is the largest anonymous mapping of QEMU's process. In it the hypervisor is found by the first bytes of its image and by the
block that the loader handed to it, which says where the image lies.
"""
import os
import re
import shutil
import signal
import struct
import subprocess

from . import BUILD
from .hvstate import MARK

IMAGE_MAGIC, HANDOFF_MAGIC = 0x5644475249424d49, 0x5644475248414e44     # include/boot/handoff.h
IMAGE_VA, DIRECT_MAP, STACK_MAP = 0xffffffff80000000, 0xffff800000000000, 0xffffd00000000000
VENDORS = {1: "svm", 2: "vmx"}
PAGE, CHUNK = 4096, 1 << 20
LOW_END = 1 << 32
Q35_SPLIT_FROM, Q35_LOW = 0xb0000000, 0x80000000
GDB_SECONDS = 60
# The order of struct user_regs_struct.
REGISTERS = ("R15", "R14", "R13", "R12", "RBP", "RBX", "R11", "R10", "R9", "R8", "RAX", "RCX", "RDX", "RSI", "RDI", None, "RIP", "CS",
             "RFL", "RSP")


def largest_mapping(maps):
    """(address, size) of the largest anonymous mapping of /proc/PID/maps that may be written."""
    found = [(0, 0)]
    for line in maps.splitlines():
        words = line.split()
        if len(words) == 5 and words[1].startswith("rw"):
            start, end = (int(word, 16) for word in words[0].split("-"))
            found.append((end - start, start))
    size, start = max(found)
    return start, size


def image_file(vendor):
    return os.path.join(BUILD, "hypervisor", f"hv-{VENDORS[vendor]}.elf")


def offset_of(image, name):
    """Where in the image a variable lies; the compiler may have numbered its name."""
    text = subprocess.run(["nm", image], stdout=subprocess.PIPE, text=True, check=True).stdout
    return next(int(words[0], 16) - IMAGE_VA for words in map(str.split, text.splitlines()) if words[-1].split(".")[0] == name)


def handoff_offset(image):
    """Where in the image the hypervisor keeps the block that it was handed."""
    return offset_of(image, "handoff")


def find_image(read, size, handoff_at):
    """(where RAM begins, image_base, image_size, vendor) of the hypervisor that runs, or None. read(offset, length) gives the mapping,
    handoff_at[vendor] is an image's handoff_offset(). Modules that were not started have the same beginning, but were handed nothing."""
    magic = struct.pack("<Q", IMAGE_MAGIC)
    for chunk in range(0, size, CHUNK):
        data = read(chunk, CHUNK)
        at = data.find(magic)
        while at >= 0:
            vendor = data[at + 8:at + 9]
            if (chunk + at) % PAGE == 0 and vendor and vendor[0] in handoff_at:
                handoff = read(chunk + at + handoff_at[vendor[0]], 40).ljust(40, b"\0")
                found, _, _, image_base, image_size = struct.unpack("<5Q", handoff)
                if found == HANDOFF_MAGIC and chunk + at >= image_base:
                    return chunk + at - image_base, image_base, image_size, vendor[0]
            at = data.find(magic, at + 1)
    return None


def segments(memory):
    """(offset in the RAM, physical address, length): with much RAM, what does not fit below the devices lies above 4 GiB."""
    low = memory if memory < Q35_SPLIT_FROM else Q35_LOW
    return [(0, 0, low)] + ([(low, LOW_END, memory - low)] if memory > low else [])


def stack_pages(read, table, level=3, address=STACK_MAP):
    """(virtual, physical address) of the pages with the LPs' blocks and stacks. read(physical, length) gives RAM; the first table is
    the hypervisor's top one."""
    for index, entry in enumerate(struct.unpack("<512Q", read(table, PAGE))):
        shift = 12 + 9 * level
        if not entry & 1 or level == 3 and index != STACK_MAP >> shift & 511:
            continue
        below, at = entry & 0x000ffffffffff000, address + ((index << shift) if level < 3 else 0)
        if level:
            yield from stack_pages(read, below, level - 1, at)
        else:
            yield at, below


def status_note(lp, registers):
    """NT_PRSTATUS of one LP."""
    words = [registers.get(name, 0) for name in REGISTERS]
    body = bytearray(336)
    struct.pack_into("<I", body, 32, lp + 1)
    struct.pack_into(f"<{len(words)}Q", body, 112, *words)
    return struct.pack("<III8s", 5, len(body), 1, b"CORE") + bytes(body)


def header(loads, registers):
    """The head of a core file. loads: (address, offset in the file behind this head, length); registers: one dictionary for each LP."""
    notes = b"".join(status_note(lp, each) for lp, each in enumerate(registers))
    count = len(loads) + 1
    start = 64 + 56 * count
    data = (start + len(notes) + PAGE - 1) // PAGE * PAGE
    head = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 4, 62, 1, 0, 64, 0, 0, 64, 56, count, 0, 0, 0)
    head += struct.pack("<IIQQQQQQ", 4, 0, start, 0, 0, len(notes), 0, 4)
    for address, offset, length in loads:
        head += struct.pack("<IIQQQQQQ", 1, 6, data + offset, address, 0, length, length, PAGE)
    return (head + notes).ljust(data, b"\0")


def copy(source, start, size, target, at):
    """RAM into the file, whose holes are its pages of zeros."""
    zeros = bytes(CHUNK)
    for offset in range(0, size, CHUNK):
        length = min(CHUNK, size - offset)
        data = os.pread(source, length, start + offset)
        if data != zeros[:length]:
            os.pwrite(target, data, at + offset)
    os.ftruncate(target, at + size)


def parse_registers(lines):
    """One dictionary for each processor of QEMU's `info registers -a`."""
    found = []
    for line in lines:
        if line.startswith("CPU#"):
            found.append({})
        elif found:
            found[-1].update({name: int(value, 16) for name, value in re.findall(r"\b([A-Z0-9]{2,4}) *=([0-9a-f]{8,16})", line)})
    return found


def write(pid, path, memory, registers=()):
    """Write the core of the machine that process pid emulates, which stands still meanwhile; the hypervisor's image file, or None:
    there is no hypervisor in it. memory: the machine's, in bytes."""
    with open(f"/proc/{pid}/maps") as file:
        start, size = largest_mapping(file.read())
    images = {vendor: image_file(vendor) for vendor in VENDORS if os.path.exists(image_file(vendor))}
    source = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
    os.kill(pid, signal.SIGSTOP)
    try:
        found = find_image(lambda at, length: os.pread(source, length, start + at), size,
                           {vendor: handoff_offset(image) for vendor, image in images.items()})
        if found is None:
            return None
        ram, image_base, image_size, vendor = found
        parts = segments(memory)

        def place(physical):
            return next(at + physical - begin for at, begin, length in parts if begin <= physical < begin + length)

        def read(physical, length):
            return os.pread(source, length, start + ram + place(physical))

        top, = struct.unpack("<Q", read(image_base + offset_of(images[vendor], "top"), 8))
        head = header([(IMAGE_VA, image_base, image_size), *((DIRECT_MAP + physical, at, length) for at, physical, length in parts),
                       *((virtual, place(physical), PAGE) for virtual, physical in stack_pages(read, top))], registers)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        try:
            os.pwrite(target, head, 0)
            copy(source, start + ram, memory, target, len(head))
        finally:
            os.close(target)
        return images[vendor]
    finally:
        os.kill(pid, signal.SIGCONT)
        os.close(source)


def report(pid, folder, memory, registers=()):
    """The hypervisor's state, as lines; or one that says why there is none."""
    if not shutil.which("gdb"):
        return ["the hypervisor's state takes gdb: install it, or run tools/setup"]
    path = os.path.join(folder, "core")
    try:
        image = write(pid, path, memory, registers)
        if image is None:
            return ["there is no hypervisor in the machine's memory"]
        script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "hvstate.py")
        done = subprocess.run(["gdb", "-batch", "-nx", image, "-c", path, "-x", script], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace", timeout=GDB_SECONDS)
        before, mark, after = done.stdout.partition(MARK)
        return [mark, *after.splitlines()[1:]] if mark else before.splitlines()
    except (OSError, subprocess.SubprocessError, StopIteration) as error:
        return [f"the hypervisor's state cannot be had: {error}"]
    finally:
        if os.path.exists(path):
            os.unlink(path)
