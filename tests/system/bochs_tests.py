"""On Bochs: VMX, which QEMU does not emulate.

Bochs is slow, so each boot serves several checks. What the stock kernel's kvm-intel does in the bare root is the measure of what
the emulator can.
"""
import os
import re

from harness import BUILD, kernels, test
from protection_tests import BIOS, module, ranges, refused
from root_tests import FACTS, calm

DEADLINE = 900
ACPI_TABLES = 0x7fff0000        # where Bochs has them in a machine of 2 GiB: at the end of RAM


def on_bochs(t, vendor, command, **options):
    return t.root(command, vendor=vendor, emulator="bochs", **options)


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


def root(vendor):
    def run(t):
        version, online, ticking, log = on_bochs(t, vendor, ATTEMPT + FACTS, puts=[module()]).split("\n", 3)
        t.same("kernel", version, kernels.get("6.1").version)
        t.same("processors, and those whose timer ticks", (online, ticking), ("1", "1"))
        t.has(log, "Hypervisor detected: Microsoft Hyper-V")
        protected(t, vendor, log)
        calm(t, log)
    return run


@test("vmx on Bochs: what the emulator can: kvm-intel in the bare root", deadline=DEADLINE)
def reference(t):
    """Also the control of the root's attempts: where nothing forbids them they succeed."""
    bench = [(os.path.join(BUILD, "tests", path), f"/root/{os.path.basename(path)}") for path in ("bench/kvmrun", "guest/bench.elf")]
    log = on_bochs(t, "vmx", f"""modprobe kvm-intel enable_apicv=0; ./kvmrun bench.elf; rmmod kvm-intel
        insmod vd_protect.ko base={BIOS[0]} size={BIOS[1]}; dmesg""", bare=True, puts=[*bench, module()])
    t.has(log, "bench: end")
    for name in ("CR4.VMXE", "vmxon", "read VMX_BASIC"):
        t.has(log, f"protect: {name} done")
    t.check(int(re.search(r"(\d+) words seen", log)[1]) > 0, "nothing was seen of the firmware")


test("vmx on Bochs: root, and what it may not do", deadline=DEADLINE)(root("vmx"))
