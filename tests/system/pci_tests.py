"""Devices of the machine that are given to guests, with the guests' own drivers, and come back."""
import hashlib
import os
import re

from harness import BUILD, IOMMU, VFIO, guest, random_file, test

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
    grep nvme /proc/interrupts"""


def said(t, text, word):
    lines = [line.split(": ")[-1].split()[0] for line in text.splitlines() if line.startswith(f"{word}: ")]
    t.check(len(lines) == 1, f"{len(lines)} lines of {word}")
    return lines[0] if lines else ""


# The device comes while it runs, is asked for, comes again, is taken from the middle of its work, and comes a last time.
HOT = """
    disk=/dev/nvme0n1; where=/sys/block/nvme0n1
    comes() { until [ -b $disk ]; do usleep 100000; done; }
    goes() { while [ -e $where ]; do usleep 100000; done; }
    dd if=/dev/urandom of=/new bs=1M count=4 2>/dev/null
    echo "wrote: $(sha256sum </new)"
    comes; dd if=/new of=$disk bs=64k seek=64 conv=notrunc,fsync 2>/dev/null; echo "first: done"
    goes; echo "went: in order"
    comes; echo "second: $(dd if=$disk bs=64k skip=64 count=64 2>/dev/null | sha256sum)"
    while [ -e $where ]; do dd if=/new of=$disk bs=64k count=32 conv=notrunc,fsync 2>/dev/null; done; echo "lost: by force"
    comes; echo "third: $(dd if=$disk bs=64k skip=64 count=64 2>/dev/null | sha256sum)"
    while :; do dd if=/new of=$disk bs=64k count=32 conv=notrunc,fsync 2>/dev/null; done"""
VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")


def nvme(name, kernel):
    def run(t):
        """The guest's own driver reads and writes it. Another guest, of another kernel, is given it while it runs, and loses it, in order and
        without being asked; between that the root's own driver has it. At last that guest's worker is killed in the middle, and the root reads
        what the guest wrote."""
        image = random_file(t.path("disk"), 8 * MIB)
        before = hashlib.sha256(open(image, "rb").read()).hexdigest()
        initrd = guest.initrd("pci-nvme", NVME, guest.kernels.get("6.1"), ["pci-hyperv"])
        hot = guest.kernels.get(kernel)
        text = t.root(f"""
            {VFIO}
            wait_for -b /dev/nvme0n1; disk=$(places 0x010802)
            {guest.shell(guest.worker())} --device pci:$disk 2>&1 | sed 's/^/before: /'
            give $disk vfio-pci
            {guest.shell(guest.worker())} --device pci:$disk; echo "ended with $?"
            {guest.shell(guest.worker("hot", kernel="/root/hot", initrd_="/root/hot-initrd", serial="file:/root/line", more=["--control", "/root/control"]))} & worker=$!
            seen() {{ until grep -q "$1" line; do kill -0 $worker || exit 1; sleep 1; done; }}
            back() {{ give $disk ""; wait_for -b /dev/nvme0n1; echo "$1: $(dd if=/dev/nvme0n1 bs=64k skip=64 count=64 2>/dev/null | sha256sum)"; }}
            device() {{ vmctl control device "$@" || echo "refused: device $*"; }}
            seen "wrote: "
            device add 0000:00:1f.7; device remove $disk
            give $disk ""; device add $disk; give $disk vfio-pci
            device add $disk; seen "first: "
            device add $disk; vmctl control status | grep ^device
            vmctl control save saved; vmctl control status | grep ^state
            device remove $disk; seen "went: "; back "between"
            give $disk vfio-pci; device add $disk; seen "second: "
            device remove $disk --force; seen "lost: "
            device add $disk; seen "third: "
            kill -9 $worker; wait $worker
            back "back"
            echo "held: $(cat /sys/module/mshv_vd/parameters/partitions) $(cat /sys/module/mshv_vd/parameters/pinned)"
            sed 's/^/line: /' line; dmesg""", puts=guest.puts("6.1", initrd) + [VMCTL, (hot.image, "/root/hot"), (guest.initrd("pci-hot", HOT, hot, ["pci-hyperv"]), "/root/hot-initrd")],
                      qemu_args=IOMMU[name] + ["-drive", f"if=none,id=scratch,format=raw,file={image}", "-device", "nvme,serial=scratch,drive=scratch"])
        t.has(text, "before: vmwp: tiny: --device pci:")
        t.has(text, "it is the root's, by the driver nvme; give it to vfio-pci")
        t.same("what the guest read", said(t, text, "read"), before)
        t.same("what it read again", said(t, text, "again"), said(t, text, "wrote"))
        t.has(text, "ended with 0\n")
        for refusal in ("there is no such device", "the machine has no device", "it is the root's, by the driver nvme", "the machine has the device",
                        "the machine has a device of this host's hardware"):
            t.has(text, refusal)
        t.same("the lines of its status", re.findall(r"^(?:device|state) +(\S+)$", text, re.M)[1:], ["running"])
        for word in "line: second", "line: third", "between", "back":
            t.same(f"what the guest wrote, as of {word}", said(t, text, word), said(t, text, "line: wrote"))
        t.has(text, "held: 0 0\n")
        t.check(re.search(r"^ +\d+: +[1-9].*Hyper-V PCIe MSI .* nvme0q", text, re.M), "no interrupt of the disk's arrived")
        t.calm(text)
    return run


for name_ in IOMMU:
    test(f"pci: an NVMe disk comes to guests and goes, {name_}", deadline=600, soak=name_ == "VT-d")(nvme(name_, {"VT-d": "6.12"}.get(name_, "7")))


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
