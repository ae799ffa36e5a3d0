"""A repair of QEMU's emulated SVM, in the copy that the lab unpacks.

VMRUN with an interrupt in EVENTINJ delivers it at once, and leaves its vector in the field that holds the number of an
exception still to be delivered. If the processor's thread is then asked to stop for anything but an interrupt (another
processor changes the memory map: PCI set-up does) before the next exit, it delivers the vector again, as an exception,
whatever IF says. docs/emulators.md has what that looks like. The repair takes out the one store.
"""
import os
import re
import struct

from .kernels import run, say

NOPS = {6: b"\x66\x0f\x1f\x44\x00\x00", 7: b"\x0f\x1f\x80\x00\x00\x00\x00"}
# mov %reg,disp32(%base) with a negative displacement: the processor's common state lies before its registers.
STORE = re.compile(rb"(?:[\x44\x45]?)\x89[\x80-\x83\x85-\x8b\x8d-\x93\x95-\x9b\x9d-\xa3\xa5-\xab\xad-\xb3\xb5-\xbb\xbd-\xbf]..\xff\xff", re.S)
REACH = 64                       # bytes before the call in which the store is looked for


def symbols(path, names):
    """{name: (address, size)} of what the program exports."""
    found = {}
    for line in run(["readelf", "-W", "--dyn-syms", path]).splitlines():
        words = line.split()
        if len(words) == 8 and words[7].split("@")[0] in names:
            found[words[7].split("@")[0]] = int(words[1], 16), int(words[2], 0)
    return found


def text_shift(path):
    """Address less offset in the file, of the executable part."""
    lines = run(["readelf", "-W", "-l", path]).splitlines()
    words = next(line.split() for line in lines if re.search(r"LOAD .* R E ", line))
    return int(words[2], 16) - int(words[1], 16)


def store_before_call(code, address, target):
    """(offset, length) of the store that comes just before the only call of target, or None."""
    calls = [i for i in range(len(code) - 4) if code[i] == 0xe8
             and address + i + 5 + struct.unpack_from("<i", code, i + 1)[0] == target]
    if len(calls) != 1:
        return None
    first = max(0, calls[0] - REACH)
    stores = list(STORE.finditer(code, first, calls[0]))
    return (stores[-1].start(), len(stores[-1][0])) if stores else None


def mend(path):
    """Write the repaired program in place of the one at path. One that is not as expected stays as it is."""
    places = symbols(path, ("helper_vmrun", "do_interrupt_x86_hardirq"))
    with open(path, "rb") as file:
        program = bytearray(file.read())
    if len(places) == 2:
        address, size = places["helper_vmrun"]
        start = address - text_shift(path)
        found = store_before_call(bytes(program[start:start + size]), address, places["do_interrupt_x86_hardirq"][0])
        if found:
            at, length = start + found[0], found[1]
            program[at:at + length] = NOPS[length]
            with open(path + ".new", "wb") as file:
                file.write(program)
            os.chmod(path + ".new", 0o755)
            os.rename(path + ".new", path)
            return True
    say("this QEMU differs from the one that the lab knows how to repair: an interrupt may come twice (docs/emulators.md)")
    return False
