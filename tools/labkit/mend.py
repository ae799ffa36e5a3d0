"""Repairs of QEMU's emulated SVM, in the copy that the lab unpacks. docs/emulators.md has what their lack looks like.

VMRUN with an interrupt in EVENTINJ delivers it at once, and leaves its vector in the field that holds the number of an
exception still to be delivered. If the processor's thread is then asked to stop for anything but an interrupt (another
processor changes the memory map: PCI set-up does) before the next exit, it delivers the vector again, as an exception,
whatever IF says. The repair takes out the one store.

VMRUN with V_IRQ sets a bit in the word of the interrupts that wait for the processor, without the lock under which all others
change it, and not atomically: an interrupt that arrives in that moment is lost. The repair makes it one atomic access.

Every load of the FPU's state, on any processor, clears a flag of the first processor (IGNNE), not atomically, in the word that
has GIF and the mode of nested paging as well: what VMRUN or an exit changes there in that moment is undone. The repair makes this
one atomic access too, of the byte that has the flag.

A virtual interrupt is taken up when its priority is the TPR's, where the manual wants it above that: by VMRUN, and by a MOV to CR8.
The repair turns "below" into "below or equal" in the two jumps. The MOV to CR8 then sets the bit in the word of interrupts by a
function that wants the lock, which it does not have, and QEMU ends with an assertion. The repair sets it as it does in VMRUN; the
instruction ends its block of code, so the bit is seen at once.

A page whose code is translated is protected against unnoticed writes when the translation is entered, not before it is made: another
processor's write in between leaves the page and the translation different, for ever. The repair protects the page as soon as it is
locked for the translation.
"""
import os
import re
import struct

from .kernels import run, say

VMRUN, DELIVER, CLEAR = "helper_vmrun", "do_interrupt_x86_hardirq", "cpu_clear_ignne"
WRITE_CR, INTERRUPT = "helper_write_crN", "cpu_interrupt"
LOCK_PAGE, PROTECT = "tb_lock_page0", "tlb_protect_code"
NOPS = {6: b"\x66\x0f\x1f\x44\x00\x00", 7: b"\x0f\x1f\x80\x00\x00\x00\x00"}
# mov %reg,disp32(%base) with a negative displacement: the processor's common state lies before its registers.
STORE = re.compile(rb"(?:[\x44\x45]?)\x89[\x80-\x83\x85-\x8b\x8d-\x93\x95-\x9b\x9d-\xa3\xa5-\xab\xad-\xb3\xb5-\xbb\xbd-\xbf]..\xff\xff", re.S)
# andl $~0x80,disp32(%rax)
CLEAR_IGNNE = re.compile(rb"\x81\xa0(....)\x7f\xff\xff\xff", re.S)
# orl $0x100,disp32(%base), the displacement negative
SET_VIRQ = re.compile(rb"(\x41?)\x81([\x88-\x8b\x8d-\x8f])(..\xff\xff)\x00\x01\x00\x00", re.S)
# shr $16; and $15, of one or both; cmp; jb, short or near
PRIORITY = re.compile(rb"\xc1[\xe8-\xef]\x10(?:\x83[\xe0-\xe7]\x0f){1,2}\x39[\xc0-\xff](?=\x72|\x0f\x82)", re.S)
# lea disp32(%rbx),%rdi: from the processor's registers to its common state
COMMON = re.compile(rb"\x48\x8d\xbb(..\xff\xff)", re.S)
# mov $0x100,%esi; pop %rbx; pop %rbp; jmp
TELL = re.compile(rb"\xbe\x00\x01\x00\x00\x5b\x5d\xe9(....)", re.S)
# sub $8,%rsp; shr $12,%rdi; mov $1,%esi; call; mov $1,%ecx; mov %ecx,%edx; xchg %edx,(%rax): finds a page, and takes its lock
LOCK = re.compile(rb"\x48\x83\xec\x08\x48\xc1\xef\x0c\xbe\x01\x00\x00\x00(\xe8....)\xb9\x01\x00\x00\x00\x89\xca\x87\x10", re.S)
REACH = 64                       # bytes before the call in which the store is looked for


def symbols(path, names):
    """{name: (address, size)} of what the program exports."""
    found = {}
    for line in run(["readelf", "-W", "--dyn-syms", path]).splitlines():
        words = line.split()
        if len(words) == 8 and words[7].split("@")[0] in names:
            found[words[7].split("@")[0]] = int(words[1], 16), int(words[2], 0)
    return found


def text_segment(path):
    """Offset in the file, address and size of the executable part."""
    lines = run(["readelf", "-W", "-l", path]).splitlines()
    words = next(line.split() for line in lines if re.search(r"LOAD .* R E ", line))
    return int(words[1], 16), int(words[2], 16), int(words[4], 16)


def replace(path, program, changes):
    """Write the program (a bytearray) in place of the one at path, with the changes: (offset in the file, new bytes)."""
    for at, new in changes:
        program[at:at + len(new)] = new
    with open(path + ".new", "wb") as file:
        file.write(program)
    os.chmod(path + ".new", 0o755)
    os.rename(path + ".new", path)


def calls(code, address, target):
    """Offsets of the calls of target in code that is at address."""
    return [i for i in range(len(code) - 4)
            if code[i] == 0xe8 and address + i + 5 + struct.unpack_from("<i", code, i + 1)[0] == target]


def only(pattern, code):
    """The one match of pattern in code; None: there is none, or there are more."""
    found = list(pattern.finditer(code))
    return found[0] if len(found) == 1 else None


def store_before_call(code, address, target):
    """(offset, length) of the store that comes just before the only call of target, or None."""
    called = calls(code, address, target)
    stores = list(STORE.finditer(code, max(0, called[0] - REACH), called[0])) if len(called) == 1 else []
    return (stores[-1].start(), len(stores[-1][0])) if stores else None


def without_store(code, address, target):
    """(offset, new bytes) that take out the store before the call of target, or None."""
    found = store_before_call(code, address, target)
    return (found[0], NOPS[found[1]]) if found else None


def with_lock(code):
    """(offset, new bytes) that set the bit of V_IRQ atomically, as one in the second byte of the word, or None."""
    found = only(SET_VIRQ, code)
    if not found:
        return None
    rex, modrm, displacement = found.groups()
    second = struct.pack("<i", struct.unpack("<i", displacement)[0] + 1)
    return found.start(), b"\xf0" + rex + b"\x80" + modrm + second + b"\x01" + b"\x66\x90"


def above(code):
    """(offset, new bytes) that let a priority through when it is above the TPR, not when it is the same, or None."""
    found = only(PRIORITY, code)
    if not found:
        return None
    return (found.end(), b"\x76") if code[found.end()] == 0x72 else (found.end(), b"\x0f\x86")


def tell_with_lock(code, address, target, virq):
    """(offset, new bytes) that set the bit as with_lock() does in place of a jump to target, or None. virq: VMRUN's code."""
    setting = only(SET_VIRQ, virq)
    jumps = [found for found in TELL.finditer(code) if address + found.end() + struct.unpack("<i", found[1])[0] == target]
    common = list(COMMON.finditer(code, 0, jumps[0].start())) if len(jumps) == 1 else []
    if not setting or not common:
        return None
    field = struct.unpack("<i", setting[3])[0] + 1 - struct.unpack("<i", common[-1][1])[0]
    return jumps[0].start(), b"\xf0\x80\x8f" + struct.pack("<i", field) + b"\x01\x5b\x5d\xc3\x90"


def clear_with_lock(code):
    """(offset, new bytes) that clear IGNNE atomically, or None."""
    found = only(CLEAR_IGNNE, code)
    return (found.start(), b"\xf0\x80\xa0" + found[1] + b"\x7f\x66\x90") if found else None


def protect_first(code, address, target):
    """(offset, new bytes) of code, at address, that locks a page, and with them goes on to target, which protects it; or None."""
    found = LOCK.match(code)
    if not found:
        return None
    # push %rbx; mov %rdi,%rbx; and as it was up to the call. Try: mov $1,%edx; xchg %edx,(%rax); test %edx,%edx; je; pause; jmp try.
    # mov %rbx,%rdi; pop %rbx; jmp
    new = (b"\x53\x48\x89\xfb\x48\xc1\xef\x0c\xbe\x01\x00\x00\x00" + found[1] +
           b"\xba\x01\x00\x00\x00\x87\x10\x85\xd2\x74\x04\xf3\x90\xeb\xf1\x48\x89\xdf\x5b\xe9")
    new += struct.pack("<i", target - (address + len(new) + 4))
    return (0, new) if len(new) <= len(code) else None


def mend(path):
    """Write the repaired program in place of the one at path. One that is not as expected stays as it is."""
    places = symbols(path, (VMRUN, DELIVER, CLEAR, WRITE_CR, INTERRUPT, LOCK_PAGE, PROTECT))
    with open(path, "rb") as file:
        program = bytearray(file.read())
    if len(places) == 7:
        offset, address, _ = text_segment(path)
        start = {name: place - address + offset for name, (place, _) in places.items()}
        code = {name: bytes(program[start[name]:start[name] + size]) for name, (_, size) in places.items()}
        changes = ((VMRUN, without_store(code[VMRUN], places[VMRUN][0], places[DELIVER][0])),
                   (VMRUN, with_lock(code[VMRUN])), (CLEAR, clear_with_lock(code[CLEAR])),
                   (VMRUN, above(code[VMRUN])), (WRITE_CR, above(code[WRITE_CR])),
                   (WRITE_CR, tell_with_lock(code[WRITE_CR], places[WRITE_CR][0], places[INTERRUPT][0], code[VMRUN])),
                   (LOCK_PAGE, protect_first(code[LOCK_PAGE], places[LOCK_PAGE][0], places[PROTECT][0])))
        if all(change for _, change in changes):
            replace(path, program, [(start[name] + at, new) for name, (at, new) in changes])
            return True
    say("this QEMU differs from the one that the lab knows how to repair: it may hang (docs/emulators.md)")
    return False
