"""Machines of generation 2: what their UEFI firmware starts, and what it remembers."""
import os
import re

from harness import BUILD, TROUBLE, VHD, guest, kernels, test
from labkit import bios, png
from labkit.bios import words_of
from save_tests import VMCTL

POWERED_OFF, BAD_USAGE, RESET = 0, 2, 3
SWTPM = [("/usr/bin/swtpm", "/usr/bin/swtpm")]
OVMF = [(path, path) for path in ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd")]  # of the package ovmf



@test("uefi: the firmware's shell, whose variables outlive the machine", deadline=900)
def variables(t):
    words = ["vmwp", "--name", "uefi", "--generation", "2", "--memory", "256M", "--vps", "2", "--serial", "stdio", "--on-reset", "exit",
             "--firmware-variables", "/root/variables"]
    text = t.root(f"""
        reply() {{ until grep -q "$1" said || ! kill -0 $worker 2>/dev/null; do sleep 1; done; printf "$2" >&3; }}
        run() {{
            mkfifo $1; exec 3<>$1; {guest.shell(words)} <&3 >said 2>&1 & worker=$!
            reply "any other key" '\\033'; reply "Shell>" "$2"; wait $worker; echo ended with $?; cat said; rm $1
        }}
        run one 'set remembered yes\\rreset -c\\r'
        run two 'set remembered\\rreset -s\\r'
        printf x | dd of=/root/variables bs=1 seek=41 conv=notrunc 2>/dev/null
        {guest.shell(words)}; echo ended with $?
        """, puts=OVMF)
    first, second, third = words_of(text).split("ended with ")[1:]
    t.has(first, f"{RESET}\n")
    t.has(first, "UEFI Interactive Shell")
    t.has(second, f"{POWERED_OFF}\n")
    t.has(second, "remembered = yes")
    t.has(second, "/root/variables: it does not begin as variables of UEFI firmware do")
    t.has(third, f"{BAD_USAGE}\n")


DISK = f"""
echo "grub: from the disk"
linux /vmlinuz {guest.CMDLINE}
initrd /initrd
boot
"""

DISC = """
echo "grub: from the disc"
halt
"""

LINUX = """
[ -d /sys/firmware/efi ] && echo "guest: started by EFI"
until [ -b /dev/sda ] && [ -b /dev/sdb ]; do sleep 1; done
for d in /sys/block/sd?; do readlink -f $d; done | grep -ci vmbus | sed 's/^/guest: disks on VMBus: /'
ls /sys/bus/pci/devices | wc -l | sed 's/^/guest: PCI functions: /'
head -c 16 /dev/sda; echo; head -c 16 /dev/sdb; echo
mount -t efivarfs efivarfs /sys/firmware/efi/efivars
printf '\\007\\0\\0\\0remembered by Linux' >/sys/firmware/efi/efivars/Test-12345678-1234-1234-1234-123456789abc && echo "guest: a variable"
"""


@test("uefi: GRUB of a disk and of a disc, Linux on VMBus alone, which writes a variable", deadline=900)
def drives(t):
    kernel = kernels.get("6.1")
    initrd = guest.initrd("uefi", LINUX, kernel=kernel, drivers=("hv_storvsc", "sd_mod", "efivarfs"))
    disk = bios.efi_disk("uefi.img", DISK, [("vmlinuz", kernel.image), ("initrd", initrd)])
    words = ["vmwp", "--name", "uefi", "--generation", "2", "--disk", "/root/boot.img,raw", "--disk", "/root/data.img,raw",
             "--memory", "512M", "--vps", "2", "--serial", "stdio", "--on-reset", "exit", "--firmware-variables", "/root/variables"]
    text = t.root(f"""
        printf 'the second disk.' | dd of=/root/data.img bs=1M conv=sync 2>/dev/null
        {guest.shell(words)} </dev/null; echo ended with $?
        grep -c "remembered by Linux" /root/variables | sed 's/^/file: variables: /'
        {guest.shell([*words, "--iso", "/root/disc.iso"])} </dev/null; echo ended with $?""",
                  puts=[*OVMF, (disk, "/root/boot.img"), (bios.disc("uefi.iso", DISC, bios.UEFI), "/root/disc.iso")])
    text = words_of(text)
    for said in ("grub: from the disk", "guest: started by EFI", "guest: 2 VPs online", "guest: disks on VMBus: 2", "guest: PCI functions: 0",
                 "the second disk.", "guest: a variable", "file: variables: 1", "grub: from the disc"):
        t.has(text, said)
    t.check(text.count(f"ended with {POWERED_OFF}\n") == 2, "Linux and GRUB both turn the machine off")
    for word in TROUBLE:
        t.check(not re.search(word, text), f"the guest's log has {word!r}")


SECURE = """
dmesg | grep -i "secureboot:" | sed 's/.*secureboot/guest: secureboot/'
mount -t securityfs securityfs /sys/kernel/security
cat /sys/kernel/security/lockdown | sed 's/^/guest: lockdown /'
cd /sys/class/tpm/tpm0 && echo "guest: TPM $(cat tpm_version_major)"
[ "$(cat pcr-sha256/7)" != "$(printf '%064d' 0)" ] && echo "guest: the TPM knows what Secure Boot let pass"
[ "$(wc -c </sys/kernel/security/tpm0/binary_bios_measurements)" -gt 1000 ] && echo "guest: a log of the boot"
"""


@test("uefi: with keys, what nobody signed is refused, and the screen says so; shim, GRUB and kernel of Debian's say that Secure Boot is on, and the TPM what was started", deadline=900)
def keys(t):
    words = ["vmwp", "--generation", "2", "--vps", "1", "--secure-boot", "microsoft"]
    refused = [*words, "--name", "refused", "--memory", "256M", "--disk", "/root/boot.img,raw", "--serial", "file:/root/serial", "--vga", "--control", "/root/control"]
    signed = [*words, "--name", "signed", "--memory", "512M", "--disk", "/root/signed.img,raw", "--serial", "stdio", "--on-reset", "exit", "--tpm", "/root/tpm"]
    kernel = kernels.get("6.1")
    disk = bios.signed_disk("signed.img", DISK, [("vmlinuz", kernel.image), ("initrd", guest.initrd("secure", SECURE, kernel=kernel))])
    text = t.root(f"""
        {guest.shell(refused)} </dev/null & worker=$!
        until grep -q "Press any key" /root/serial 2>/dev/null || ! kill -0 $worker; do sleep 1; done
        vmctl /root/control screenshot /root/screen.png
        vmctl /root/control off; wait $worker; cat /root/serial
        echo "--- signed"
        {guest.shell(signed)} </dev/null; echo ended with $?""",
                  puts=[OVMF[0], *SWTPM, ("/usr/share/OVMF/OVMF_VARS_4M.ms.fd",) * 2, (bios.efi_disk("keys.img", DISK, []), "/root/boot.img"), (disk, "/root/signed.img"),
                        (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")],
                  gets=[("/root/screen.png", t.path("screen.png"))])
    unsigned, signed = words_of(text).split("--- signed")
    t.has(unsigned, "Access Denied")
    t.has(unsigned, "No bootable option or device was found")
    t.check(re.search(r"^vmwp: refused: the firmware found nothing to start; it tried Boot0001 .*: Access Denied", unsigned, re.M), "the worker's log does not say why")
    t.check("grub:" not in unsigned, "GRUB was started, which nobody has signed")
    width, height, pixels = png.read(t.path("screen.png"))
    t.check(len(set(pixels)) > 2, f"the screen of {width} by {height} is empty")
    for said in ("grub: from the disk", "guest: secureboot: Secure boot enabled", "[integrity]", "guest: TPM 2", "guest: the TPM knows what Secure Boot let pass",
                 "guest: a log of the boot", f"ended with {POWERED_OFF}\n"):
        t.has(signed, said)


# What it tells is numbered, and so are a variable and a register of the TPM, which it keeps in its memory too: what differs is of two moments.
VALUE = r"""
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
    variable=/sys/firmware/efi/efivars/tick-cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0
    register() { tr -d ' \n' </sys/class/tpm/tpm0/pcr-sha256/16 | tr A-F a-f; }
    extend() { # REGISTER, which becomes another: that and 32 bytes
        bytes=; for i in $(seq 32); do bytes="$bytes\\$(printf %03o $((n % 256)))"; done
        pcr=$( (printf "$(echo $1 | sed 's/../\\x&/g')"; printf "$bytes") | sha256sum | cut -c1-64)
        exec 3<>/dev/tpm0
        printf '\200\002\000\000\000\101\000\000\001\202\000\000\000\020\000\000\000\011\100\000\000\011\000\000\000\000\000\000\000\000\001\000\013'"$bytes" >&3
        head -c 10 <&3 >/answer
        exec 3>&-
    }
    until [ -b /dev/sda ] && [ -b /dev/sdb ]; do usleep 100000; done
    disk=sda; [ "$(cat /sys/block/sda/ro)" = 0 ] || disk=sdb
    echo "guest: found $(tail -c 8 $variable 2>/dev/null) in $variable"
    n=0; pcr=$(register)
    while :; do
        n=$((n + 1))
        printf '\007\000\000\000%08d' $n >$variable
        extend $pcr
        sync; printf '%08d' $n | dd of=/dev/$disk bs=512 conv=sync oflag=direct 2>/dev/null
        [ "$(tail -c 8 $variable)" = "$(printf %08d $n)" ] || echo "lost: variable $n is $(tail -c 8 $variable)"
        [ "$(register)" = "$pcr" ] || echo "lost: TPM $n: $(register), should be $pcr"
        [ "$(dd if=/dev/$disk bs=512 count=1 iflag=direct 2>/dev/null | head -c 8)" = "$(printf %08d $n)" ] || echo "lost: disk $n"
        echo "tick $n $(cut -d' ' -f1 /proc/uptime) $(date +%s)"
        usleep 300000
    done
"""

# Shell functions of the root. A side is a folder, with the files of its own that a machine has there; what its guest says is in out.N.
SIDES = """
    disk=/root/a.vhdx count=10
    start() { # SIDE OPTION...
        side=$1; shift; rm -f $side/control; count=$((count + 1))
        WORKER "$@" 2>>errors & worker=$!
        until [ -S $side/control ]; do kill -0 $worker || return 1; usleep 50000; done
    }
    ticks() { # N: so many more of them
        before=$(cat out.* | grep -c ^tick)
        until [ $(cat out.* | grep -c ^tick) -ge $((before + $1)) ]; do kill -0 $worker || return 1; usleep 100000; done
    }
    last() { cat out.* | grep ^tick | tail -1 | cut -d' ' -f2; }
    saved() { vmctl left/control save $1 || return 1; wait $worker; echo "saved: $?"; }
"""


def sides(t, name):
    kernel = kernels.get("6.1")
    initrd = guest.initrd(name, VALUE, kernel=kernel, drivers=("hv_storvsc", "sd_mod", "hv_utils", "hv_balloon", "efivarfs"))
    boot = bios.efi_disk(f"{name}.img", DISK, [("vmlinuz", kernel.image), ("initrd", initrd)])
    words = ["vmwp", "--name", "value", "--generation", "2", "--disk", "/root/boot.img,raw,ro", "--disk", "DISK", "--memory", "256M", "--vps", "2",
             "--serial", "file:/root/out.COUNT", "--control", "/root/SIDE/control", "--firmware-variables", "/root/SIDE/variables", "--tpm", "/root/SIDE/tpm"]
    worker = guest.shell(words).replace("DISK", "$disk").replace("COUNT", "$count").replace("SIDE", "$side")
    return (SIDES.replace("WORKER", worker) + "mkdir left right; vhd create a.vhdx 16M >/dev/null && start left && ticks 2 || exit 1\n",
            [*OVMF, *SWTPM, VHD, VMCTL, (boot, "/root/boot.img")])


@test("uefi: one that is saved, goes back to a checkpoint, and moves: variables, TPM, memory and disk are of one moment", deadline=900)
def value(t):
    steps, puts = sides(t, "value")
    text = t.root(steps + """
        saved state && start left --restore state && ticks 2 || exit 1
        vmctl left/control checkpoint point 1=top.avhdx && echo "point $(last)" && ticks 2 || exit 1
        vmctl left/control off; wait $worker
        disk=/root/back.avhdx; vhd create back.avhdx --parent a.vhdx >/dev/null && start left --restore point && ticks 2 && cat out.$count | grep ^tick | head -1 | sed 's/^/back: /' || exit 1
        source=$worker; start right --receive /root/move || exit 1
        until [ -S move ]; do kill -0 $worker || exit 1; usleep 50000; done
        vmctl left/control migrate /root/move || exit 1
        wait $source; echo "left: $?"; ticks 2 || exit 1
        vmctl right/control off; wait $worker; echo "right: $?"
        number=$(printf %08d $(last)); grep -c $number left/variables right/variables
        cat out.* errors; for file in a.vhdx back.avhdx; do vhd test $file; done""", puts=puts)
    t.check("lost" not in text, "what differs is of two moments")
    t.calm(text)
    t.has(text, "saved: 8\n")
    t.has(text, "left: 9\n")
    point, back = (int(re.search(pattern, text, re.M).group(1)) for pattern in (r"^point (\d+)$", r"^back: tick (\d+) "))
    t.check(point - 1 <= back <= point + 2, f"the checkpoint is of {point}, and goes on at {back}")
    t.check(re.search(r"^left/variables:0\nright/variables:1$", text, re.M), "the last variable is not where the machine was")
    t.same("whole files", text.count("No damage found"), 2)
