"""/dev/mshv: the module on each kernel; programs of C in the root do the work."""
import os

from harness import BUILD, IOMMU, kernels, test

PROGRAMS = os.path.join(BUILD, "tests", "system")


def program(name):
    return [(os.path.join(PROGRAMS, name), f"/root/{name}")]


def functions(kernel):
    # Of 7 beside AMD's IOMMU, whose registers it reads as it boots, since QEMU has them where a processor of AMD says why it was reset.
    beside = IOMMU["AMD-Vi"] if kernel == "7" else []

    def run(t):
        log = t.root("./mshv_functions && rmmod mshv_vd && insmod /lab/mshv_vd.ko && ./mshv_functions && dmesg",
                     root_kernel=kernel, puts=program("mshv_functions"), qemu_args=beside)
        t.same("runs in which all holds", log.count("all hold"), 2)
        t.calm(log, "root")
    return run


for kernel_ in ("6.1", "6.12", "7"):
    test(f"mshv: what each call does, {kernel_}", deadline=400)(functions(kernel_))


@test("backend: memory that is logged, read-only, unmapped; saved states", deadline=400)
def backend(t):
    log = t.root("./backend_functions && dmesg", puts=program("backend_functions"))
    t.has(log, "all hold")
    t.calm(log, "root")


@test("mshv: random calls from 60 processes that are killed", deadline=900)
def torture(t):
    log = t.root("./mshv_torture 7 60 && dmesg", puts=program("mshv_torture"))
    t.has(log, "60 processes killed, nothing held")
    t.calm(log, "root")


@test("mshv: without a hypervisor the module says so")
def no_hypervisor(t):
    built = os.path.join(BUILD, "root", kernels.get("6.1").version, "mshv_vd.ko")
    log = t.root("insmod /root/mshv_vd.ko; dmesg | tail -5", bare=True, puts=[(built, "/root/mshv_vd.ko")])
    t.has(log, "mshv_vd: no hypervisor: boot this machine by Verdigris, then load the module")
