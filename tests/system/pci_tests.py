"""Devices of the machine that are given to guests, with the guests' own drivers, and come back."""
import hashlib
import re

from harness import IOMMU, VFIO, guest, random_file, test

MIB = 1 << 20
NVME = """
    n=0; while [ ! -b /dev/nvme0n1 ] && [ $n -lt 300 ]; do usleep 100000; n=$((n + 1)); done
    sed 's/^/bus: /' /proc/bus/pci/devices
    echo "read: $(sha256sum </dev/nvme0n1)"
    dd if=/dev/urandom of=/new bs=1M count=4 2>/dev/null
    dd if=/new of=/dev/nvme0n1 bs=64k seek=32 conv=notrunc,fsync 2>/dev/null
    echo "wrote: $(sha256sum </new)"
    echo 3 >/proc/sys/vm/drop_caches
    echo "again: $(dd if=/dev/nvme0n1 bs=64k skip=32 count=64 2>/dev/null | sha256sum)"
    grep nvme /proc/interrupts
    while grep -q forever /proc/cmdline; do dd if=/new of=/dev/nvme0n1 bs=64k count=32 conv=notrunc,fsync 2>/dev/null; done"""


def said(t, text, word):
    lines = [line.split(": ")[-1].split()[0] for line in text.splitlines() if line.startswith(f"{word}: ")]
    t.check(len(lines) == 1, f"{len(lines)} lines of {word}")
    return lines[0] if lines else ""


def nvme(name):
    def run(t):
        """The guest's own driver reads and writes it. Another guest has it after that, whose worker is killed in the middle; then the
        root's own driver has it, and what that guest wrote."""
        image = random_file(t.path("disk"), 8 * MIB)
        before = hashlib.sha256(open(image, "rb").read()).hexdigest()
        initrd = guest.initrd("pci-nvme", NVME, guest.kernels.get("6.1"), ["pci-hyperv"])
        text = t.root(f"""{VFIO}
            wait_for -b /dev/nvme0n1; disk=$(places 0x010802)
            {guest.shell(guest.worker())} --device pci:$disk 2>&1 | sed 's/^/before: /'
            give $disk vfio-pci
            {guest.shell(guest.worker())} --device pci:$disk; echo "ended with $?"
            {guest.shell(guest.worker("killed", append="forever", serial="file:/root/line"))} --device pci:$disk & worker=$!
            until grep -q "again: " line; do sleep 1; done
            kill -9 $worker; wait $worker
            give $disk ""
            wait_for -b /dev/nvme0n1; echo "back: $(dd if=/dev/nvme0n1 bs=64k skip=32 count=64 2>/dev/null | sha256sum)"
            echo "held: $(cat /sys/module/mshv_vd/parameters/partitions) $(cat /sys/module/mshv_vd/parameters/pinned)"
            sed 's/^/line: /' line; dmesg""", puts=guest.puts("6.1", initrd), qemu_args=IOMMU[name] + [
                "-drive", f"if=none,id=scratch,format=raw,file={image}", "-device", "nvme,serial=scratch,drive=scratch"])
        t.has(text, "before: vmwp: tiny: --device pci:")
        t.has(text, "it is the root's; give it to vfio-pci")
        t.same("what the guest read", said(t, text, "read"), before)
        t.same("what it read again", said(t, text, "again"), said(t, text, "wrote"))
        t.same("what the next guest wrote, and the root reads", said(t, text, "back"), said(t, text, "line: wrote"))
        t.has(text, "ended with 0\n")
        t.has(text, "held: 0 0\n")
        t.check(re.search(r"^ +\d+: +[1-9].*Hyper-V PCIe MSI .* nvme0q", text, re.M), "no interrupt of the disk's arrived")
        t.calm(text)
    return run


for name_ in IOMMU:
    test(f"pci: an NVMe disk is a guest's, and the root's again, {name_}", deadline=600, soak=name_ == "VT-d")(nvme(name_))


CARD = """
    ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; sleep 2
    ping -c 5 -W 10 10.0.2.2
    grep "Hyper-V PCIe MSI" /proc/interrupts"""


@test("pci: a network card is a guest's, AMD-Vi", deadline=600, soak=True)
def card(t):
    """By the driver of the guest's distribution, with an interrupt for each direction."""
    initrd = guest.initrd("pci-card", CARD, guest.kernels.get("6.1-generic"), ["pci-hyperv", "e1000e"])
    text = t.root(f"""{VFIO}
        card=$(places 0x020000 | tail -n 1); give $card vfio-pci
        {guest.shell(guest.worker())} --device pci:$card; echo "ended with $?"; dmesg""",
                  puts=guest.puts("6.1-generic", initrd),
                  qemu_args=IOMMU["AMD-Vi"] + ["-netdev", "user,id=net", "-device", "e1000e,netdev=net"])
    t.has(text, "5 packets received")
    for name in "eth0-rx-0", "eth0-tx-0":
        t.check(re.search(rf"^ +\d+:.*\b[1-9]\d* .*Hyper-V PCIe MSI .* {name}", text, re.M), f"no interrupt of {name} arrived")
    t.has(text, "ended with 0\n")
    t.calm(text)
