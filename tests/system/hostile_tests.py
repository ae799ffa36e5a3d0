"""Guests that mean harm: afterwards the hypervisor, the root and the next guest are as if nothing had been."""
import functools
import os
import re

from harness import BUILD, guest, test
from guest_tests import facts
from protection_tests import VMX_INSTRUCTIONS, VMX_REGISTERS

TRIPLE_FAULT, KILLED = 4, 137
GUESTS = os.path.join(BUILD, "tests", "guest")
HELD = "cd /sys/module/mshv_vd/parameters; for f in partitions deposited pinned; do echo held $f $(cat $f); done"
FREE = "echo free in the hypervisor $(cat /sys/module/mshv_vd/parameters/root_pages)"  # its own count (HvCallGetMemoryBalance)


def put(name):
    return [(os.path.join(GUESTS, f"{name}.elf"), f"/root/{name}.elf")]


def after(t, text):
    """What follows a hostile guest in the same root: nothing is held, the log is calm, an ordinary guest boots."""
    held = re.findall(r"^held \w+ (\d+)$", text, re.M)
    t.same("partitions, deposited and pinned pages", held, ["0", "0", "0"])
    ordinary, log = text.split("--- ordinary\n")[1].split("--- log\n")
    facts(t, ordinary, "6.1", 2)
    t.calm(log, "root")
    t.check("NMI received" not in log, "an NMI reached the root")


def survives(words, wanted, status=TRIPLE_FAULT, wrap=""):
    def run(t):
        worker = guest.shell(guest.program("/root/hostile.elf", words))
        ordinary = guest.shell(guest.worker(append="guest=poweroff"))
        text = t.root(f"""
            {wrap} {worker}; echo "ended with $?"
            ({HELD})
            echo "--- ordinary"; {ordinary}
            echo "--- log"; dmesg""", puts=put("hostile") + guest.puts())
        t.has(text, f"ended with {status}")
        t.has(text, wanted)
        after(t, text)
    return run


test("hostile: a triple fault", deadline=600)(survives("triple", "hostile: triple fault"))
test("hostile: spins with interrupts off", deadline=600)(
    survives("spin", "hostile: spinning", KILLED, "timeout -s KILL 10"))
test("hostile: floods hypercalls with garbage", deadline=400)(survives("hypercalls", "hostile: alive"))
test("hostile: writes random MSRs", deadline=400)(survives("msrs", "hostile: alive"))
test("hostile: touches every unmapped page", deadline=400)(survives("touch", "hostile: alive"))

CRASHED = 7


@test("hostile: reports a crash", deadline=400)
def crash(t):
    """The parent is told what the guest says of its own end, once, and the guest goes on until it ends."""
    worker = guest.shell([*guest.program("/root/hostile.elf", "crash"), "--crash-log", "/root/crashes"])
    text = t.root(f'{worker}; echo "ended with $?"; sed "s/^/kept: /" crashes', puts=put("hostile"))
    t.same("reports", re.findall(r"vmwp: program: (.*crash.*)", text), [
        f"VP 0: the guest has crashed: 0xc0de0 0xc0de1 0xc0de2 {re.search('0x1[0-9a-f]{5}', text)[0]} 0x25",
        "crash: hostile: last words", "crash: hostile: and more", "crash: kept in /root/crashes"])
    t.check(re.search(r"^kept: === \S+ program, VP 0: 0xc0de0 .*\nkept: hostile: last words\nkept: hostile: and more$", text, re.M), "not kept in the file")
    t.has(text, "hostile: alive")
    t.has(text, f"ended with {CRASHED}")


def has_neither(t, text, vendor="svm"):
    """The child has a processor without SVM and VMX: no CPUID bits, #UD for their instructions, #GP for their MSRs."""
    t.has(text, "protect: CPUID's SVM bit 0")
    t.has(text, "protect: CPUID's VMX bit 0")
    vmx = vendor == "vmx"
    for name in ("vmrun", "vmload", "vmsave", "stgi", "clgi", "invlpga", "skinit") + (VMX_INSTRUCTIONS if vmx else ()):
        t.has(text, f"protect: {name} #UD")
    for name in ("EFER.SVME", "read VM_HSAVE_PA", "write VM_HSAVE_PA", "write VM_CR") + (VMX_REGISTERS if vmx else ()):
        t.has(text, f"protect: {name} #GP")
    t.has(text, "protect: interrupts sent")
    t.has(text, "protect: end")


EVENTS = [
    "NMIs 0x2", "one inside the other 0x0", "the second behind the first one's IRET 0x1", "TF in its flags 0x0",
    "interrupts beside the TPR 0x0", "below it 0x1",
    "DR1 before it is written 0x0", "faults of debug registers 0x0", "DR0 is kept 0x1", "DR1 to DR3 0x111122223333",
    "faults before the write 0x0", "behind it 0x1",
    "general detect: exceptions 0x1", "DR6 0x2000", "GD 0x0", "DR0 0x1234",
    "an unknown MSR faults 0x1", "its vector 0xd", "RF in its flags 0x10000", "another vector 0x6", "RF in its flags 0x10000",
    "a step over CPUID: exceptions 0x1", "vector 0x1", "behind it 0x1", "RF in its flags 0x0", "DR6 0x4000",
    "faults of WBINVD and its kin 0x0", "AMD's counters that are not as they should be 0x0",
    "SPEC_CTRL as CPUID says 0x1", "PRED_CMD as CPUID says 0x1", "TSC_AUX as CPUID says 0x1", "end"]


def events_are_right(t, text, debug_status=True):
    """What tests/guest/events.c saw, as a processor has it. debug_status: the emulator tells an intercepted #DB's cause."""
    wanted = [line if debug_status or line != "DR6 0x2000" else "DR6 0x0" for line in EVENTS]
    t.same("events of a guest", re.findall(r"^events: (.*)", text, re.M), wanted)


@test("hostile: a child's SVM, and its interrupts, reach nobody; its events are a processor's", deadline=600)
def child_protection(t):
    protect, events = (guest.shell(guest.program(f"/root/{name}.elf")) for name in ("protect", "events"))
    ordinary = guest.shell(guest.worker(append="guest=poweroff"))
    text = t.root(f"""{protect} 2>said; echo "ended with $?"; {events} 2>>said; cat said
        ({HELD}); echo "--- ordinary"; {ordinary}; echo "--- log"; dmesg""",
                  puts=put("protect") + put("events") + guest.puts())
    has_neither(t, text)
    events_are_right(t, text)
    after(t, text)


def killed(t, times):
    worker = guest.shell(guest.worker(memory="128M", serial="file:/tmp/serial", append="guest=shell"))
    text = t.root(f"""
        ({HELD}); {FREE}
        awk 'BEGIN {{ srand(); for (i = 0; i < {times}; i++) print int(rand() * rand() * 4000000) }}' >/tmp/moments
        while read -r moment; do
            {worker} >/dev/null 2>&1 & pid=$!
            usleep $moment
            kill -KILL $pid || echo "already gone after $moment us"
            wait $pid
        done </tmp/moments
        sleep 1
        ({HELD}); {FREE}
        echo "--- ordinary"; {guest.shell(guest.worker(append="guest=poweroff"))}
        echo "--- log"; dmesg""", puts=guest.puts())
    held = re.findall(r"^held \w+ (\d+)$", text, re.M)
    t.same("held before", held[:3], ["0", "0", "0"])
    t.same("held after", held[3:], held[:3])
    free = re.findall(r"^free in the hypervisor (\d+)$", text, re.M)
    t.same("counts of the hypervisor's free pages", len(free), 2)
    t.same("free pages of the hypervisor after", free[1], free[0])
    t.check("already gone" not in text, "a worker ended by itself")
    after(t, text.replace("\n".join(f"held {name} 0" for name in ("partitions", "deposited", "pinned")), "", 1))


for times_ in (30, 100):
    test(f"worker: killed at random moments, {times_} times", deadline=900, soak=times_ == 100)(functools.partial(killed, times=times_))
