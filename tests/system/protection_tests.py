"""The root cannot read or write the hypervisor's memory, by itself or by a device, and has a processor without SVM and VMX. Tried from its kernel."""
import hashlib
import os
import re

from harness import BUILD, IOMMU, VFIO, kernels, random_file, test

RANGE = re.compile(r"BIOS-e820: \[mem 0x([0-9a-f]+)-0x([0-9a-f]+)\] (\w+)")
REFUSED = ("vmrun", "vmload", "vmsave", "stgi", "clgi", "invlpga", "read VM_HSAVE_PA", "write VM_HSAVE_PA", "write VM_CR",
           "EFER.SVME")
VMX_INSTRUCTIONS = ("vmxon", "vmclear", "vmptrld", "vmptrst", "vmread", "vmwrite", "vmlaunch", "vmresume", "vmxoff", "vmfunc",
                    "invept", "invvpid")
VMX_REGISTERS = ("CR4.VMXE", "read VMX_BASIC", "write FEATURE_CONTROL")
BIOS = (0xf0000, 0x10000)
# S3 is not offered, and not entered by hand: SLP_EN and QEMU's type of S3 in the PM1 control register, whose port the FADT tells.
SLEEP = r"""
echo "--- sleep"; echo "sleep: $(cat /sys/power/mem_sleep)"
port=$(dd if=/sys/firmware/acpi/tables/FACP bs=1 skip=64 count=2 2>/dev/null | hexdump -e '1/2 "%u"')
printf '\x24' | dd of=/dev/port bs=1 seek=$((port + 1)) 2>/dev/null
echo "sleep: awake"
"""


def ranges(log, kind):
    return [(int(first, 16), int(last, 16) + 1) for first, last, type_ in RANGE.findall(log) if type_ == kind]


def hypervisor_memory(t):
    """What is reserved under the hypervisor and was RAM without it: its memory, as (base, size)."""
    usable = ranges(t.root("dmesg", bare=True), "usable")
    found = [(base, end - base) for base, end in ranges(t.root("dmesg", bare=False), "reserved")
             if any(base >= low and end <= high and base >= 1 << 20 for low, high in usable)]
    t.same("ranges of the hypervisor", len(found), 1)
    return found[0]


def module():
    return os.path.join(BUILD, "tests", "kmod", kernels.get("6.1").version, "vd_protect.ko"), "/root/vd_protect.ko"


def attempt(t, base, size, **options):
    text = t.root(f"""
        insmod vd_protect.ko base={base} size={size}
        taskset 2 true && echo still here; dmesg""", puts=[module()], **options)
    t.has(text, "protect: end")
    t.has(text, "still here")
    pages, seen, written = re.search(r"protect: (\d+) pages, (\d+) words seen, (\d+) words written", text).groups()
    t.same("pages tried", int(pages), size // 4096)
    return text, int(seen), int(written)


@test("protection: the attempt itself works where nothing forbids it (bare)", deadline=400)
def control(t):
    """Without the hypervisor the firmware's pages can be read: the test sees what it would if memory were open."""
    text, seen, _ = attempt(t, *BIOS, bare=True)
    t.check(seen > 0, "nothing was seen of the firmware")
    t.has(text, "protect: read VM_HSAVE_PA done")


@test("protection: the hypervisor's memory, from the root", deadline=600)
def memory(t):
    text, seen, written = attempt(t, *hypervisor_memory(t))
    t.same("words seen", seen, 0)
    t.same("words written", written, 0)
    t.calm(text, "root")


def refused(t, log, vendor="svm"):
    for name in REFUSED + (VMX_INSTRUCTIONS + VMX_REGISTERS if vendor == "vmx" else ()):
        t.has(log, f"protect: {name} refused")


@test("protection: deposited pages, from the root", deadline=400)
def deposits(t):
    """The same accesses to the same pages, before and after the root has given them to the hypervisor."""
    text, _, _ = attempt(t, *BIOS)
    words = 64 * 8
    t.has(text, f"protect: deposits: before, {words} words seen, {words} words written")
    t.has(text, "protect: deposits: 64 pages, 0 words seen, 0 words written")
    t.has(t.console, "IOMMU: not used (the machine has none)")
    t.calm(text, "root")


@test("protection: SVM, from the root", deadline=400)
def svm(t):
    text, _, _ = attempt(t, *BIOS)
    refused(t, text)
    text = t.root(f"grep ^flags /proc/cpuinfo; {SLEEP}")
    t.check(" svm " not in text.split("---")[0], "the root's CPUID has SVM")
    t.has(text, "sleep: [s2idle]\nsleep: awake")



# QEMU's edu device copies by DMA at any address. Disks and cards of the root go through the IOMMU beside it.
EDU = ["-device", "edu,dma_mask=0xffffffffffffffff"]
# By the IOMMU's name: where its registers are, whether it tells of what it refuses
# (docs/emulators.md), what the console says of that, messages that edu was not given. AMD-Vi: a vector that nobody has, as itself and as that
# of the lowest priority; NMI, INIT, ExtINT. VT-d: an entry of another device, one that is not present, one behind the table's end.
UNITS = {"VT-d": (0xfed90000, True, "IOMMU: devices of a unit raise the interrupts that the root gave them, no others", "#0 #0x3fff #0x5000"),
         "AMD-Vi": (0xfed80000, False, "IOMMU: devices of VFIO raise no interrupts but their own", "0xd7 0x1d7 0x4d7 0x500 0x7d7")}
# What the kernel says of a vector that nobody has, and of an NMI.
UNUSED_VECTOR, UNKNOWN_NMI = "No irq handler for vector", "NMI received for unknown reason"
# The first range that is reserved in whole MiB is the hypervisor's.
DMA = r"""
range=$(dmesg | sed -n 's/.*BIOS-e820: \[mem \(0x[0-9a-f]*00000\)-\(0x[0-9a-f]*fffff\)\] reserved/\1 \2/p' | head -n 1)
base=$((${range% *})) size=$((${range#* } - ${range% *} + 1))
"""


PROGRAMS = r"""
echo Y >/sys/module/mshv_vd/parameters/iommu
edu=$(places 0x11e8) disk=$(places 0x010802) module=/sys/module/mshv_vd/parameters
give $edu vfio-pci
give $disk vfio-pci
./vfio $edu edu $base
./vfio $edu interrupts $messages
before=$(cat $module/root_pages $module/deposited) # what vd_protect.ko deposited went with that
for round in 1 2 3; do
    rm -f /tmp/out; ./vfio $disk nvme >/tmp/out & pid=$!
    wait_for -s /tmp/out; cat /tmp/out
    kill -9 $pid; wait $pid 2>/dev/null
done
[ "$(cat $module/root_pages $module/deposited)" = "$before" ] && echo "vfio: as many pages as before"
give $disk ""
wait_for -b /dev/nvme0n1
"""
# What is to come of the attempts at addresses.
REACHED = {"mapped page": "read, written", "last of 2 MiB": "read, written", "page to read": "read, not written"}
REFUSED_TO_VFIO = ("no page", "its page's own address", "other page", "unmapped page", "unmapped 2 MiB")


@test("protection: DMA, the attempt itself works where nothing forbids it (bare)", deadline=400)
def dma_control(t):
    text = attempt(t, *BIOS, bare=True, qemu_args=EDU)[0]
    t.has(text, "protect: dma: own page read, written")
    for what in UNUSED_VECTOR, UNKNOWN_NMI:
        t.has(text, what)


def dma(name):
    registers, tells, said, messages = UNITS[name]

    def run(t):
        """A device of the root reaches the root's memory, and neither the hypervisor's nor what was deposited; the root reaches no
        register of the IOMMU. The root's NVMe disk and its network card work beside that. Then programs have the device and the disk by
        VFIO: they reach what they mapped, and nothing else; the disk of one that was killed is the root's again."""
        image = random_file(t.path("disk"), 4 << 20)
        before = hashlib.sha256(open(image, "rb").read()).hexdigest()
        text = t.root(f"""
            modprobe nvme; modprobe virtio_net
            n=0; while [ ! -b /dev/nvme0n1 ] && [ $n -lt 100 ]; do usleep 100000; n=$((n + 1)); done
            sha256sum </dev/nvme0n1
            ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up; sleep 1; ping -c 3 -W 5 10.0.2.2
            {DMA}
            insmod vd_protect.ko base={registers} size=4096 dma=$base dma_size=$size
            {VFIO}
            messages="{messages}"
            {PROGRAMS}
            sha256sum </dev/nvme0n1; dmesg""", puts=[module(), (os.path.join(BUILD, "tests", "system", "vfio"), "/root/vfio")], qemu_args=IOMMU[name] + EDU + [
                "-drive", f"if=none,id=scratch,format=raw,file={image}", "-device", "nvme,serial=scratch,drive=scratch",
                "-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,iommu_platform=on,disable-legacy=on"])
        t.same("what the root read of its disk, twice", re.findall("^([0-9a-f]{64}) ", text, re.M), [before] * 2)
        t.has(text, "3 packets received")
        # VT-d's page has registers for the root, of its interrupts, to be written one by one.
        words = int(re.search(r"protect: 1 pages, (\d+) words seen, 0 words written", text)[1])
        t.check(words <= 24 if tells else not words, f"{words} words of the unit's registers are seen")
        t.has(text, "protect: dma: own page read, written")
        for what in ("deposited page", "first page", "last page"):
            t.has(text, f"protect: dma: {what} not read, not written")
        for what, how in REACHED.items():
            t.has(text, f"vfio: {what} {how}")
        for what in REFUSED_TO_VFIO:
            t.has(text, f"vfio: {what} not read, not written")
        t.check(re.search(r"vfio: \d+ not read, not written", text), "the hypervisor's first page was reached by VFIO")
        t.has(text, "vfio: memory: mapped written, large written, to read as it was, other as it was")
        t.same("programs that had the disk", text.count("vfio: nvme scratch"), 3)
        t.has(text, "vfio: as many pages as before")
        t.same("interrupts of edu by VFIO", text.count("vfio: interrupt arrived 1"), 2)
        t.same("messages that were written", text.count("sent, no interrupt"), 2 * len(messages.split()))
        t.same("vectors of the root's edu, and of edu by VFIO", text.count(UNUSED_VECTOR), 1)
        t.same("NMIs of the same", text.count(UNKNOWN_NMI), 1)
        t.has(t.console, said)
        t.calm(text, "root")
        base = re.search("hypervisor at ([0-9a-f]+),", t.console)[1]
        t.has(t.console, "IOMMU: 1 units hold the root's devices back")
        refused = re.findall(r"IOMMU: device ([0-9a-f:.]+) is refused to (\w+) at ([0-9a-f]+)", t.console)
        for how in (("read", base), ("write", base), ("interrupt", "0"), ("interrupt", "3fff")) if tells else ():
            t.check(how in [(word, at) for _, word, at in refused], f"no word of {how}: {refused}")
        t.check(len(set(device for device, _, _ in refused)) == tells, f"devices that did nothing wrong are refused: {refused}")
    return run


for name_ in IOMMU:
    test(f"protection: DMA of a device of the root, {name_}", deadline=600)(dma(name_))
