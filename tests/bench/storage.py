"""make bench: what a guest's disk costs, from the guest's block layer to the host's file and back, in instructions.

The same guest (Debian 6.1, 1 VP) with the same program, ours on VHDX by hv_storvsc, and on QEMU of Debian 12 with KVM by virtio-blk. The
files lie on ext4 on a RAM disk of the root, so there is no device to wait for, and a tick of the TSC is an instruction all the time.
First both go through the root's page cache, then past it (--disk FILE,direct and cache=none). QEMU uses io_uring, as we do.
"""
import concurrent.futures
import os
import re

from labkit import BUILD, LabError, guest, kernels, programs

REGION = 64          # MiB of each disk that are worked on
PATTERNS = [("read", "4 KiB random read"), ("write", "4 KiB random write"), ("deep_read", "4 KiB random read, 16 deep"),
            ("deep_write", "4 KiB random write, 16 deep"), ("stream_read", "1 MiB sequential read"),
            ("stream_write", "1 MiB sequential write")]
DRIVERS = ["hv_vmbus", "hv_storvsc", "sd_mod", "virtio_pci", "virtio_blk"]
# The guest names disks of SCSI in the order in which it happens to find them: theirs is the LUN.
COMMAND = f"""
    device() {{
        case $1 in
        lun*)
            set -- /sys/bus/scsi/devices/*:0:0:${{1#lun}}/block/*
            echo /dev/${{1##*/}}
            ;;
        *)
            echo /dev/$1
            ;;
        esac
    }}
    echo 1 >/proc/sys/vm/nr_hugepages
    for disk in $DISKS; do
        waited=0
        until [ -b "$(device $disk)" ]; do
            waited=$((waited + 1))
            [ $waited -lt 100 ] || exit 1
            usleep 100000
        done
        echo "disk $disk"
        blocks $(device $disk) {REGION} || exit 1
    done"""
MODES = [("", "through the root's page cache"), ("-direct", "past the root's page cache")]
# Room for all files, in KiB, and a file system on it.
FILES = """set -e
    modprobe brd rd_nr=1 rd_size=786432
    ./mke2fs -q -t ext4 -m 0 /dev/ram0
    mount -t ext4 /dev/ram0 /mnt
"""
TIMEOUT = 1800
MIB = 128            # size of a disk
QEMU = ["qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35,accel=kvm",
        "-cpu", "host", "-smp", "1", "-m", "256", "-serial", "stdio", "-L", "/root"]
FIRMWARE = ["/usr/share/seabios/bios-256k.bin", "/usr/share/seabios/kvmvapic.bin", "/usr/share/qemu/kvmvapic.bin",
            "/usr/share/qemu/linuxboot_dma.bin"]


def parse(text, disks):
    """Instructions for one operation of each pattern on each disk: the slope between the runs' two counts."""
    parts = re.split(r"^disk \w+$", text, flags=re.M)[1:]
    if len(parts) != len(disks):
        raise LabError(f"the guest did not find its disks:\n{text}")
    found = {}
    for disk, part in zip(disks, parts):
        counts = {}
        for name, count, ticks in re.findall(r"^blocks: (\w+) (\d+) (\d+)$", part, re.M):
            counts.setdefault(name, []).append((int(count), int(ticks)))
        if set(counts) != {name for name, _ in PATTERNS} or any(len(two) != 2 for two in counts.values()):
            raise LabError(f"the guest did not measure everything:\n{text}")
        for name, ((few, short), (many, long)) in counts.items():
            found[disk, name] = (long - short) / (many - few)
    return found


def initrd(names):
    command = f"DISKS='{names}'\n{COMMAND}"
    return guest.initrd(f"bench-{names.split()[0]}", command, kernels.get("6.1"), DRIVERS,
                        programs=[os.path.join(BUILD, "tests", "bench", "blocks")])


def program_of_root(name, package):
    return (programs.program(name, package), f"/root/{name}")


def firmware():
    """What QEMU wants to start a kernel."""
    return [(path, f"/root/{os.path.basename(path)}") for path in FIRMWARE if os.path.exists(path)]


def ours(root):
    """VHDX, dynamic and fixed."""
    disks = [(kind + mode, f"{kind + mode}.vhdx{mode.replace('-', ',')}") for mode, _ in MODES for kind in ("dynamic", "fixed")]
    worker = guest.worker(memory="256M", vps=1, append="mitigations=off",
                          more=[word for _, file in disks for word in ("--disk", f"/mnt/{file}")])
    text = root(f"""{FILES}
        for mode in "" -direct; do
            vhd new /mnt/dynamic$mode.vhdx --size {MIB}M
            vhd new /mnt/fixed$mode.vhdx --size {MIB}M --fixed
        done
        {guest.shell(worker)}""", timeout=TIMEOUT, puts=[*guest.puts("6.1", initrd("lun0 lun1 lun2 lun3")), program_of_root("mke2fs", "e2fsprogs"),
                                        (os.path.join(BUILD, "disk", "vhd"), "/usr/bin/vhd")])
    return parse(text, [name for name, _ in disks])


def peer(root):
    """qcow2 and raw."""
    command = [*QEMU, "-kernel", "/root/vmlinuz", "-initrd", "/root/initrd", "-append", f"{guest.CMDLINE} mitigations=off"]
    disks = [(kind, mode) for mode, _ in MODES for kind in ("qcow2", "raw")]
    for kind, mode in disks:
        cache = "none" if mode else "writeback"
        command += ["-drive", f"if=none,id={kind}{mode},format={kind},file=/mnt/disk{mode}.{kind},aio=io_uring,cache={cache}",
                    "-device", f"virtio-blk-pci,drive={kind}{mode}"]
    text = root(f"""{FILES}
        modprobe kvm-amd
        for mode in "" -direct; do
            ./qemu-img create -q -f qcow2 /mnt/disk$mode.qcow2 {MIB}M
            ./qemu-img create -q -f raw -o preallocation=falloc /mnt/disk$mode.raw {MIB}M
        done
        {guest.shell(command)}""", bare=True, timeout=TIMEOUT, puts=[
            *guest.puts("6.1", initrd("vda vdb vdc vdd")), *firmware(),
            *(program_of_root(*both) for both in (
                ("mke2fs", "e2fsprogs"), ("qemu-system-x86_64", "qemu-system-x86"), ("qemu-img", "qemu-utils")))])
    return parse(text, [kind + mode for kind, mode in disks])


def measure(root):
    """root(command, **options) runs a command in the root, counted, and gives its output."""
    with concurrent.futures.ThreadPoolExecutor() as machines:
        mine, other = (machine.result() for machine in [machines.submit(ours, root), machines.submit(peer, root)])
    for mode, words in MODES:
        print(f"a guest's disk, {words}: instructions for one")
        for disk, rival in (("dynamic", "qcow2"), ("fixed", "raw")):
            print(f"{'':32}{'VHDX ' + disk:>14}{'KVM, ' + rival:>12}{'ours / KVM':>12}")
            for name, title in PATTERNS:
                a, b = mine[disk + mode, name], other[rival + mode, name]
                print(f"{title:32}{a:14,.0f}{b:12,.0f}{a / b:12.3f}")
