"""Machines of generation 1: what their BIOS starts, and what runs on their emulated parts."""
import re

from harness import TROUBLE, VHD, guest, kernels, test
from labkit import bios

POWERED_OFF, RESET = 0, 3
BIOS = "/usr/share/seabios/bios-256k.bin"  # of the package seabios, which QEMU's brings along
DRIVERS = ("ata_piix", "sd_mod", "sr_mod", "isofs")
GIB = 200  # of the disk for data, whose end 28 bits of an address do not reach

DISC = """
echo "grub: from the disc"
set disc=yes
export disc
configfile (hd0,msdos1)/grub/grub.cfg
"""

DISK = f"""
if [ "$disc" = yes ]; then
    linux (hd0,msdos1)/vmlinuz {guest.CMDLINE}
    initrd (hd0,msdos1)/initrd
    boot
fi
echo "grub: from the disk"
hexdump -s {(GIB << 30) - 512} -n 16 (hd1)
reboot
"""

# The other disk by DMA, then with it forbidden; what was written last lies at the disk's very end.
LINUX = f"""
data() {{ for d in sda sdb; do [ "$(cat /sys/block/$d/size)" = {GIB << 21} ] && echo /dev/$d; done; }}
end=$(( ({GIB} << 30) - (1 << 20) ))
dd if=/dev/urandom of=/tmp/a bs=64k count=64 2>/dev/null
dd if=/tmp/a of=$(data) bs=64k seek=3 oflag=direct 2>/dev/null
dd if=$(data) of=/tmp/b bs=64k skip=3 count=64 iflag=direct 2>/dev/null
cmp /tmp/a /tmp/b && echo "guest: by DMA"
mount -t iso9660 -o ro /dev/sr0 /mnt && grep "from the disc" /mnt/boot/grub/grub.cfg
umount /mnt
dmesg | grep -o 'configured for [A-Z]*DMA' | sort | uniq -c
rmmod ata_piix && rmmod libata && insmod /lib/modules/libata.ko dma=0 && insmod /lib/modules/ata_piix.ko
until [ -n "$(data)" ] && [ -b /dev/sda ] && [ -b /dev/sdb ]; do sleep 1; done
dmesg | grep -o 'configured for PIO' | sort | uniq -c
dd if=$(data) of=/tmp/b bs=64k skip=3 count=4 iflag=direct 2>/dev/null
dd if=/tmp/a of=/tmp/c bs=64k count=4 2>/dev/null
cmp /tmp/b /tmp/c && echo "guest: by PIO"
dd if=/tmp/a of=/tmp/c bs=64k skip=8 count=4 2>/dev/null
dd if=/tmp/c of=$(data) bs=64k seek=200 oflag=direct 2>/dev/null
printf 'the very end....' | dd of=/tmp/e bs=512 conv=sync 2>/dev/null
dd if=/tmp/e of=$(data) bs=512 seek=$(( ({GIB} << 21) - 1 )) oflag=direct 2>/dev/null
echo "guest: first $(md5sum </tmp/a)"
echo "guest: later $(md5sum </tmp/c)"
sync
"""


@test("bios: GRUB of a disc and of a disk, and Linux on its IDE drives, by DMA and by PIO", deadline=900)
def drives(t):
    kernel = kernels.get("6.1")
    initrd = guest.initrd("ide", LINUX, kernel=kernel, drivers=DRIVERS)
    disk = bios.disk("ide.img", DISK, [("vmlinuz", kernel.image), ("initrd", initrd)])
    words = ["vmwp", "--name", "ide", "--generation", "1", "--disk", "/root/boot.img,ide,raw", "--disk", "/root/data.vhdx,ide",
             "--memory", "256M", "--vps", "2", "--serial", "stdio", "--on-reset", "exit"]
    text = t.root(f"""
        vhd create /root/data.vhdx --size {GIB}G
        {guest.shell([*words, "--iso", "/root/disc.iso", "--firmware-log", "/root/log"])} </dev/null; echo ended with $?
        {guest.shell(words)} </dev/null; echo ended with $?
        grep drive /root/log
        modprobe nbd && data=$(vhd attach /root/data.vhdx --read-only) || exit 1
        echo "file: first $(dd if=$data bs=64k skip=3 count=64 2>/dev/null | md5sum)"
        echo "file: later $(dd if=$data bs=64k skip=200 count=4 2>/dev/null | md5sum)"
        vhd detach $data""",
                  puts=[(BIOS, BIOS), VHD, (disk, "/root/boot.img"), (bios.disc("ide.iso", DISC), "/root/disc.iso")])
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)  # a BIOS says where its cursor is, amidst words
    for said in ("grub: from the disc", "guest: by DMA", 'echo "grub: from the disc"', "guest: by PIO", f"ended with {POWERED_OFF}\n",
                 "grub: from the disk", f"ended with {RESET}\n"):
        t.has(text, said)
    t.check(re.search(r"[23] configured for U?DMA", text), "Linux does not use DMA")
    t.check(re.search(r"[23] configured for PIO", text), "Linux does not use PIO")
    for which in ("first", "later"):
        sums = re.findall(rf"(?:guest|file): {which} (\w+)", text)
        t.check(len(sums) == 2 and sums[0] == sums[1], f"what was written {which}: {sums}")
    t.has(text, "the very end....")  # as GRUB reads it by the BIOS
    for word in TROUBLE:
        t.check(not re.search(word, text), f"the guest's log has {word!r}")
