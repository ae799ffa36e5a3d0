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
    dmesg -n 1 # no line of the kernel's amidst one of ours
    disk=/dev/nvme0n1; where=/sys/block/nvme0n1
    comes() { # a disk that is late: what the guest says of it, and who waits for what
        n=0
        until [ -b $disk ]; do
            usleep 100000; n=$((n + 1))
            [ $n != 300 ] || { dmesg -c | tail -n 60; echo w >/proc/sysrq-trigger; dmesg; grep -i hyper /proc/interrupts; }
        done
    }
    goes() { while [ -e $where ]; do usleep 100000; done; }
    dd if=/dev/urandom of=/new bs=1M count=4 2>/dev/null
    echo "wrote: $(sha256sum </new)"
    comes; dd if=/new of=$disk bs=64k seek=64 conv=notrunc,fsync 2>/dev/null; echo "first: done"
    goes; echo "went: in order"
    comes; echo "second: $(dd if=$disk bs=64k skip=64 count=64 2>/dev/null | sha256sum)"
    while [ -e $where ]; do dd if=/new of=$disk bs=64k count=32 conv=notrunc,fsync 2>/dev/null; done
    rm -f $disk # of dd's, where the disk had just gone: it would stand in the next one's way
    echo "lost: by force"
    comes; echo "third: $(dd if=$disk bs=64k skip=64 count=64 2>/dev/null | sha256sum)"
    while :; do dd if=/new of=$disk bs=64k count=32 conv=notrunc,fsync 2>/dev/null; done"""
VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")


# What is not always seen: a guest of 7 waits now and then for a disk that it had before.
AGAIN = """
            give $disk vfio-pci; device add $disk; seen "second: "
            device remove $disk --force; seen "lost: "
            device add $disk; seen "third: "
            kill -9 $worker; wait $worker
            back "back\""""


def nvme(name, kernel, again):
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
            seen() {{ # a guest that hears nothing of its disk says so, and not within the test's time
                tries=0
                until grep -qs "$1" line; do
                    kill -0 $worker || exit 1
                    tries=$((tries + 1)); [ $tries -lt 120 ] || {{ vmctl control status; tail -n 200 line; exit 1; }}
                    sleep 1
                done
            }}
            back() {{ give $disk ""; wait_for -b /dev/nvme0n1; echo "$1: $(dd if=/dev/nvme0n1 bs=64k skip=64 count=64 2>/dev/null | sha256sum)"; }}
            device() {{ vmctl control device "$@" || echo "refused: device $*"; }}
            seen "wrote: "
            device add 0000:00:1f.7; device remove $disk
            give $disk ""; device add $disk; give $disk vfio-pci
            device add $disk; seen "first: "
            device add $disk; vmctl control status | grep ^device
            vmctl control save saved; vmctl control status | grep ^state
            device remove $disk; seen "went: "; back "between"
            {AGAIN if again else "kill -9 $worker; wait $worker"}
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
        for word in ("between", *(("line: second", "line: third", "back") if again else ())):
            t.same(f"what the guest wrote, as of {word}", said(t, text, word), said(t, text, "line: wrote"))
        t.has(text, "held: 0 0\n")
        t.check(re.search(r"^ +\d+:.*\b[1-9]\d* .*Hyper-V PCIe MSI .* nvme0q", text, re.M), "no interrupt of the disk's arrived")
        t.calm(text)
    return run


for name_ in IOMMU:
    kernel_ = {"VT-d": "6.12"}.get(name_, "7")
    test(f"pci: an NVMe disk comes to guests and goes, again and again, {name_}", deadline=600, soak=True)(nvme(name_, kernel_, True))
    test(f"pci: an NVMe disk comes to guests and goes, {name_}", deadline=600, soak=name_ == "VT-d")(nvme(name_, kernel_, False))


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


# A card with virtual functions, and another card at the other end of its cable. Behind a bridge QEMU's AMD-Vi takes a function for one of bus 0, where it
# is for the root's device; so that is where the other card is. No space above 4 GiB: QEMU forgets the upper half of what Linux says of functions' BARs.
SRIOV = ["-global", "q35-pcihost.pci-hole64-size=0", "-netdev", "hubport,hubid=0,id=one", "-device", "igb,netdev=one",
         "-device", "pcie-root-port,id=below,slot=1", "-netdev", "hubport,hubid=0,id=other", "-device", "e1000e,bus=below,netdev=other"]
PROGRAMS = [(os.path.join(BUILD, folder, name), f"/usr/bin/{name}") for folder, name in (("switch", "vswitchd"), ("cli", "vswitch"), ("cli", "vmctl"))]

# In the root: two functions of the card, of which a guest can have the first; the other card is the root's; the first is a switch's way out.
FUNCTIONS = """
    modprobe igb || exit 1; modprobe e1000e || exit 1
    wait_for -e /sys/class/net/eth1
    ifconfig eth0 up; ifconfig eth1 10.2.0.1 netmask 255.255.255.0 up
    group() { basename $(readlink /sys/bus/pci/devices/$1/iommu_group); }
    [ "$(group $(places 0x10d3))" != "$(group $(places 0x0604))" ] || echo "a bridge and what is behind it are one group"
    card=$(places 0x10c9); echo 2 >/sys/bus/pci/devices/$card/sriov_numvfs
    vf=$(places 0x10ca | head -n 1); give $vf vfio-pci
    vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports 2>&1 &
    until vswitch list >/dev/null 2>&1; do usleep 100000; done
    vswitch create lan && vswitch port lan add out external:eth0 || exit 1"""

# A stream of numbers to the root goes on while a function of the adapter's comes, carries some of it, and goes. The interrupts are the function's.
STREAM = """
    until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
    ifconfig eth0 10.2.0.2 netmask 255.255.255.0 up
    numbers() { m=0; until [ -e /done ]; do m=$((m + 1)); echo $m; [ $((m % 500)) != 0 ] || usleep 50000; done; }
    numbers | nc 10.2.0.1 5000 &
    carries() { [ "$(cat /sys/class/net/eth0/lower_eth*/statistics/tx_packets 2>/dev/null || echo 0)" -gt 10 ]; }
    n=0
    while [ $n -lt ROUNDS ]; do
        n=$((n + 1))
        until carries; do usleep 200000; done
        grep -m 1 "Hyper-V PCIe MSI.*eth" /proc/interrupts
        echo "function: $n"
        while ls /sys/class/net/eth0/lower_eth* >/dev/null 2>&1; do usleep 200000; done
        echo "switch: $n"
    done
    sleep 1; >/done; wait"""


def function(rounds):
    def run(t):
        """By the root's igb and the guest's igbvf, under its netvsc. The switch's port says no to what a card does not keep, and the other way round."""
        initrd = guest.initrd("pci-function", STREAM.replace("ROUNDS", str(rounds)), guest.kernels.get("6.1-generic"), ["pci-hyperv", "igbvf", "hv_netvsc"])
        words = guest.worker("vm", memory="256M", vps=1, more=["--net", "lan,port=web", "--control", "/root/control"])
        text = t.root(f"""{VFIO}{FUNCTIONS}
            mkfifo hold; exec 9<>hold # nc ends a connection whose other way has ended
            nc -l -p 5000 <&9 | awk '$1 != NR && !bad {{ bad = NR }} END {{ print "stream:", (!bad && NR > 1000 ? "whole" : "cut at " bad " of " NR) }}' & stream=$!
            ({guest.shell(words)}; echo "ended with $?") 2>&1 | tee line & worker=$!
            seen() {{ until grep -q "^$1" line; do kill -0 $worker || exit 1; usleep 500000; done; }}
            carry() {{ vmctl control net function 0 $1 || echo "refused: $1"; }}
            until vmctl control net list 2>/dev/null | grep -q " [1-9] of"; do kill -0 $worker || exit 1; usleep 500000; done
            vswitch port lan set web dhcp-guard=on; carry $vf; vswitch port lan set web dhcp-guard=off
            carry $card; n=0
            while [ $n -lt {rounds} ]; do
                n=$((n + 1)); carry $([ $n = 1 ] && echo $vf || echo on); seen "function: $n"; vmctl control net list | grep -o "virtual function.*"
                [ $n != 1 ] || vswitch port lan set web dhcp-guard=on || vswitch acl lan web add action=deny direction=in remote=10.9.0.0/16
                if [ $n = 2 ]; then vmctl control device remove $vf; else carry off; fi
                seen "switch: $n"
            done
            wait $worker; wait $stream; dmesg""",
                      root_kernel="6.1-generic", puts=guest.puts("6.1-generic", initrd) + PROGRAMS, qemu_args=IOMMU["AMD-Vi"] + SRIOV)
        t.check("are one group" not in text, "what is behind a bridge is of its group")
        t.has(text, "stream: whole\n")
        t.same("functions in use", text.count(", in use\n"), rounds)
        for refusal in ("it has a DHCP guard, which a card does not keep", "it has access lists, which a card does not keep", "it is no virtual function"):
            t.has(text, refusal)
        t.check(re.search(r"^ *\d+:.*\b[1-9]\d* .*Hyper-V PCIe MSI", text, re.M), "no interrupt of the function's arrived")
        t.has(text, "ended with 0\n")
        t.calm(text)
    return run


test("pci: a virtual function carries an adapter's frames, and the switch again, under load, AMD-Vi", deadline=1800, soak=True)(function(20))
