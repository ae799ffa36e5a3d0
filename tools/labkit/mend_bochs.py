"""A repair of Bochs with more than one processor, in the copy that the lab unpacks. docs/emulators.md has what its lack looks like.

An exit from a guest takes RIP from a copy, which is brought up to date at the end of each instruction, and, in the loop for one
processor, after each exception. The loop for several processors forgets the latter: a guest that takes an exception, and is left
for an interrupt before the handler's first instruction, goes on in the handler's mode where the exception was. The repair
brings the copy up to date before each turn of a processor, as the other loop does.
"""
import re
import struct

from .kernels import say
from .mend import calls, only, replace, symbols, text_segment

LOOP, ALL, TURN = "_ZN8BX_CPU_C8cpu_loopEv", "_Z19bx_begin_simulationiPPc", "_ZN8BX_CPU_C13cpu_run_traceEv"
# What the loop for one processor does: mov RIP(%rdx),%rax; a comparison; movb $0,speculative_rsp(%rdx); mov %rax,prev_rip(%rdx).
COMMIT = re.compile(rb"\x48\x8b\x82(.{4})\x80\xba.{4}\x00\xc6\x82(.{4})\x00\x48\x89\x82(.{4})", re.S)


def commit(loop):
    """The same for the processor that %rdi names, by the code of that loop; None: it is another."""
    found = only(COMMIT, loop)
    if not found:
        return None
    rip, speculative, previous = found.groups()
    return b"\x48\x8b\x87" + rip + b"\x48\x89\x87" + previous + b"\xc6\x87" + speculative + b"\x00"


def detour(new, place, turn):
    """Code at place that does what is new, and goes on to a turn."""
    return new + b"\xe9" + struct.pack("<i", turn - (place + len(new) + 5))


def mend_bochs(path):
    """Write the repaired program in place of the one at path. One that is not as expected stays as it is."""
    places = symbols(path, (LOOP, ALL, TURN))
    with open(path, "rb") as file:
        program = bytearray(file.read())
    if len(places) == 3:
        offset, base, size = text_segment(path)
        (loop, all_, turn), shift = (places[name] for name in (LOOP, ALL, TURN)), base - offset
        new = commit(bytes(program[loop[0] - shift:sum(loop) - shift]))
        called = calls(program[all_[0] - shift:sum(all_) - shift], all_[0], turn[0])
        place = base + size + 15 & ~15          # behind the code, in its last page
        if new and len(called) == 1:
            code = detour(new, place, turn[0])
            room = program[place - shift:place - shift + len(code)]
            if place + len(code) <= base + size + 4095 & ~4095 and len(room) == len(code) and not any(room):
                at = all_[0] + called[0]
                replace(path, program, [(place - shift, code), (at - shift + 1, struct.pack("<i", place - at - 5))])
                return True
    say("this Bochs differs from the one that the lab knows how to repair: two processors may crash a guest (docs/emulators.md)")
    return False
