"""The machine starts as a person's own does: GRUB on a disk, by BIOS and by UEFI, by both multiboot protocols."""
from harness import test
from labkit import image
from root_tests import FACTS


def grub(protocol, firmware):
    def run(t):
        def boot(kernel, initrd, cmdline):
            path = t.path("disk.img")
            image.make(path, "linux" if t.bare else protocol, kernel, initrd, cmdline)
            return image.boot(path, firmware)

        _, online, ticking, log = t.root(FACTS, boot=boot).split("\n", 3)
        t.same("processors", online, "2")
        t.same("processors whose timer ticks", ticking, "2")
        t.calm(log, "root")
        t.same("sees the hypervisor", "Hypervisor detected: Microsoft Hyper-V" in log, not t.bare)
        t.same("started by EFI", "efi: EFI v" in log, firmware == "uefi")
    return run


test("boot: GRUB, SeaBIOS, multiboot 1", deadline=400)(grub(1, "bios"))
test("boot: GRUB, SeaBIOS, multiboot 2", deadline=400, bare="both")(grub(2, "bios"))
test("boot: GRUB, OVMF, multiboot 2", deadline=400, bare="both")(grub(2, "uefi"))
