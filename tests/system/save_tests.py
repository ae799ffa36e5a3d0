"""A machine's state in a file, and the machine that goes on from it: memory, processors, devices and disks as they were, time not gone backwards,
and what is damaged or of another machine refused."""
import os
import re

from harness import BUILD, VHD, guest, kernels, test

VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")
HVSOCK = os.path.join(BUILD, "tests", "system", "hvsock")

# Round $n is written past the cache, and read back.
ROUND = """
        printf 'round %08d\\n' $n | dd of=/dev/sda bs=512 seek=$((n % 1000)) conv=sync oflag=direct 2>/dev/null || echo "lost: write $n"
        dd if=/dev/sda bs=512 skip=$((n % 1000)) count=1 iflag=direct 2>/dev/null | grep -q "$(printf 'round %08d' $n)" || echo "lost: round $n"
"""

# Each round is told only then; memory is looked at as well.
GUEST = """
    until [ -b /dev/sda ]; do usleep 100000; done
    dd if=/dev/urandom of=/pattern bs=1M count=24 2>/dev/null
    sum=$(md5sum </pattern)
    hvsock echo vsock:5000 &
    (grep -q 'virtual machine fork' /dev/kmsg && echo "guest: forked") &
    n=0
    while :; do
        n=$((n + 1))
""" + ROUND + """
        [ "$sum" = "$(md5sum </pattern)" ] || echo "lost: memory"
        echo "tick $n $(cut -d' ' -f1 /proc/uptime) $(date +%s)"
        usleep 100000
    done"""

# Shell functions of the root: $worker starts it, with what else it is given.
STEPS = """
    start() { # OPTION...: the machine; its console goes on in `out`
        rm -f control
        WORKER "$@" 2>>errors & worker=$!
        until [ -S control ]; do kill -0 $worker || return 1; usleep 50000; done
        vmctl control console </dev/null >>out &
    }
    ticks() { # N: so many more of them
        before=$(grep -c ^tick out)
        until [ $(grep -c ^tick out) -ge $((before + $1)) ]; do kill -0 $worker || return 1; usleep 100000; done
    }
    saved() { # FILE: the machine is there, and its worker ended as it should
        vmctl control save $1 || return 1
        wait $worker; echo "saved: $?"
    }
    connected() { # FILE: a socket to the guest that is never still; what it says at its end
        hvsock flood unix:/root/box:5000 >$1 & flood=$!
        until grep -q "under way" $1; do kill -0 $flood || return 1; usleep 50000; done
    }
"""


DRIVERS = ["hv_vmbus", "hv_storvsc", "sd_mod", "hv_utils"]


def prepare(t, name, vps):
    initrd = guest.initrd(name, GUEST, kernels.get("6.1"), [*DRIVERS, "hv_sock"],
                          programs=[HVSOCK])
    worker = guest.worker("saved", memory="128M", vps=vps, serial="control",
                          more=["--control", "/root/control", "--vsock", "/root/box", "--disk", "/root/a.vhdx"])
    steps = STEPS.replace("WORKER", guest.shell(worker))
    return steps + "vhd create a.vhdx 64M >/dev/null || exit 1\n", [*guest.puts(path=initrd), VMCTL, VHD, (HVSOCK, "/usr/bin/hvsock")]


def judge(t, text, saves):
    if saves is not None:
        t.same("saves", len(re.findall(r"^saved: 8$", text, re.M)), saves)
    t.check("lost" not in text, "the guest lost something")
    ticks = [(int(n), float(up), int(date)) for n, up, date in re.findall(r"^tick (\d+) (\S+) (\d+)\r?$", text, re.M)]
    t.same("the ticks' numbers", [n for n, _, _ in ticks], list(range(1, len(ticks) + 1)))
    for (_, before, _), (n, after, _) in zip(ticks, ticks[1:]):
        t.check(before < after, f"tick {n}: uptime {before} and then {after}")
    return ticks


def rounds(vps, count, soak=False):
    @test(f"save: a guest of {vps} VPs that works goes on from its file, {count} times", deadline=1200, soak=soak)
    def run(t):
        steps, puts = prepare(t, f"save-{vps}", vps)
        text = t.root(steps + f"""
            start && ticks 5 || exit 1
            for i in $(seq {count}); do
                rm -f state; connected flood-$i && saved state || exit 1
                wait $flood; sed 's/^/saved: /' flood-$i
                ls -l state | awk '{{ print "file", $5 }}'
                start --restore state && ticks 5 || exit 1
                hvsock messages unix:/root/box:5000 100 || exit 1
            done
            vmctl control off; wait $worker
            cat out errors
            printf X | dd of=state bs=1 seek=$(($(wc -c <state) / 2)) conv=notrunc 2>/dev/null
            start --restore state 2>/dev/null; wait $worker; echo "damaged: $?"; tail -1 errors
            vhd test a.vhdx""", puts=puts)
        judge(t, text, count)
        t.same("connections that a save ended", text.count("saved: hvsock: the flood has ended"), count)
        t.has(text, "No damage found")
        t.check(re.search(r"^damaged: 2\nvmwp: saved: --restore /?\S*state: its memory at 0x\S+ is damaged$", text, re.M), "a damaged file")


rounds(1, 20, soak=True)
rounds(4, 2)


GAP = 10  # seconds between save and restore


@test("save: guests of 6.12 and i386 go on; their uptime has no gap, and their date is the host's", deadline=1200)
def others(t):
    steps, puts = [STEPS], [VMCTL, VHD]
    for name in ("6.12", "6.1-i386"):
        architecture = "i386" if name.endswith("i386") else "amd64"
        path = guest.initrd(f"save-{name}", GUEST, kernels.get(name), DRIVERS, architecture)
        worker = guest.worker(name, memory="128M", vps=1, serial="control", kernel=f"/root/vmlinuz-{name}", initrd_=f"/root/initrd-{name}",
                              more=["--control", "/root/control", "--disk", "/root/a.vhdx"])
        puts += [(kernels.get(name).image, f"/root/vmlinuz-{name}"), (path, f"/root/initrd-{name}")]
        steps.append(f"""
            rm -f a.vhdx out state; vhd create a.vhdx 64M >/dev/null || exit 1
            start() {{
                rm -f control
                {guest.shell(worker)} "$@" 2>>errors & worker=$!
                until [ -S control ]; do kill -0 $worker || return 1; usleep 50000; done
                vmctl control console </dev/null >>out &
            }}
            start && ticks 3 && vmctl control services heartbeat off && saved state || exit 1
            sleep {GAP}
            back=$(date +%s)
            start --restore state && ticks 3 || exit 1
            vmctl control services heartbeat
            until grep 'guest: forked' out; do kill -0 $worker || exit 1; usleep 100000; done
            until [ $(grep ^tick out | tail -1 | tr -d '\\r' | cut -d' ' -f4) -ge $back ]; do kill -0 $worker || exit 1; usleep 100000; done
            vmctl control off; wait $worker
            echo "--- {name}"; cat out errors; vhd test a.vhdx""")
    text = t.root("\n".join(steps), puts=puts)
    for part in text.split("--- ")[1:]:
        ticks = judge(t, part, None)
        first, last = ticks[0], ticks[-1]
        ahead = (last[2] - last[1]) - (first[2] - first[1])
        t.check(ahead >= GAP - 2, f"the date is ahead of the uptime by {ahead:.1f} s only")
        t.has(part, "No damage found")
    t.same("services that stay off", len(re.findall("^heartbeat  off", text, re.M)), 2)
    t.same("saves", len(re.findall(r"^saved: 8$", text, re.M)), 2)
