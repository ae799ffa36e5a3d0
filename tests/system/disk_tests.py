"""Disks of a guest: synthetic SCSI and IDE, each format and sector size, and what may happen to a guest that writes."""
import hashlib
import json
import os
import re
import shlex
import subprocess

from harness import BUILD, NOBODY, TROUBLE, VHD, guest, kernels, random_file, test
from labkit import debian, programs

DRIVERS = ["hv_vmbus", "hv_storvsc", "sd_mod", "sr_mod", "isofs", "ext4"]
TOOLS = [("mkfs.ext4", "e2fsprogs"), ("e2fsck", "e2fsprogs"), ("fio", "fio")]
# The disk of tools is the machine's /dev/vda, and the guest's last disk. Guests name disks in no order: theirs is the LUN.
ROOT = "modprobe virtio_blk 2>/dev/null\n"
LUN = """
    lun() { # the disk with this number
        waited=0
        until set -- $1 /sys/bus/scsi/devices/*:0:0:$1/block/* && [ -e "$2" ]; do
            waited=$((waited + 1))
            [ $waited -lt 300 ] || { echo "no LUN $1"; exit 1; }
            usleep 100000
        done
        echo /dev/${2##*/}
    }
"""


def disks(*words):
    return [word for each in words for word in ("--disk", each)]


def puts(t, kernel, command, name="initrd"):
    """The kernel, and an initramfs that loads the drivers and runs the command."""
    architecture = "i386" if kernel.endswith("i386") else "amd64"
    with_drivers = guest.initrd(f"disk-{os.path.basename(t.folder.name)}-{name}", f"set -e\n{LUN}\n{command}",
                                kernels.get(kernel), DRIVERS, architecture)
    return [(kernels.get(kernel).image, "/root/vmlinuz"), (with_drivers, f"/root/{name}"), VHD]


def good(t, text, times=1, trouble=TROUBLE):
    t.same("guests that did all", len(re.findall(r"^guest: status 0$", text, re.M)), times)
    t.calm(text, trouble=trouble + ("I/O error", "EXT4-fs error", "Sense Key"))


FORMATS = {
    "raw.img": "", "fixed.vhd": "--fixed", "dynamic.vhd": "", "small.vhdx": "--sector 512", "emulated.vhdx": "--sector 512e",
    "native.vhdx": "--sector 4k", "fixed.vhdx": "--fixed", "blocks.vhdx": "--block 1M",
}


@test("disk: 6.1 makes, fills and checks a file system on each format and sector size", deadline=800)
def formats(t):
    files = [*FORMATS, "child.vhdx"]
    command = f"""
        mount -t ext4 -o ro $(lun {len(files)}) /mnt
        mount -t devtmpfs dev /mnt/dev
        mount -t proc proc /mnt/proc
        mount -t tmpfs tmp /mnt/tmp
        mkdir /mnt/tmp/d
        for n in $(seq 0 {len(files) - 1}); do
            disk=$(lun $n)
            chroot /mnt mkfs.ext4 -q -F $disk
            mount -t ext4 $disk /mnt/tmp/d
            chroot /mnt fio --name=v --directory=/tmp/d --size=4M --rw=randwrite --bsrange=4k-64k --ioengine=libaio \
                --direct=1 --iodepth=16 --verify=crc32c --verify_fatal=1 >/tmp/fio || {{ cat /tmp/fio; exit 1; }}
            umount /mnt/tmp/d
            chroot /mnt e2fsck -fn $disk >/tmp/fsck || {{ cat /tmp/fsck; exit 1; }}
            echo "done with $n, $(cat /sys/block/${{disk#/dev/}}/queue/logical_block_size)"
        done"""
    make = "\n".join(f"vhd new {name} --size 64M {words}" for name, words in FORMATS.items())
    worker = guest.worker("disks", more=disks(*(f"/root/{name}" for name in files), "/dev/vda,ro"))
    text = t.root(f"""{ROOT} set -e
        {make}
        vhd new parent.vhdx --size 64M
        vhd new child.vhdx --parent parent.vhdx
        {guest.shell(worker)}
        for disk in *.vhd *.vhdx; do vhd test $disk; done""",
                  puts=puts(t, "6.1", command), disks=[programs.disk("tools", TOOLS)])
    good(t, text)
    for n, name in enumerate(files):
        t.has(text, f"done with {n}, {4096 if name == 'native.vhdx' else 512}")


# Without programs: what was written is what is read, past the guest's cache, and then from the file by our tool.
WRITE_AND_READ = """
    head -c 6000000 /dev/urandom >/tmp/data
    n=0
    for disk in /sys/block/sd*; do
        disk=/dev/${disk##*/}
        dd if=/tmp/data of=$disk bs=64k seek=16 conv=fsync 2>/dev/null
        echo 3 >/proc/sys/vm/drop_caches
        dd if=$disk bs=64k skip=16 2>/dev/null | head -c 6000000 | cmp - /tmp/data
        n=$((n + 1))
    done
    echo "written and read: $n"
    echo "sum $(sha256sum </tmp/data)"
"""


def wait_for(number):
    return f"""
        waited=0
        until [ $(ls -d /sys/block/sd* 2>/dev/null | wc -l) = {number} ]; do
            waited=$((waited + 1))
            [ $waited -lt 300 ] || {{ ls /sys/block /sys/bus/vmbus/devices; exit 1; }}
            usleep 100000
        done"""


def flavours(kernel, before=""):
    """A disk on SCSI and four on IDE; what is in the files afterwards is what the guest says."""
    def run(t):
        files = ["/root/s.vhdx", *(f"/root/i{n}.vhd,ide" for n in range(4))]
        text = t.root(f"""set -e
            vhd new s.vhdx --size 16M
            for n in 0 1 2 3; do vhd new i$n.vhd --size 16M; done
            {before}
            {guest.shell(guest.worker("flavours", more=disks(*files)))}
            for disk in s.vhdx i?.vhd; do
                vhd convert $disk back.img
                echo "file $(dd if=back.img bs=64k skip=16 2>/dev/null | head -c 6000000 | sha256sum)"
                rm back.img
            done""", puts=puts(t, kernel, wait_for(5) + WRITE_AND_READ))
        good(t, text)
        t.has(text, "written and read: 5")
        total = re.search(r"^sum (\w+)", text, re.M)[1]
        t.same("what is in the files", re.findall(r"^file (\w+)", text, re.M), [total] * 5)
    return run


test("disk: 6.12 on SCSI and IDE, signals as intercepts", deadline=900)(
    flavours("6.12", "echo N >/sys/module/mshv_vd/parameters/extensions"))
test("disk: 6.1 on SCSI and IDE", deadline=900, soak=True)(flavours("6.1"))
test("disk: i386 on SCSI and IDE", deadline=900)(flavours("6.1-i386"))


@test("disk: past the host's page cache", deadline=900)
def direct(t):
    """The files are on a file system that can do it; the worker has them open so, and what was written is in them."""
    host = t.path("host.ext4")
    os.mkdir(t.path("empty"))
    debian.carrier(host, t.path("empty"), 128 << 20)
    files = ["a.vhdx", "b.vhdx", "c.vhd", "d.img"]
    worker = guest.worker("direct", more=disks(*(f"/mnt/{name},direct" for name in files)), serial="file:/root/out")
    text = t.root(f"""{ROOT} set -e
        mount -t ext4 /dev/vda /mnt
        cd /mnt
        vhd new a.vhdx --size 16M
        vhd new b.vhdx --size 16M --sector 4k
        vhd new c.vhd --size 16M
        vhd new d.img --size 16M
        {guest.shell(worker)} & worker=$!
        until grep -q "guest: ready" /root/out; do kill -0 $worker; sleep 1; done 2>/dev/null
        for file in /proc/$worker/fdinfo/*; do # 040000 is O_DIRECT
            number=${{file##*/}}
            flags=$(sed -n 's/^flags:[^0-9]*//p' $file)
            [ $((flags & 040000)) = 0 ] || echo "direct $(readlink /proc/$worker/fd/$number)"
        done
        wait $worker
        cat /root/out
        for disk in {" ".join(files)}; do
            vhd convert $disk /root/back.raw
            echo "file $(dd if=/root/back.raw bs=64k skip=16 2>/dev/null | head -c 6000000 | sha256sum)"
            rm /root/back.raw
        done""", puts=puts(t, "6.1", wait_for(len(files)) + WRITE_AND_READ), disks=[host])
    good(t, text)
    t.same("files that are open so", sorted(re.findall(r"^direct /mnt/(\S+)", text, re.M)), files)
    total = re.search(r"^sum (\w+)", text, re.M)[1]
    t.same("what is in the files", re.findall(r"^file (\w+)", text, re.M), [total] * len(files))


SG_TOOLS = ["sg_inq", "sg_vpd", "sg_luns", "sg_readcap", "sg_modes", "sg_opcodes", "sg_verify", "sg_unmap", "sg_write_same",
            "sg_get_lba_status", "sg_sync", "sg_turs", "sg_persist", "sg_start"]


@test("disk: what sg3-utils ask of disks, and the guest's hand on the tray of its DVD drive", deadline=900)
def sg_tools(t):
    command = """
        mount -t ext4 -o ro $(lun 3) /mnt
        mount -t devtmpfs dev /mnt/dev
        mount -t proc proc /mnt/proc
        mount -t sysfs sys /mnt/sys
        mount -t tmpfs tmp /mnt/tmp
        sg() { chroot /mnt "$@" || { echo "failed: $*"; exit 1; }; }
        mib() { dd if=$1 bs=1M skip=$2 count=1 iflag=direct 2>/dev/null | sha256sum; }
        for n in 0 1; do
            disk=$(lun $n)
            block=$(cat /sys/block/${disk#/dev/}/queue/logical_block_size)
            per=$((1048576 / block))
            echo "--- disk $block"
            sg sg_inq $disk
            for page in 0 0x80 0x83 0xb0 0xb1 0xb2; do sg sg_vpd --page=$page $disk; done
            sg sg_luns $disk
            sg sg_readcap --16 $disk
            sg sg_modes --all $disk >/dev/null
            sg sg_opcodes $disk | grep -i -e unmap -e "write same" -e "persistent"
            tr '\\0' x </dev/zero | dd of=$disk bs=1M count=8 iflag=fullblock conv=fsync 2>/dev/null
            head -c $block /dev/urandom >/mnt/tmp/block
            sg sg_verify --lba=0 --count=$per $disk
            sg sg_unmap --force --lba=$((2 * per)) --num=$((2 * per)) $disk
            sg sg_write_same --lba=$((5 * per)) --num=$per --in=/tmp/block --xferlen=$block $disk
            sg sg_write_same --16 --unmap --lba=$((6 * per)) --num=$per $disk
            sg sg_get_lba_status --lba=0 --brief $disk
            sg sg_get_lba_status --lba=$((2 * per)) --brief $disk
            sg sg_sync $disk
            sg sg_turs $disk
            echo "written $(mib $disk 1)"; echo "zeros $(mib $disk 2)"; echo "zeros $(mib $disk 3)"
            echo "written $(mib $disk 4)"; echo "zeros $(mib $disk 6)"
            cp /mnt/tmp/block /tmp/all
            while [ $(stat -c %s /tmp/all) -lt 1048576 ]; do cat /tmp/all /tmp/all >/tmp/twice; mv /tmp/twice /tmp/all; done
            [ "$(sha256sum </tmp/all)" = "$(mib $disk 5)" ] && echo "same all over"
            sg sg_persist --no-inquiry --out --register --param-sark=123abc $disk
            sg sg_persist --no-inquiry --out --reserve --param-rk=123abc --prout-type=5 $disk
            sg sg_persist --no-inquiry --in --read-reservation $disk
            sg sg_persist --no-inquiry --out --clear --param-rk=123abc $disk
            sg sg_persist --no-inquiry --in --read-keys $disk
        done
        echo "disc $(sha256sum </dev/sr0)"
        sg sg_start --eject /dev/sr0
        dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null || echo "no disc"
        sg sg_start --load /dev/sr0
        until dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null; do usleep 300000; done
        echo "disc $(sha256sum </dev/sr0)" """
    disc = random_file(t.path("disc.iso"), 2048 * 300)
    worker = guest.worker("sg", more=[*disks("/root/a.vhdx", "/root/b.vhdx"), "--dvd", "/root/disc.iso", *disks("/dev/vda,ro")])
    text = t.root(f"""{ROOT} set -e
        vhd new a.vhdx --size 64M --block 1M
        vhd new b.vhdx --size 64M --block 1M --sector 4k
        {guest.shell(worker)}
        for disk in a.vhdx b.vhdx; do
            vhd test $disk || [ $? = 4 ] # what was unmapped
            vhd convert $disk back.img
            for n in 1 2 3 4 6; do echo "mib $n $(dd if=back.img bs=1M skip=$n count=1 2>/dev/null | sha256sum)"; done
            rm back.img
        done""", puts=[*puts(t, "6.1", command), (disc, "/root/disc.iso")],
                  disks=[programs.disk("sg", [(name, "sg3-utils") for name in SG_TOOLS])])
    good(t, re.sub(r".*dev sr0, .*\n", "", text))  # the empty drive is read, once
    written, zeros = (hashlib.sha256(byte * (1 << 20)).hexdigest() for byte in (b"x", b"\0"))
    for block, part in zip((512, 4096), text.split("--- disk ")[1:]):
        for wanted in (f"{block}\n", "Vendor identification: Msft", f"Logical block length={block} bytes", "lbpme=1", "same all over",
                       "Key=0x123abc", "Write Exclusive, registrants only", "there are NO registered reservation keys"):
            t.has(part, wanted)
        t.same("parts of the disk", re.findall(r"^(written|zeros) (\w+)", part, re.M),
               [("written", written), ("zeros", zeros), ("zeros", zeros), ("written", written), ("zeros", zeros)])
    t.same("parts of the files", re.findall(r"^mib \d (\w+)", text, re.M), [written, zeros, zeros, written, zeros] * 2)
    with open(disc, "rb") as file:
        there = "disc " + hashlib.sha256(file.read()).hexdigest()
    t.same("what the drive reads", re.findall(r"^(disc \w+|no disc)", text, re.M), [there, "no disc", there])


@test("disk: a guest that is rebooted ten times finds its disk each time", deadline=1000)
def reboots(t):
    """The same worker, so the same server of VMBus; what a guest wrote is there for the next."""
    command = """
        disk=$(lun 0)
        n=$(dd if=$disk bs=512 count=1 2>/dev/null | tr -d '\\0')
        n=$((${n:-0} + 1))
        echo "boot $n"
        echo $n | dd of=$disk bs=512 conv=sync,fsync 2>/dev/null
        dd if=$disk of=/dev/null bs=1M 2>/dev/null &
        [ $n -gt 10 ] || reboot -f
        wait"""
    text = t.root(f"""vhd new a.vhdx --size 64M
        {guest.shell(guest.worker("again", vps=1, more=disks("/root/a.vhdx")))}""", puts=puts(t, "6.1", command))
    good(t, text)
    t.same("boots", re.findall(r"^boot (\d+)$", text, re.M), [str(n) for n in range(1, 12)])


# The guest's disks: one to write to, its kernel and its initramfs, and the program that starts them.
NEXT_KERNEL = """
    bring() { dd if=$(lun $1) of=/$2 bs=1M 2>/dev/null; } # kexec takes regular files
    word() { sed -n "s/.*\\b$1=\\([a-z0-9]*\\).*/\\1/p" /proc/cmdline; }
    next() { # how, words
        bring 1 next-kernel; bring 2 next-initrd; bring 3 kexec
        chmod 755 /kexec
        /kexec $1 /next-kernel /next-initrd "$2"
        rm /next-kernel /next-initrd
    }
    fill() { # a new megabyte on the disk, and all that is known of it
        dd if=/dev/urandom of=$(lun 0) bs=64k count=16 seek=$((16 * $1)) conv=fsync 2>/dev/null
        echo "boot $1 wrote $(dd if=$(lun 0) bs=64k count=16 skip=$((16 * $1)) 2>/dev/null | sha256sum)"
    }
    look() { echo "boot $1 finds $(dd if=$(lun 0) bs=64k count=16 skip=$((16 * $2)) 2>/dev/null | sha256sum)"; }
    busy() { (while :; do dd if=$(lun 0) of=/dev/null bs=64k count=64 iflag=direct; done) 2>/dev/null & }
"""


def other_kernel(t, kernel, command, vps=2, append="", memory="512M", trouble=TROUBLE):
    """A guest that can start its kernel by itself; what it says."""
    worker = guest.worker("next", vps=vps, memory=memory, append=append,
                          more=disks("/root/a.vhdx", "/root/1.img,ro", "/root/2.img,ro", "/root/3.img,ro"))
    text = t.root(f"""vhd new a.vhdx --size 64M
        n=0
        for file in vmlinuz initrd kexec; do
            n=$((n + 1))
            cp $file $n.img
            truncate -s $(((($(stat -c %s $file) + 511) / 512) * 512)) $n.img
        done
        {guest.shell(worker)} && vhd test a.vhdx""",
                  puts=[*puts(t, kernel, NEXT_KERNEL + command), (os.path.join(BUILD, "tests/system/kexec"), "/root/kexec")])
    good(t, text, trouble=trouble)
    wrote = dict(re.findall(r"^boot (\d+) wrote (\w+)", text, re.M))
    found = re.findall(r"^boot (\d+) finds (\w+)", text, re.M)
    return text, wrote, found


def kexec(kernel):
    def run(t):
        """Twice, with reads under way: the old kernel's requests end before the new one has its memory."""
        text, wrote, found = other_kernel(t, kernel, """
            boot=$(word boot)
            fill ${boot:=0}
            [ $boot = 0 ] || look $boot $((boot - 1))
            [ $boot = 2 ] && exit 0
            next load "console=ttyS0 panic=-1 loglevel=5 boot=$((boot + 1))"
            busy
            sleep 1
            /kexec go""")
        t.same("what each kernel finds", found, [("1", wrote["0"]), ("2", wrote["1"])])
    return run


for kernel_ in ("6.1", "6.12"):
    test(f"disk: {kernel_} starts its own kernel anew by kexec", deadline=900, soak=kernel_ == "6.1")(kexec(kernel_))


@test("disk: the disk of a guest that panics while it reads and writes", deadline=900)
def panics(t):
    """It is reset by its own panic, then by a crash kernel's end: each kernel has the disk."""
    text, wrote, found = other_kernel(t, "6.1", """
        if [ "$(word crash)" = 1 ]; then
            look 2 1
            fill 2
            reboot -f
        fi
        before=$(dd if=$(lun 0) bs=64k count=1 skip=900 2>/dev/null | tr -d '\\0')
        boot=${before:-0}
        echo $((boot + 1)) | dd of=$(lun 0) bs=64k seek=900 conv=sync,fsync 2>/dev/null
        case $boot in
        0)  fill 0 ;;
        1)  look 1 0
            fill 1
            next panic "console=ttyS0 panic=-1 loglevel=5 nr_cpus=1 crash=1" ;;
        2)  look 3 2
            exit 0 ;;
        esac
        busy
        sleep 1
        echo c >/proc/sysrq-trigger""", append="crashkernel=192M", memory="768M",
                                    trouble=("soft lockup", "hung task"))
    t.same("what each kernel finds", found, [("1", wrote["0"]), ("2", wrote["1"]), ("3", wrote["2"])])


@test("disk: a worker killed while its guest writes leaves a whole file system", deadline=900)
def killed(t):
    """What the guest was told to be on the disk is there: it names each file that it has synced."""
    command = """
        mount -t ext4 $(lun 0) /mnt
        n=0
        while :; do
            n=$((n + 1))
            head -c 50000 /dev/urandom >/mnt/$n
            sha256sum </mnt/$n >/mnt/$n.sum
            sync
            echo "synced $n"
        done"""
    worker = guest.shell(guest.worker("killed", more=disks("/root/a.vhdx"), serial="file:/root/out"))
    text = t.root(f"""
        ./mke2fs -q -t ext4 new.img 64M && vhd convert new.img a.vhdx || exit 1
        {worker} & worker=$!
        until [ "$(grep -c "^synced" out)" -ge 20 ]; do sleep 1; done 2>/dev/null
        kill -9 $worker; wait $worker
        last=$(grep -c "^synced" out)
        vhd convert a.vhdx back.img || exit 1
        ./e2fsck -fp back.img; echo "first look $?"
        ./e2fsck -fn back.img; echo "second look $?"
        for n in $(seq $last); do
            ./debugfs -R "cat $n" back.img 2>/dev/null | sha256sum >sum
            ./debugfs -R "cat $n.sum" back.img 2>/dev/null | cmp -s - sum && echo "whole $n"
        done
        echo "synced: $last" """, puts=[*puts(t, "6.1", command), *(
            (programs.program(name, "e2fsprogs"), f"/root/{name}") for name in ("mke2fs", "e2fsck", "debugfs"))])
    last = int(re.search(r"^synced: (\d+)", text, re.M)[1])
    t.check(re.search(r"^first look [01]$", text, re.M), "the journal does not make the file system whole")
    t.has(text, "second look 0")
    t.same("files that are whole", len(re.findall(r"^whole ", text, re.M)), last)


LAYERS, LAYER_DISK = 8, 24 << 20


def write_by_nbd(disk, commands):
    """Have qemu-io write to a disk that our tool exports."""
    folder = os.path.dirname(disk)
    server = subprocess.Popen([VHD[0], "mount", disk, "--socket", f"{folder}/nbd", "--once"], stdout=subprocess.DEVNULL)
    while not os.path.exists(f"{folder}/nbd"):
        if server.poll() is not None:
            raise AssertionError(f"vhd mount ended with {server.returncode}")
    words = [word for each in commands for word in ("-c", each)]
    subprocess.run(["qemu-io", "-f", "raw", *words, f"nbd+unix:///?socket={folder}/nbd"], check=True, stdout=subprocess.DEVNULL)
    server.wait()
    if os.path.exists(f"{folder}/nbd"):
        os.unlink(f"{folder}/nbd")


def chain(t):
    """Files of a chain, the base first, each with something of its own; and what the top of it reads as."""
    image = bytearray(LAYER_DISK)
    files = []
    for n in range(LAYERS):
        files.append(t.path(f"layer{n}.vhdx"))
        how = ["--parent", files[n - 1]] if n else ["--size", str(LAYER_DISK), "--block", "1M"]
        subprocess.run([VHD[0], "new", files[n], *how], check=True, stdout=subprocess.DEVNULL)
        writes = [((n + k) * 1500000 // 4096 * 4096, 300 << 10, 16 * n + k + 1) for k in range(4)]
        write_by_nbd(files[n], [f"write -P {byte} {at} {length}" for at, length, byte in writes])
        for at, length, byte in writes:
            image[at:at + length] = bytes([byte]) * length
    return files, image


@test("disk: two guests write at once, one of them to the top of a chain of eight", deadline=900)
def chain_of_eight(t):
    files, image = chain(t)
    end = LAYER_DISK - (1 << 20)
    command = f"""
        disk=$(lun 0)
        echo "read $(sha256sum <$disk)"
        tr '\\0' x </dev/zero | dd of=$disk bs=64k count=16 seek={end >> 16} iflag=fullblock conv=fsync 2>/dev/null
        cp $disk /tmp/all
        echo "then $(sha256sum </tmp/all)"
    """
    top = f"/root/layer{LAYERS - 1}.vhdx"
    one = guest.shell(guest.worker("one", memory="256M", serial="file:/root/one", more=disks(top)))
    other = guest.shell(guest.worker("other", memory="256M", serial="file:/root/other", more=disks("/root/b.vhdx")))
    other = other.replace("/root/initrd", "/root/initrd-2")
    text = t.root(f"""vhd new b.vhdx --size 16M
        {one} & one=$!
        {other} & other=$!
        wait $one; echo "one: $?"; wait $other; echo "other: $?"
        cat one other
        vhd info {top} --chain
        for n in $(seq {LAYERS - 1} -1 1); do vhd merge layer$n.vhdx || exit 1; done
        ls layer*
        vhd test layer0.vhdx && vhd convert layer0.vhdx back.img && echo "merged $(sha256sum <back.img)" """,
                  puts=[*puts(t, "6.1", command), *puts(t, "6.1", wait_for(1) + WRITE_AND_READ, "initrd-2"),
                        *((path, f"/root/{os.path.basename(path)}") for path in files)])
    good(t, text, 2)
    t.has(text, "written and read: 1")
    before = hashlib.sha256(image).hexdigest()
    image[end:] = b"x" * (1 << 20)
    after = hashlib.sha256(image).hexdigest()
    t.has(text, f"read {before}")
    t.has(text, f"then {after}")
    t.has(text, f"merged {after}")


@test("disk: a disk and a DVD come and go while the guest runs", deadline=900)
def hot_plug(t):
    command = """
        disk=$(lun 5)
        echo "came: $disk"
        dd if=/dev/urandom of=$disk bs=64k count=16 conv=fsync 2>/dev/null
        echo "wrote $(head -c 1048576 $disk | sha256sum)"
        while [ -e /sys/block/${disk#/dev/} ]; do usleep 100000; done
        echo "went"
        until [ -e /dev/sr0 ]; do usleep 100000; done
        until dd if=/dev/sr0 of=/tmp/disc bs=2048 2>/dev/null && [ -s /tmp/disc ]; do usleep 300000; done
        echo "disc $(sha256sum </tmp/disc)"
        until ! dd if=/dev/sr0 of=/dev/null bs=2048 count=1 2>/dev/null; do usleep 300000; done
        echo "empty again" """
    worker = guest.shell(guest.worker("plug", more=["--control", "/root/control"], serial="file:/root/out"))
    disc = random_file(t.path("disc.iso"), 2048 * 300)
    vmctl = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")
    text = t.root(f"""
        vhd new base.vhdx --size 16M
        vhd new middle.vhdx --parent base.vhdx
        vhd new a.vhdx --parent middle.vhdx
        {worker} & worker=$!
        seen() {{ until grep -q "$1" out; do kill -0 $worker || exit 1; sleep 1; done; }}
        refused() {{ "$@" 2>&1 && exit 1; }}
        seen "guest: ready"
        vmctl control attach 5 a.vhdx || exit 1
        seen "^wrote"
        vmctl control status | sed -n 's/ *MiB/ MiB/; s/^scsi/has scsi/p'
        refused vmctl control attach 5 a.vhdx
        refused vmctl control attach 64 a.vhdx
        refused vmctl control attach 6 a.vhdx middle.vhdx
        vmctl control detach 5 || exit 1
        seen "^went"
        refused vmctl control detach 5
        vhd convert a.vhdx back.img && echo "file $(head -c 1048576 back.img | sha256sum)"
        vmctl control dvd 3 || exit 1
        vmctl control insert 3 disc.iso || exit 1
        seen "^disc"
        vmctl control eject 3 || exit 1
        wait $worker; echo "worker: $?"
        cat out""", puts=[*puts(t, "6.1", command), (disc, "/root/disc.iso"), vmctl])
    t.has(text, "worker: 0")
    t.has(text, "has scsi 5     disk a.vhdx, 16 MiB")
    t.same("guests that did all", text.count("guest: status 0"), 1)
    t.same("what is in the file", re.search(r"^file (\w+)", text, re.M)[1], re.search(r"^wrote (\w+)", text, re.M)[1])
    with open(disc, "rb") as file:
        t.has(text, "disc " + hashlib.sha256(file.read()).hexdigest())


@test("disk: a guest of descriptors alone, by a user who may open none of what they are", deadline=600)
def descriptors(t):
    command = """
        disk=$(lun 5)
        dd if=/dev/urandom of=$disk bs=64k count=16 conv=fsync 2>/dev/null
        echo "wrote $(head -c 1048576 $disk | sha256sum)" """
    document = {"name": "given", "memory": "512M", "vps": 2, "kernel": {"fd": 5}, "initrd": {"fd": 6}, "append": guest.CMDLINE,
                "device": {"fd": 7}, "serial": {"to": "stdio"}, "disks": [{"file": {"fd": 8, "name": "a.vhdx"}, "number": 5}]}
    text = t.root(f"""
        {NOBODY}
        vhd new a.vhdx --size 16M
        echo {shlex.quote(json.dumps(document))} >config
        chmod 600 vmlinuz initrd a.vhdx config
        ulimit -l unlimited
        exec 5<vmlinuz 6<initrd 7<>/dev/mshv 8<>a.vhdx 9<config
        su nobody -c 'head -c 1 vmlinuz a.vhdx /dev/mshv config; exec vmwp --config fd:9' 2>&1; echo "worker: $?"
        exec 8<&-
        vhd convert a.vhdx back.img && echo "file $(head -c 1048576 back.img | sha256sum)" """, puts=puts(t, "6.1", command))
    t.same("files that may not be opened", text.count("Permission denied"), 4)
    t.has(text, "worker: 0")
    good(t, text)
    t.same("what is in the file", re.search(r"^file (\w+)", text, re.M)[1], re.search(r"^wrote (\w+)", text, re.M)[1])


@test("disk: files that do not answer keep a job waiting, and neither the guest nor who manages it", deadline=900)
def hangs(t):
    command = """
        while :; do
            disk=$(lun 5) # another name, when it comes again
            # Nothing of this may fail by itself, which would end the loop: the disk may be on its way out.
            blockdev --flushbufs $disk 2>/dev/null && dd if=$disk of=/dev/null bs=64k 2>/dev/null && echo "read"
            usleep 100000
        done &
        n=0
        while :; do
            n=$((n + 1))
            echo "tick $n"
            usleep 300000
        done """
    worker = guest.shell(guest.worker("hangs", more=["--control", "/root/control"], serial="file:/root/out"))
    vmctl = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")
    text = t.root(f"""
        head -c 8388608 /dev/urandom >a.img
        head -c 8388608 /dev/urandom >b.img
        vhd new base.vhdx --size 16M
        a=$(vhd attach a.img) b=$(vhd attach b.img) || exit 1
        {worker} & worker=$!
        seen() {{ until grep -q "$1" out; do kill -0 $worker || exit 1; sleep 1; done; }}
        some_more() {{ # lines like this
            before=$(grep -c "$1" out)
            until [ $(grep -c "$1" out) -gt $((before + 2)) ]; do kill -0 $worker || exit 1; usleep 300000; done
        }}
        job() {{ until vmctl control jobs | grep "$1"; do kill -0 $worker || exit 1; usleep 300000; done; }}
        refused() {{ "$@" 2>&1 && exit 1; }}
        seen "guest: ready"
        vmctl control attach-raw 5 $a || exit 1
        servers="$(cat /sys/block/${{a#/dev/}}/pid) $(cat /sys/block/${{b#/dev/}}/pid)"
        hang() {{ # until no read comes back
            some_more ^read
            kill -STOP $servers
            before=
            until [ "$(grep -c ^read out)" = "$before" ]; do
                before=$(grep -c ^read out)
                echo 3 >/proc/sys/vm/drop_caches
                sleep 3
            done
        }}
        hang
        vmctl --no-wait control attach 6 $b base.vhdx
        vmctl --no-wait control detach 5
        job "disk.attach  6 running: opening the files"
        job "disk.detach  5 running: waiting for the guest's requests"
        refused vmctl control detach 5
        refused vmctl control cancel 3
        vmctl control cancel 2 || exit 1
        some_more ^tick
        vmctl --no-wait control pause || exit 1
        job "pause  *running: waiting for the guest's requests"
        vmctl control status | grep "^state *pausing" || exit 1
        vmctl control resume || exit 1
        job "pause  *cancelled"
        vmctl control dvd 3 || exit 1
        some_more ^tick
        kill -CONT $servers
        job "disk.attach  6 cancelled"
        job "disk.detach  5 done"
        some_more ^tick
        vmctl control status
        vmctl control pause && vmctl control resume || exit 1
        vmctl control attach-raw 5 $a || exit 1
        hang
        vmctl control off
        until vmctl control status | grep -q stopping; do kill -0 $worker || exit 1; usleep 300000; done
        echo "it stops, and answers"
        kill -CONT $servers
        wait $worker; echo "worker: $?"
        vhd detach $a && vhd detach $b && echo "nobody has them" """, puts=[*puts(t, "6.1", command), vmctl])
    t.has(text, "worker: 6")
    t.has(text, "it stops, and answers")
    t.has(text, "disk 5 is in the hands of job 3")
    t.has(text, "job 3 has gone too far")
    t.check(not re.search(r"^scsi [56] ", text, re.M), "a disk is still there")
    t.has(text, "nobody has them")


def partitioned(path, size, first, sectors):
    """A raw disk with an MBR of one partition, and random data in that."""
    with open(path, "wb") as file:
        file.truncate(size)
        file.seek(446)
        file.write(bytes(4) + b"\x83" + bytes(3) + first.to_bytes(4, "little") + sectors.to_bytes(4, "little"))
        file.seek(510)
        file.write(b"\x55\xaa")
        file.seek(first * 512)
        file.write(os.urandom(sectors * 512))
    return path


@test("disk: vhd attach makes a block device with its partitions", deadline=400)
def attach(t):
    image = partitioned(t.path("a.img"), 8 << 20, 2048, 4096)
    text = t.root("""set -e
        refused() { if "$@"; then echo "not refused: $*"; exit 1; fi; }
        beginning() { dd if=$1 bs=1M count=1 2>/dev/null | tr -d x | wc -c; }
        vhd convert a.img a.vhdx
        device=$(vhd attach a.vhdx)
        echo "$(blockdev --getsize64 $device) bytes, read-only $(blockdev --getro $device)"
        dd if=a.img bs=1M skip=1 count=2 2>/dev/null | cmp - ${device}p1
        mkswap ${device}p1 >/dev/null
        swapon ${device}p1
        refused vhd detach $device
        swapoff ${device}p1
        tr '\\0' x </dev/zero | dd of=${device}p1 bs=64k count=16 iflag=fullblock 2>/dev/null
        vhd detach $device
        refused [ -e ${device}p1 ]
        refused [ -e /sys/block/nbd0/pid ]
        refused vhd detach $device
        vhd test a.vhdx
        device=$(vhd attach a.vhdx --read-only)
        echo "$(blockdev --getsize64 $device) bytes, read-only $(blockdev --getro $device)"
        echo "holds $(beginning ${device}p1)"
        refused dd if=/dev/zero of=$device bs=512 count=1
        kill $(cat /sys/block/nbd0/pid)
        while [ -e /sys/block/nbd0/pid ] || ! vhd resize a.vhdx +1M; do usleep 100000; done
        echo "all done" """, bare=True, puts=[(image, "/root/a.img"), VHD])
    for read_only in (0, 1):
        t.has(text, f"{8 << 20} bytes, read-only {read_only}")
    t.has(text, "holds 0")
    t.has(text, "all done")
