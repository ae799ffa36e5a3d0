"""Machines of generation 2: what their UEFI firmware starts, and what it remembers."""
import os
import re

from harness import BUILD, VHD, guest, kernels, test
from labkit import bios, png, tpm
from labkit.bios import words_of
from integration_tests import END, VMCTL
from service_tests import VM, VMMS

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

LOG_AT = 39 << 11  # the last MiB of its disk, which nobody else has: there the guest leaves the log of its boot
SECURE = """
dmesg | grep -i "secureboot:" | sed 's/.*secureboot/guest: secureboot/'
mount -t securityfs securityfs /sys/kernel/security
cat /sys/kernel/security/lockdown | sed 's/^/guest: lockdown /'
cd /sys/class/tpm/tpm0 && echo "guest: TPM $(cat tpm_version_major)"
[ "$(cat pcr-sha256/7)" != "$(printf '%064d' 0)" ] && echo "guest: the TPM knows what Secure Boot let pass"
[ "$(wc -c </sys/kernel/security/tpm0/binary_bios_measurements)" -gt 1000 ] && echo "guest: a log of the boot"
for i in 0 1 2 3 4 5 6 7 8 9 14; do echo "guest: register $i is $(cat pcr-sha256/$i)"; done
until [ -b /dev/sda ]; do usleep 100000; done
cat /sys/kernel/security/tpm0/binary_bios_measurements >/log  # which is read in pieces
echo "guest: wrote $(wc -c </log) bytes of log"
dd if=/log of=/dev/sda bs=512 seek=LOG_AT conv=sync 2>/dev/null; sync
"""


@test("uefi: with keys, what nobody signed is refused, and the screen says so; shim, GRUB and kernel of Debian's say that Secure Boot is on, and the TPM what was started", deadline=900)
def keys(t):
    words = ["vmwp", "--generation", "2", "--vps", "1", "--secure-boot", "microsoft"]
    refused = [*words, "--name", "refused", "--memory", "256M", "--disk", "/root/boot.img,raw", "--serial", "file:/root/serial", "--vga", "--control", "/root/control"]
    signed = [*words, "--name", "signed", "--memory", "512M", "--disk", "/root/signed.img,raw", "--serial", "stdio", "--on-reset", "exit", "--tpm", "/root/tpm"]
    kernel = kernels.get("6.1")
    initrd = guest.initrd("secure", SECURE.replace("LOG_AT", str(LOG_AT)), kernel=kernel, drivers=("hv_storvsc", "sd_mod"))
    disk = bios.signed_disk("signed.img", DISK, [("vmlinuz", kernel.image), ("initrd", initrd)])
    text = t.root(f"""
        {guest.shell(refused)} </dev/null & worker=$!
        until grep -q "Press any key" /root/serial 2>/dev/null || ! kill -0 $worker; do sleep 1; done
        vmctl /root/control screenshot /root/screen.png
        vmctl /root/control off; wait $worker; cat /root/serial
        echo "--- signed"
        {guest.shell(signed)} </dev/null; echo ended with $?
        dd if=/root/signed.img of=/root/log bs=512 skip={LOG_AT} 2>/dev/null""",
                  puts=[OVMF[0], *SWTPM, ("/usr/share/OVMF/OVMF_VARS_4M.ms.fd",) * 2, (bios.efi_disk("keys.img", DISK, []), "/root/boot.img"), (disk, "/root/signed.img"),
                        (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")],
                  gets=[("/root/screen.png", t.path("screen.png")), ("/root/log", t.path("log"))])
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
    # What the log says was measured leads to what the TPM has, as tpm2-tools see it.
    with open(t.path("log"), "r+b") as file:
        file.truncate(int(re.search(r"^guest: wrote (\d+) bytes of log", signed, re.M).group(1)))
    registers = {int(n): value.lower() for n, value in re.findall(r"^guest: register (\d+) is ([0-9A-F]{64})$", signed, re.M)}
    replayed = tpm.replay(t.path("log"))
    t.check(set(range(8)) <= set(replayed) <= set(registers), f"the log is of the registers {sorted(replayed)}")
    t.same("what the log leads to", replayed, {n: registers[n] for n in replayed})


# What the guest finds; then a loop. What it tells is numbered there, and so are a variable, a register of the TPM and a sector of the disk: what differs is of two moments.
LINUX = END + r"""
    [ -d /sys/firmware/efi ] && echo "guest: started by EFI"
    until [ -b /dev/sda ] && [ -b /dev/sdb ]; do usleep 100000; done
    for d in /sys/block/sd?; do readlink -f $d; done | grep -ci vmbus | sed 's/^/guest: disks on VMBus: /'
    ls /sys/bus/pci/devices | wc -l | sed 's/^/guest: PCI functions: /'
    disk=/dev/sda; [ "$(cat /sys/block/sda/ro)" = 0 ] || disk=/dev/sdb
    mount -t efivarfs efivarfs /sys/firmware/efi/efivars
    variable=/sys/firmware/efi/efivars/tick-cfc8fc79-be2e-4ddc-97f0-9f98bfe298a0
    register() { tr -d ' \n' </sys/class/tpm/tpm0/pcr-sha256/16 | tr A-F a-f; }
    echo "guest: finds $(tail -c 8 $variable 2>/dev/null) in firmware, $(head -c 16 $disk | tr -d '\0') on disk, $(register | cut -c1-4) in the TPM"
    extend() { # REGISTER, which becomes another: that and 32 bytes
        bytes=; for i in $(seq 32); do bytes="$bytes\\$(printf %03o $((n % 256)))"; done
        pcr=$( (printf "$(echo $1 | sed 's/../\\x&/g')"; printf "$bytes") | sha256sum | cut -c1-64)
        exec 3<>/dev/tpm0
        printf '\200\002\000\000\000\101\000\000\001\202\000\000\000\020\000\000\000\011\100\000\000\011\000\000\000\000\000\000\000\000\001\000\013'"$bytes" >&3
        head -c 10 <&3 >/answer
        exec 3>&-
    }
    n=0; pcr=$(register)
    while :; do
        n=$((n + 1)); number=$(printf %08d $n)
        printf '\007\000\000\000'$number >$variable
        extend $pcr
        printf $number | dd of=$disk bs=512 conv=sync oflag=direct 2>/dev/null
        [ "$(tail -c 8 $variable)" = $number ] || echo "lost: variable $n is $(tail -c 8 $variable)"
        [ "$(register)" = "$pcr" ] || echo "lost: TPM $n: $(register), should be $pcr"
        [ "$(dd if=$disk bs=512 count=1 iflag=direct 2>/dev/null | head -c 8)" = $number ] || echo "lost: disk $n"
        echo "tick $n forks $(dmesg | grep -c 'virtual machine fork')"
        usleep 300000
    done
"""

# Shell functions of the root. A side is a folder, with the files of its own that a machine has there; what its guest says is in out.N.
SIDES = """
    disk=/root/a.vhdx count=10
    start() { # SIDE OPTION...
        side=$1; shift; rm -f $side/control; count=$((count + 1))
        WORKER --control $side/control "$@" 2>>errors & worker=$!
        until [ -S $side/control ]; do kill -0 $worker || return 1; usleep 50000; done
    }
    ticks() { # N: so many more of them
        before=$(cat out.* | grep -c ^tick)
        until [ $(cat out.* | grep -c ^tick) -ge $((before + $1)) ]; do kill -0 $worker || return 1; usleep 100000; done
    }
    last() { cat out.* | grep ^tick | tail -1 | cut -d' ' -f2; }
    trap "tail -3 errors" EXIT; mkdir left right
    printf 'the second disk.' | dd of=data.img bs=1M count=16 conv=sync 2>/dev/null; vhd convert data.img a.vhdx >/dev/null
"""


def linux(name):
    """A disk that starts it, and what to carry into the root. 6.1 of the cloud has no driver for the generation ID."""
    kernel = kernels.get("6.12")
    initrd = guest.initrd(name, LINUX, kernel=kernel, drivers=("hv_storvsc", "sd_mod", "hv_utils", "hv_balloon", "efivarfs"))
    return [*OVMF, *SWTPM, VHD, VMCTL, (bios.efi_disk(f"{name}.img", DISK, [("vmlinuz", kernel.image), ("initrd", initrd)]), "/root/boot.img")]


@test("uefi: GRUB of a disk and of a disc; Linux on VMBus alone is saved, goes back to a checkpoint and moves, with variables and TPM of one moment", deadline=900)
def drives(t):
    words = ["vmwp", "--name", "uefi", "--generation", "2", "--disk", "/root/boot.img,raw,ro", "--disk", "DISK", "--memory", "256M", "--vps", "2", "--on-reset", "exit",
             "--firmware-variables", "/root/SIDE/variables", "--tpm", "/root/SIDE/tpm"]
    worker = guest.shell(words).replace("DISK", "$disk").replace("SIDE", "$side")
    text = t.root(SIDES.replace("WORKER", worker + " --serial file:/root/out.$count") + f"""
        start left && ticks 1 || exit 1
        vmctl left/control save state; wait $worker; echo "saved: $?"; start left --restore state && ticks 1 || exit 1
        vmctl left/control checkpoint point 1=top.avhdx && echo "point $(last)" && ticks 1 || exit 1
        vmctl left/control off; wait $worker
        disk=/root/back.avhdx; vhd create back.avhdx --parent a.vhdx >/dev/null && start left --restore point && ticks 1 && echo "back $(grep ^tick out.$count | head -1)" || exit 1
        source=$worker; start right --receive /root/move || exit 1
        until [ -S move ]; do kill -0 $worker || exit 1; usleep 50000; done
        vmctl left/control migrate /root/move || exit 1
        wait $source; echo "left: $?"; ticks 2 || exit 1
        vmctl right/control shutdown; wait $worker; echo "ended with $?"
        number=$(printf %08d $(last)); grep -c $number left/variables right/variables
        cat out.*; for file in a.vhdx back.avhdx; do vhd test $file; done
        {worker} --serial stdio --iso /root/disc.iso </dev/null; echo ended with $?""",
                  puts=[*linux("uefi"), (bios.disc("uefi.iso", DISC, bios.UEFI), "/root/disc.iso")])
    text = words_of(text)
    for said in ("grub: from the disk", "guest: started by EFI", "guest: 2 VPs online", "guest: disks on VMBus: 2", "guest: PCI functions: 0",
                 "guest: finds  in firmware, the second disk. on disk, 0000 in the TPM", "saved: 8\n", "left: 9\n", "guest: in order, poweroff", "grub: from the disc"):
        t.has(text, said)
    t.check(text.count(f"ended with {POWERED_OFF}\n") == 2, "Linux and GRUB both turn the machine off")
    t.calm(text)
    lost = re.findall("^.*lost:.*", text, re.M)
    t.check(not lost, f"what differs is of two moments: {lost[:4]}")
    point, back = (int(re.search(pattern, text, re.M).group(1)) for pattern in (r"^point (\d+)$", r"^back tick (\d+) "))
    t.check(point - 1 <= back <= point + 2, f"the checkpoint is of {point}, and goes on at {back}")
    t.check(re.search(r"^left/variables:0\nright/variables:1$", text, re.M), "the last variable is not where the machine was")
    t.same("whole files", text.count("No damage found"), 2)
    # One that is loaded may not be the only one, and is told; one that moves is.
    forks = [int(n) for n in re.findall(r"^tick \d+ forks (\d+)$", text, re.M)]
    t.same("forks that the guest was told of, and the last", (sorted(set(forks)), forks[-1]), ([0, 1, 2], 2))


DISKS = '[{"file":"/root/boot.img","raw":true,"read-only":true},{"file":"a.vhdx"}]'


@test("uefi: by the service: saved, checkpoints with and without memory, exported; the firmware starts from what each has", deadline=1800, soak=True)
def points(t):
    text = t.root(f"""
        store=/var/lib/verdigris/machines
        touch log out; vmms 2>>log & service=$!; until vm host >/dev/null 2>&1; do kill -0 $service || exit 1; usleep 100000; done
        listen() {{ vm console m <fifo >>out 2>/dev/null & exec 9>fifo; }}
        ticks() {{
            before=$(grep -c ^tick out)
            until [ $(grep -c ^tick out) -ge $((before + 3)) ]; do vm list | grep -q "^m *running" || return 1; sleep 1; done
        }}
        last() {{ grep ^tick out | tail -1 | cut -d' ' -f2; }}
        begin() {{ : >out; vm start m && listen && ticks && cat out; }}
        mkfifo fifo
        vm create m --generation 2 --memory 256M --vps 2 --set 'firmware-variables="variables"' --set 'tpm="tpm"' --set 'disks={DISKS}' || exit 1
        vhd create $store/m/a.vhdx 16M >/dev/null || exit 1
        begin >/dev/null && vm save m && vm start m && listen && ticks && echo "saved, goes on" || exit 1
        vm checkpoint m disks --kind disks && echo "disks at $(last)" && ticks && vm checkpoint m memory && echo "memory at $(last)" && ticks && vm turn-off m || exit 1
        echo "--- disks"; vm apply m disks && begin && vm turn-off m || exit 1
        echo "--- memory"; vm apply m memory && begin && vm turn-off m || exit 1
        echo "--- exported"; vm export-checkpoint m disks $store/copy && ls $store/copy || exit 1
        vm remove-checkpoint m disks --children && vm delete m --disks && ls $store; cat log""", puts=[*linux("points"), VMMS, VM])
    t.check("lost" not in text, "what differs is of two moments")
    t.has(text, "saved, goes on")
    point = {name: int(re.search(rf"^{name} at (\d+)$", text, re.M).group(1)) for name in ("disks", "memory")}
    found = re.search(r"guest: finds (\d+) in firmware, (\d+) on disk, 0000 in the TPM", text.split("--- disks")[1])
    variable, disk = (int(n) for n in found.groups())
    t.check(disk <= variable <= disk + 1 and point["disks"] - 1 <= disk <= point["disks"] + 2, f"{variable} and {disk} are not of the checkpoint {point}")
    back = text.split("--- memory")[1]
    t.check("guest: finds" not in back, "it began anew")
    t.check(point["memory"] - 1 <= int(re.search(r"^tick (\d+)", back, re.M).group(1)) <= point["memory"] + 2, "another moment")
    t.same("what is exported", text.split("--- exported\n")[1].split()[:5], ["0-boot.vhdx", "1-a.vhdx", "firmware.variables", "machine.json", "tpm"])
