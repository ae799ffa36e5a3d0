"""hvloader: what it hands over, what it prepares for the root, and what it says of a machine or of files that will not do."""
import os
import re
import time

from harness import BUILD, Failed, kernels, lab, test
from labkit.qemu import Qemu, module_string

LOADER = os.path.join(BUILD, "loader", "hvloader.elf")
IMAGE = os.path.join(BUILD, "tests", "handoff-svm.elf")


def boot(*modules, options=""):
    return ["-kernel", LOADER, "-append", options] + (["-initrd", ",".join(modules)] if modules else [])


def kernel():
    return kernels.get("6.1").image


def handoff(memory, lps, iommu, hidden):
    def run(t):
        def with_image(image, initrd, cmdline):
            modules = [module_string(IMAGE), module_string(image, cmdline + " a,b=c"), module_string(initrd)]
            return boot(*modules, options="hv.memory=50M word")

        facts = t.root("cat /proc/cmdline; nproc; ls /sys/firmware/acpi/tables; cat /proc/iomem", bare=True, boot=with_image,
                       memory=memory, lps=lps, qemu_args=iommu)
        cmdline, processors, rest = facts.split("\n", 2)
        t.check("handoff: wrong" not in t.console, "a promise of handoff.h is broken")
        for line in ["ok", "options [hv.memory=50M word]"] + [f"processor {lp}" for lp in range(lps)]:
            t.has(t.console, f"handoff: {line}\n")
        t.same("the root's processors", processors, str(lps))
        t.check(cmdline.startswith("console=ttyS0") and cmdline.endswith(" a,b=c"), f"the root's command line is {cmdline!r}")
        base, size = (int(word, 16) for word in re.search("reserved (.*) (.*)", t.console).groups())
        t.same("the hypervisor's memory", size, 50 << 20)
        t.has(rest, f"{base:08x}-{base + size - 1:08x} : Reserved")
        base, size = (int(word, 16) for word in re.search("table (.*) (.*)", t.console).groups())
        t.same("the table of pages", size >> 20, memory // 1024 * 2 if memory > 8192 else 0)
        t.check(not size or f"{base:08x}-{base + size - 1:08x} : Reserved" in rest, "the root has the table of pages")
        t.same("the hidden table", "".join(re.findall("hidden table (.*)", t.console)), hidden)
        t.check(not re.search("DMAR|IVRS", rest), "the root sees the IOMMU's table")
    return run


test("loader: hands over what it promises", deadline=400)(handoff(512, 1, [], ""))
test("loader: hides DMAR", deadline=400)(handoff(
    9216, 3, ["-machine", "kernel-irqchip=split", "-device", "intel-iommu"], "RAMD"))
test("loader: hides IVRS", deadline=400)(handoff(2048, 2, ["-device", "amd-iommu"], "SRVI"))


def stops(t, wanted, arguments, **options):
    """The loader stops, says so in one line and stays where it is."""
    machine = Qemu(lab.settle(lab.Options(command=[], **options)))
    try:
        machine.start(arguments)
        deadline = time.monotonic() + t.deadline
        while not (line := re.search("Verdigris loader: stopped: (.*)\n", machine.console_text())):
            if time.monotonic() > deadline or machine.process.poll() is not None:
                raise Failed(f"no complaint, where {wanted!r} should be:\n{machine.console_text()}")
            time.sleep(0.1)
        t.has(line[1], wanted)
        time.sleep(0.5)
        t.check(machine.process.poll() is None, "the machine did not stay halted")
        t.check(machine.console_text().endswith(line[0]), "the complaint is not the last line")
    finally:
        machine.remove()


@test("loader: says what the processor lacks", deadline=600)
def processor(t):
    modules = boot(IMAGE, kernel())
    stops(t, "neither AMD-V (SVM) nor Intel VT-x (VMX)", modules, cpu="EPYC,-svm")
    stops(t, "no nested paging", modules, cpu="EPYC,-npt")
    stops(t, "no NX", modules, cpu="EPYC,-nx")
    stops(t, "no 64-bit mode", modules, cpu="qemu32")


@test("loader: says which module is missing or wrong", deadline=600)
def modules(t):
    def cut(path, size, name):
        with open(path, "rb") as file, open(t.path(name), "wb") as out:
            out.write(file.read(size))
        return t.path(name)

    short_kernel, short_image = cut(kernel(), 3_000_000, "short-kernel"), cut(IMAGE, 5000, "short-image")
    empty = cut(kernel(), 0, "empty")
    for wanted, files in (
            ("no modules", []),
            ("no hypervisor image for AMD-V", [kernel()]),
            ("no kernel for the root", [IMAGE]),
            ("a second kernel", [IMAGE, kernel(), kernel()]),
            ("a second hypervisor image", [IMAGE, IMAGE, kernel()]),
            ("short-kernel): the kernel is cut short", [IMAGE, short_kernel]),
            ("short-image): it is cut short", [short_image, kernel()]),
            ("empty): it is empty", [IMAGE, kernel(), empty]),
            ("module 4 (", [IMAGE, kernel(), __file__, __file__])):
        stops(t, wanted, boot(*files))


@test("loader: says when there is too little memory", deadline=600)
def memory(t):
    modules_ = [IMAGE, kernel()]
    stops(t, "for the hypervisor; the machine has 31 MiB", boot(*modules_, options="hv.memory=24M"), memory=32)
    stops(t, "no place for the root's kernel; the machine has 47 MiB", boot(*modules_), memory=48)
    stops(t, "no 3000 MiB in one piece", boot(*modules_, options="hv.memory=3000M"), memory=1024)
    stops(t, "hv.memory= gives less than", boot(*modules_, options="hv.memory=1M"))
    stops(t, "hv.memory= takes a size", boot(*modules_, options="hv.memory=much"))
