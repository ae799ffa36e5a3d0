"""Guests in child partitions: stock kernels, processors, memory, several at once, and each way in which a guest ends."""
import os
import re
import struct
import wave

from harness import BUILD, guest, kernels, test

POWERED_OFF, RESET, TRIPLE_FAULT = 0, 3, 4


def facts(t, text, kernel, vps, machine="x86_64", clock="hyperv_clocksource"):
    """The tiny guest's lines about itself are what they should be."""
    t.has(text, f"guest: Linux {kernels.get(kernel).version} {machine}")
    t.has(text, "guest: Hypervisor detected: Microsoft Hyper-V")
    t.has(text, f"guest: {vps} VPs online")
    t.has(text, f"guest: clock source {clock}")
    t.has(text, "guest: ready")
    t.calm(text)


def boots(kernel, vps, **how):
    architecture = "i386" if kernel.endswith("i386") else "amd64"

    def run(t):
        initrd = guest.initrd(architecture=architecture)
        worker = guest.worker(vps=vps, append=f"guest=poweroff {how.get('append', '')}", memory=how.get("memory", "512M"))
        text = t.root(guest.shell(worker), puts=guest.puts(kernel, initrd), status=POWERED_OFF, **how.get("root", {}))
        facts(t, text, kernel, vps, "i686" if architecture == "i386" else "x86_64")
        if "mib" in how:
            mib = int(re.search(r"guest: (\d+) MiB of memory", text)[1])
            t.check(how["mib"] * 0.7 <= mib <= how["mib"], f"the guest has {mib} MiB")
    return run


for vps_ in (1, 2, 4, 8):
    test(f"guest: 6.1 with {vps_} VPs on 2 LPs", deadline=600, soak=vps_ == 2)(boots("6.1", vps_))
for kernel_ in ("6.12", "6.1-i386", "6.5-i386", "7"):
    test(f"guest: {kernel_} with 2 VPs", deadline=600, soak=kernel_ == "6.5-i386")(boots(kernel_, 2))
for kernel_ in ("6.12", "7"):
    test(f"guest: 6.1 in a root of {kernel_}", deadline=600)(boots("6.1", 2, root={"root_kernel": kernel_}))
test("guest: without its local APIC", deadline=900)(boots("6.1", 1, append="nolapic"))  # timer and serial port by the PIC
test("guest: in a root of 1 LP", deadline=600)(boots("6.1", 2, root={"lps": 1}))
test("guest: with 128 MiB", deadline=600)(boots("6.1", 1, memory="128M", mib=128))
# Its root has an IOMMU: of all guests this one makes the most deposits.
test("guest: with memory above 4 GiB", deadline=600)(
    boots("6.1", 2, memory="4G", mib=4096, root={"memory": 6144, "qemu_args": [
        "-machine", "kernel-irqchip=split", "-device", "intel-iommu,caching-mode=on"]}))


@test("guest: with 5-level paging, in a root that has it", deadline=900)
def five_levels(t):
    """Linux names the flag only while it uses the mode."""
    look = "grep -o -m1 -w la57 /proc/cpuinfo"
    worker = guest.shell(guest.worker(vps=2))
    text = t.root(f"echo root: $({look}); {worker}", puts=guest.puts("6.1", guest.initrd("levels", f"echo guest: $({look})")),
                  cpu="EPYC,+la57", status=POWERED_OFF)
    t.has(text, "root: la57")
    t.has(text, "guest: la57")
    facts(t, text, "6.1", 2)


@test("guest: instructions on a device's memory do what they do on RAM", deadline=400)
def emulate(t):
    worker = guest.shell([*guest.program("/root/emulate.elf"), "--debug-exit"])
    text = t.root(f"timeout 300 {worker}; echo ended with $?",
                  puts=[(os.path.join(BUILD, "tests", "guest", "emulate.elf"), "/root/emulate.elf")])
    t.same("instructions that differ", re.findall("^emulate: differs: .*", text, re.M), [])
    t.has(text, " compared, 0 differ")
    t.has(text, "vmwp: program: debug exit: 0")
    t.has(text, "ended with 1\n")  # by port 0xf4, as on QEMU


@test("guest: goes through all modes of a processor", deadline=400)
def modes(t):
    worker = guest.shell(guest.program("/root/modes.elf"))
    text = t.root(f"timeout 120 {worker}; echo ended with $?",
                  puts=[(os.path.join(BUILD, "tests", "guest", "modes.elf"), "/root/modes.elf")])
    t.has(text, "modes: P2ARU\nmodes: back\n")
    t.has(text, f"ended with {TRIPLE_FAULT}")


BIOS = "/usr/share/seabios/bios-256k.bin"  # of the package seabios, which QEMU's brings along
FLOPPY = [(BIOS, BIOS), (os.path.join(BUILD, "tests", "guest", "floppy.img"), "/root/floppy.img")]


def played():
    """What floppy.S plays, as frames of 16 bits: bytes once, then words in stereo, round and round."""
    once = b"".join(struct.pack("<h", ((i & 0xff) - 128) * 256) * 2 for i in range(6000))
    return once, b"".join(struct.pack("<H", (2 * i * 37) & 0xffff) for i in range(8000))


@test("guest: a BIOS starts a floppy disk, which it reads and writes; it plays by DMA what a WAV file has then", deadline=400)
def bios(t):
    words = ["vmwp", "--name", "program", "--generation", "1", "--floppy", "/root/floppy.img", "--memory", "64M", "--vps", "2",
             "--serial", "file:/root/screen", "--firmware-log", "/root/log", "--sound", "sb16,wav=/root/wav", "--debug-exit"]
    text = t.root(f"timeout 120 {guest.shell(words)}; echo ended with $?; cat /root/screen /root/log", puts=FLOPPY, gets=[("/root/wav", t.path("wav"))])
    t.has(text, "ended with 43\n")  # 2 * 21 + 1
    # What it writes is there when it reads again.
    for said in "floppy: starts", "second sector", "Wecond sec", "floppy: a sound card":
        t.has(text, said)
    t.has(text, "QEMU fw_cfg DMA interface supported\n")
    t.has(text, "Found 2 cpu(s) max supported 2 cpu(s)\n")
    with wave.open(t.path("wav")) as file:
        t.check(file.getparams()[:3] == (2, 2, 22222), f"the WAV file is of another form: {file.getparams()}")
        heard = file.readframes(file.getnframes())
    once, again = played()
    t.check(heard[:len(once)] == once, "the bytes that were played once are not in the WAV file")
    heard = heard[len(once):]
    # It ends where it was told; a host that is late lets it go round once more.
    t.check(len(heard) >= len(again), f"only {len(heard)} bytes were played of the second kind")
    t.check(heard == (again * (len(heard) // len(again) + 1))[:len(heard)], "the words that were played are not those in the WAV file")


@test("guest: a BIOS that finds nothing to start resets its machine, and starts again", deadline=400)
def bios_reset(t):
    """It waits for a minute before it does."""
    words = ["vmwp", "--name", "program", "--generation", "1", "--memory", "64M", "--vps", "1", "--serial", "file:screen"]
    text = t.root(f"""
        {guest.shell(words)} 2>said & worker=$!
        until [ "$(grep -c 'No bootable device' screen)" = 2 ]; do sleep 1; done
        kill $worker; wait $worker; cat said screen""", puts=FLOPPY)
    t.has(text, "vmwp: program: the firmware found nothing to start; it tried Floppy: could not read the boot disk; Hard Disk: could not read the boot disk\n")
    t.has(text, "vmwp: program: reset")


LEVEL = ["rounds 200", "sent again 1", "shared 1", "end"]


@test("guest: level-triggered lines, again and again, and by one vector", deadline=400)
def level(t):
    worker = guest.shell(guest.program("/root/level.elf"))
    text = t.root(f"timeout 300 {worker} 2>said; echo ended with $?",
                  puts=[(os.path.join(BUILD, "tests", "guest", "level.elf"), "/root/level.elf")])
    t.same("what the lines did", re.findall(r"^level: (.*)", text, re.M), LEVEL)
    t.has(text, f"ended with {TRIPLE_FAULT}")


MANY = [(os.path.join(BUILD, "tests", "guest", "many.elf"), "/root/many.elf")]


@test("guest: of 240 VPs, in a root of 32 LPs", deadline=600)
def many_vps(t):
    worker = guest.shell(guest.program("/root/many.elf", "vps=240", memory="16M", vps=240))
    text = t.root(f"grep -c ^processor /proc/cpuinfo; {worker}; echo ended with $?", puts=MANY, lps=32, memory=3072)
    t.has(text, "32\n")
    t.has(text, "many: started 240\nmany: interrupted 239\n")
    t.has(text, f"ended with {TRIPLE_FAULT}")


def many_guests(count, memory):
    """All are there at the same time, each with a VP that was woken once and little memory but the guest's; then all are killed, and
    another one still starts."""
    def run(t):
        one = guest.program("/root/many.elf", "stay", memory="8M")
        ready = f"$(grep -l interrupted /tmp/many.* | wc -l) -eq {count}"
        text = t.root(f"""
            i=0
            while [ $i -lt {count} ]; do
                i=$((i + 1))
                {guest.shell(one[:-1])} file:/tmp/many.$i & workers="$workers $!"
            done
            until [ {ready} ]; do sleep 1; done
            echo all ready
            for worker in $workers; do cat /proc/$worker/smaps_rollup; done | sed -n 's/^Anonymous: */anonymous: /p'
            kill $workers; wait $workers
            {guest.shell(guest.program("/root/many.elf", "vps=2", memory="8M", vps=2))}; echo ended with $?""",
                      puts=MANY, memory=memory)
        t.has(text, "all ready")
        kibs = [int(kib) for kib in re.findall(r"^anonymous: (\d+) kB", text, re.M)]
        t.same("workers", len(kibs), count)
        t.check(max(kibs) < 1024, f"a worker has {max(kibs)} KiB of its own")
        t.has(text, "many: started 2\nmany: interrupted 1\n")
        t.has(text, f"ended with {TRIPLE_FAULT}")
    return run


test("guest: 48 at once", deadline=600)(many_guests(48, 2048))
test("guest: 400 at once", deadline=7200, soak=True)(many_guests(400, 20480))


@test("guest: reset is told apart, and a reset guest boots again", deadline=400)
def reset(t):
    worker = guest.worker(vps=1, append="guest=reboot", more=["--on-reset", "exit"])
    text = t.root(guest.shell(worker), puts=guest.puts(), status=RESET)
    facts(t, text, "6.1", 1)
    again = t.root(f"""
        {guest.shell(guest.worker(vps=1, append="guest=reboot"))} >/tmp/out & worker=$!
        until [ "$(grep -c "guest: ready" /tmp/out)" -ge 2 ]; do sleep 1; done
        kill $worker; wait $worker
        grep "guest: ready" /tmp/out | head -n 2""", puts=guest.puts())
    t.same("boots", again.count("guest: ready"), 2)


@test("guest: two at once", deadline=400)
def two(t):
    one, other = (guest.worker(name, serial=f"file:/tmp/{name}", memory="256M", append="guest=poweroff")
                  for name in ("one", "two"))
    text = t.root(f"""
        {guest.shell(one)} & a=$!
        {guest.shell(other)} & b=$!
        wait $a; echo "one ended with $?"; wait $b; echo "two ended with $?"
        echo "--- one"; cat /tmp/one; echo "--- two"; cat /tmp/two""", puts=guest.puts())
    t.has(text, "one ended with 0")
    t.has(text, "two ended with 0")
    for part in text.split("--- ")[1:]:
        facts(t, part, "6.1", 2)


@test("guest: works while its VPs share the LPs", deadline=400)
def work(t):
    """Checksums on all VPs at once, timers and processes: a guest that is in use."""
    command = """
        head -c 4000000 /dev/urandom >/data
        want=$(sha256sum </data)
        for n in 1 2 3 4; do
            (for i in 1 2 3 4 5; do [ "$(sha256sum </data)" = "$want" ] || echo wrong; done; echo "worker $n done") &
        done
        sleep 2; wait
        # What came since the boot: a kernel that sends pages of log through a port, an exit a byte, on LPs that have little time,
        # does nothing else for so long that it says so.
        dmesg | sed '1,/Run .init as init/d' """
    path = guest.initrd("work", command)
    text = t.root(guest.shell(guest.worker(vps=4)), puts=guest.puts("6.1", path), status=POWERED_OFF)
    t.check("wrong" not in re.findall(r"^\w+", text, re.M), "a checksum is wrong")
    t.same("workers", sorted(re.findall(r"worker (\d) done", text)), ["1", "2", "3", "4"])
    t.has(text, "guest: status 0")
    facts(t, text, "6.1", 4)
