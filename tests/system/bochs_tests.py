"""On Bochs: VMX, which QEMU does not emulate, and an SVM that honours ASIDs and gives the next RIP.

Bochs is slow, so each boot serves several checks. What the stock kernel's kvm-intel does in the bare root is the measure of what
the emulator can.
"""
import os
import re

import disk_tests
from guest_tests import LEVEL, facts
from harness import BUILD, guest, kernels, test
from hostile_tests import HELD, KILLED, TRIPLE_FAULT, events_are_right, has_neither, put
from protection_tests import BIOS, module, ranges, refused
from root_tests import FACTS

DEADLINE = 900
ACPI_TABLES = 0x7fff0000        # where Bochs has them in a machine of 2 GiB: at the end of RAM
POWER_OFF = "guest=poweroff"
CLOCK = "tsc"                   # which a guest takes itself where the hypervisor says that it never changes its pace


def on_bochs(t, vendor, command, **options):
    return t.root(command, vendor=vendor, emulator="bochs", **options)


def linux(vps, **options):
    return guest.shell(guest.worker(vps=vps, append=POWER_OFF, **options))


def parts(text):
    """What stands after each line "--- NAME", by name."""
    return {name: body for name, body in re.findall(r"^--- (\w+)\n(.*?)(?=^--- |\Z)", text, re.M | re.S)}


# The hypervisor's memory is what the root finds reserved in the midst of RAM.
ATTEMPT = rf"""
dmesg | sed -n 's/.*BIOS-e820: \[mem \(0x[0-9a-f]*\)-\(0x[0-9a-f]*\)\] reserved/\1 \2/p' | while read -r first last; do
    [ $((first)) -lt $((0x100000)) ] || [ $((last)) -ge {ACPI_TABLES} ] || insmod vd_protect.ko base=$first size=$((last - first + 1))
done
"""


def protected(t, vendor, log):
    """The root tried all of the hypervisor's memory and saw nothing of it, and it has neither SVM nor VMX."""
    whole = [(base, end) for base, end in ranges(log, "reserved") if base >= 1 << 20 and end <= ACPI_TABLES]
    t.same("ranges of the hypervisor", len(whole), 1)
    pages, seen, written = map(int, re.search(r"protect: (\d+) pages, (\d+) words seen, (\d+) words written", log).groups())
    t.same("pages tried", pages, (whole[0][1] - whole[0][0]) // 4096)
    t.same("words seen and written", (seen, written), (0, 0))
    refused(t, log, vendor)
    t.has(log, "protect: end")


# What a guest does that means harm, and what it says of itself. All but the one that is killed end by a triple fault.
HOSTILE = {"triple": "hostile: triple fault", "hypercalls": "hostile: alive", "msrs": "hostile: alive", "touch": "hostile: alive"}
SPIN = {"spin": "hostile: spinning"}
VENDORS = {
    "vmx": HOSTILE | SPIN,
    "svm": HOSTILE,     # Bochs does not leave a guest for an interrupt that had its interrupts off when it was entered
}


HELD_BACK = ["idle 0", "early 0", "above 0", "beside 0", "below 1", "twice 0"]
TPR = ["MSR 90", "CR8 5", "MSR after CR8 112", "reserved bits 1", "by CR8", *HELD_BACK, "by the MSR", *HELD_BACK, "end"]


def program(name, words="", killer=""):
    """A tiny guest under its name."""
    return f"""
        echo "--- {words or name}"
        {killer} {guest.shell(guest.program(f"/root/{name}.elf", words))}; echo "ended with $?"
        """


def hostile(guests):
    return "".join(program("hostile", name, "timeout -s KILL 10" if name in SPIN else "") for name in guests)


def held(t, text):
    t.same("partitions, deposited and pinned pages", re.findall(r"^held \w+ (\d+)$", text, re.M), ["0", "0", "0"])


def attempts(vendor):
    """A child tries what it may not, guests mean harm; then an ordinary one; last the root tries what it may not."""
    programs = [pair for name in ("events", "hostile", "level", "modes", "protect", "tpr") for pair in put(name)]

    def run(t):
        text = parts(on_bochs(t, vendor, f"""
            {program("protect")} {program("modes")} {program("tpr")} {program("level")} {program("events")} {hostile(VENDORS[vendor])}
            echo "--- held"; ({HELD})
            echo "--- ordinary"; {linux(1)} || exit
            echo "--- root"; {ATTEMPT} {FACTS}""", puts=[module(), *programs, *guest.puts()]))
        has_neither(t, text["protect"], vendor)
        t.has(text["modes"], "modes: P2ARU\nmodes: back\n")
        t.same("what the task priority does", re.findall(r"^tpr: (.*)", text["tpr"], re.M), TPR)
        t.same("what level-triggered lines do", re.findall(r"^level: (.*)", text["level"], re.M), LEVEL)
        events_are_right(t, text["events"], debug_status=vendor == "vmx")
        for name, said in VENDORS[vendor].items():
            t.has(text[name], said)
            t.has(text[name], f"ended with {KILLED if name in SPIN else TRIPLE_FAULT}")
        held(t, text["held"])
        facts(t, text["ordinary"], "6.1", 1, clock=CLOCK)
        version, online, ticking, log = text["root"].split("\n", 3)
        t.same("kernel", version, kernels.get("6.1").version)
        t.same("processors, and those whose timer ticks", (online, ticking), ("1", "1"))
        t.has(log, "Hypervisor detected: Microsoft Hyper-V")
        t.check("NMI received" not in log, "an NMI reached the root")
        protected(t, vendor, log)
        t.calm(log, "root")
    return run


for vendor_ in VENDORS:
    test(f"{vendor_} on Bochs: what root and child may not do, hostile guests, an ordinary one", deadline=DEADLINE,
         soak=vendor_ == "svm")(attempts(vendor_))


@test("vmx on Bochs: what the emulator can: kvm-intel in the bare root", deadline=DEADLINE, soak=True)
def reference(t):
    """Also the control of the root's attempts: where nothing forbids them they succeed."""
    bench = [(os.path.join(BUILD, "tests", path), f"/root/{os.path.basename(path)}") for path in ("bench/kvmrun", "guest/bench.elf")]
    log = on_bochs(t, "vmx", f"""modprobe kvm-intel enable_apicv=0; ./kvmrun bench.elf; rmmod kvm-intel
        insmod vd_protect.ko base={BIOS[0]} size={BIOS[1]}; dmesg""", bare=True, puts=[*bench, module()])
    t.has(log, "bench: end")
    for name in ("CR4.VMXE", "vmxon", "read VMX_BASIC"):
        t.has(log, f"protect: {name} done")
    t.check(int(re.search(r"(\d+) words seen", log)[1]) > 0, "nothing was seen of the firmware")


@test("vmx on Bochs: memory that is logged, read-only, unmapped; saved states", deadline=DEADLINE)
def backend(t):
    path = os.path.join(BUILD, "tests", "system", "backend_functions")
    log = on_bochs(t, "vmx", "./backend_functions && dmesg", puts=[(path, "/root/backend_functions")])
    t.has(log, "all hold")
    t.calm(log, "root")


@test("vmx on Bochs: root on 2 LPs, and its power switch", deadline=DEADLINE)
def two(t):
    text = on_bochs(t, "vmx", f"{FACTS}\nstty -F /dev/ttyS1 raw; poweroff -f; sleep 100", lps=2, ends="guest-shutdown")
    _, online, ticking, log = text.split("\n", 3)
    t.same("processors, and those whose timer ticks", (online, ticking), ("2", "2"))
    t.calm(log, "root")


@test("vmx on Bochs: guests of 4 VPs and of i386", deadline=DEADLINE)
def guests(t):
    i386 = [(kernels.get("6.1-i386").image, "/root/vmlinuz-i386"), (guest.initrd(architecture="i386"), "/root/initrd-i386")]
    other = linux(1, kernel="/root/vmlinuz-i386", initrd_="/root/initrd-i386", memory="256M")
    text = parts(on_bochs(t, "vmx", f"""
        echo "--- four"; {linux(4)} || exit
        echo "--- i386"; {other} || exit
        echo "--- held"; ({HELD})
        echo "--- log"; dmesg""", puts=guest.puts() + i386))
    facts(t, text["four"], "6.1", 4, clock=CLOCK)
    facts(t, text["i386"], "6.1-i386", 1, "i686", CLOCK)
    held(t, text["held"])
    t.calm(text["log"], "root")


@test("vmx on Bochs: a guest writes and reads a VHDX", deadline=DEADLINE, soak=True)
def disk(t):
    worker = guest.worker("disk", vps=1, more=disk_tests.disks("/root/a.vhdx"))
    text = on_bochs(t, "vmx", f"""set -e
        vhd new a.vhdx --size 16M
        {guest.shell(worker)}
        vhd convert a.vhdx back.img
        echo "file $(dd if=back.img bs=64k skip=16 2>/dev/null | head -c 6000000 | sha256sum)\"""",
        puts=disk_tests.puts(t, "6.1", disk_tests.wait_for(1) + disk_tests.WRITE_AND_READ))
    disk_tests.good(t, text)
    t.has(text, "written and read: 1")
    t.same("what is in the file", re.findall(r"^file (\w+)", text, re.M), re.findall(r"^sum (\w+)", text, re.M))
