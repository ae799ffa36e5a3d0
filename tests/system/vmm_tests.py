"""A VMM that is not ours on /dev/mshv: Debian's QEMU 11 as it is, in the root, with one machine after the other.

It asks of module and hypervisor what upstream's clients do: port accesses unasked, CR8, ROM that nobody has written, ioeventfds, irqfds with
MSI-X, and at power-off a signal that ends RUN_VP.
"""
import re

from harness import guest, kernels, test
from labkit import programs

KERNEL = "6.12"
PCI = "-device virtio-blk-pci,drive=disk,romfile= -device virtio-net-pci,netdev=net,romfile="
MMIO = "-device virtio-blk-device,drive=disk -device virtio-net-device,netdev=net"
MACHINES = {  # name: (VPs, what its disk and its card are)
    "pc": (1, PCI),
    "q35": (4, PCI),
    "microvm": (2, MMIO),
}

# In the guest: the disk as it was, then with zeros at its beginning; the card by the gateway's answers; how many interrupts came.
COMMAND = """
n=0; while [ ! -b /dev/vda ] && [ $n -lt 100 ]; do usleep 100000; n=$((n + 1)); done
echo "disk $(sha256sum </dev/vda)"
dd if=/dev/zero of=/dev/vda bs=64k count=4 conv=fsync 2>/dev/null && echo "written"
card=$(ls /sys/class/net | grep -v lo)
ifconfig $card 10.0.2.15 up
ping -c 3 -W 20 10.0.2.2 | grep received
echo "by MSI-X: $(awk '/MSIX.*virtio.-/ { for (i = 2; i <= NF && $i ~ /^[0-9]+$/; i++) n += $i } END { print n + 0 }' /proc/interrupts)"
"""

# What QEMU says of its calls goes to a log.
CALLS = "-d trace:mshv_register_irqfd,trace:mshv_mem_ioeventfd_add -D /tmp/calls"

SETUP = """
modprobe virtio_blk
mkdir -p /vmm && mount -t ext4 -o ro /dev/vda /vmm || exit
run() {
    echo "--- $1"
    dd if=/dev/urandom of=/tmp/disk bs=64k count=16 2>/dev/null
    echo "file $(sha256sum </tmp/disk)"
    timeout -s KILL 400 %s %s -display none -nodefaults -no-reboot -accel mshv -cpu host -m 256M -serial stdio -M $1 -smp $2 \
        -drive if=none,id=disk,format=raw,file=/tmp/disk -netdev user,id=net $3 \
        -kernel /vmm/vmlinuz -initrd /vmm/initrd -append "%s" </dev/null 2>/tmp/said
    echo "ended with $?"
    echo "zeros $(head -c 262144 /tmp/disk | tr -d '\\000' | wc -c)"
    for call in register_irqfd ioeventfd_add; do echo "$call $(grep -c $call /tmp/calls)"; done
    cat /tmp/said
}
""" % (programs.VMM, CALLS, guest.CMDLINE)


def script(machines):
    runs = [f"run {name} {vps} '{devices}'" for name, (vps, devices) in machines.items()]
    return SETUP + "\n".join(runs) + "\necho '--- held'; cd /sys/module/mshv_vd/parameters; cat partitions pinned deposited\necho '--- log'; dmesg"


def works(t, name, text, vps):
    """The guest saw its disk and its card, and its power-off ended the VMM."""
    t.has(text, f"guest: Linux {kernels.get(KERNEL).version} x86_64")
    t.has(text, f"guest: {vps} VPs online")
    sums = re.findall(r"^(?:file|disk) (\w+)", text, re.M)
    t.check(len(sums) == 2 and sums[0] == sums[1], f"{name}: the guest reads another disk")
    t.has(text, "written")
    t.has(text, "3 packets received")
    t.has(text, "ended with 0")
    t.has(text, "zeros 0")
    t.check(int(re.search(r"ioeventfd_add (\d+)", text)[1]) > 0, f"{name}: no ioeventfd")
    if MACHINES[name][1] == PCI:
        t.check(int(re.search(r"by MSI-X: (\d+)", text)[1]) > 0, f"{name}: no interrupt came by MSI-X")
        t.check(int(re.search(r"register_irqfd (\d+)", text)[1]) > 0, f"{name}: no irqfd")
    t.calm(text, f"guest of {name}")


def judge(t, machines, **options):
    drivers = ["virtio_pci", "virtio_mmio", "virtio_blk", "virtio_net"]
    initrd = guest.initrd("vmm", COMMAND, kernels.get(KERNEL), drivers)
    disk = programs.vmm_disk([(kernels.get(KERNEL).image, "vmlinuz"), (initrd, "initrd")])
    text = t.root(script(machines), disks=[disk], **options)
    parts = dict(re.findall(r"^--- (\w+)\n(.*?)(?=^--- |\Z)", text, re.M | re.S))
    for name, (vps, _) in machines.items():
        works(t, name, parts[name], vps)
    t.same("partitions, pinned and deposited pages", parts["held"].split(), ["0", "0", "0"])
    t.calm(parts["log"], "root")


@test("vmm: Debian's QEMU on /dev/mshv: pc, q35 and microvm, disk, network, power-off", deadline=1200)
def vmm(t):
    judge(t, MACHINES)
