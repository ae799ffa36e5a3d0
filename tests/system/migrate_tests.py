"""A machine that moves from one worker to another while its guest works: nothing of memory and disk is lost, time does not go backwards, and whatever
ends in the middle, it runs on exactly one side."""
import re

from harness import VHD, guest, kernels, test
from save_tests import DRIVERS, VMCTL

# Two that write memory and look at it, one that writes its disk and reads that back; what they tell is numbered.
GUEST = """
    until [ -b /dev/sda ]; do usleep 100000; done
    look() { # FILE: it is written anew, and its sum is what it was when it was written
        while :; do
            dd if=/dev/urandom of=$1 bs=64k count=32 2>/dev/null
            sum=$(md5sum <$1); cp $1 $1.2
            [ "$sum" = "$(md5sum <$1.2)" ] || echo "lost: memory of $1"
        done
    }
    look /a & look /b &
    n=0
    while :; do
        n=$((n + 1))
        printf 'round %08d\\n' $n | dd of=/dev/sda bs=512 seek=$((n % 1000)) conv=sync oflag=direct 2>/dev/null || echo "lost: write $n"
        dd if=/dev/sda bs=512 skip=$((n % 1000)) count=1 iflag=direct 2>/dev/null | grep -q "$(printf 'round %08d' $n)" || echo "lost: round $n"
        echo "tick $n $(cut -d' ' -f1 /proc/uptime)"
        usleep 100000
    done"""

# Shell functions of the root. A side is a control socket; the machine is at one of them.
STEPS = """
    here=left there=right
    start() { # SIDE OPTION...
        side=$1; shift; rm -f $side
        WORKER --control /root/$side "$@" 2>>errors & eval pid_$side=$!
        until [ -S $side ]; do kill -0 $! || return 1; usleep 50000; done
    }
    listen() { vmctl $1 console </dev/null >>out & } # SIDE
    pid() { eval echo \\$pid_$1; }
    ticks() { # N: so many more of them
        before=$(grep -c ^tick out)
        until [ $(grep -c ^tick out) -ge $((before + $1)) ]; do kill -0 $(pid $here) || return 1; usleep 100000; done
    }
    receive() { rm -f move; start $there --receive /root/move "$@"; until [ -S move ]; do kill -0 $(pid $there) || return 1; usleep 50000; done; listen $there; }
    over() { old=$here; here=$there; there=$old; } # the machine has changed sides
    move() {
        receive || return 1
        vmctl $here migrate /root/move || return 1
        wait $(pid $here); echo "left: $?"
        over; ticks 3
    }
"""


def prepare(name, vps):
    initrd = guest.initrd(name, GUEST, kernels.get("6.1"), DRIVERS)
    worker = guest.worker("moved", memory="128M", vps=vps, serial="control", more=["--disk", "/root/a.vhdx"])
    steps = STEPS.replace("WORKER", guest.shell(worker))
    return steps + "vhd create a.vhdx 64M >/dev/null && start left && listen left && ticks 3 || exit 1\n", [*guest.puts(path=initrd), VMCTL, VHD]


END = """
    vmctl $here off; wait $(pid $here)
    cat out errors; vhd test a.vhdx"""


def judge(t, text):
    t.check("lost" not in text, "the guest lost something")
    ticks = [(int(n), float(up)) for n, up in re.findall(r"^tick (\d+) (\S+)\r?$", text, re.M)]
    t.same("the ticks' numbers", [n for n, _ in ticks], list(range(1, len(ticks) + 1)))
    for (_, before), (n, after) in zip(ticks, ticks[1:]):
        t.check(before < after, f"tick {n}: uptime {before} and then {after}")
    t.has(text, "No damage found")
    t.calm(text)


@test("migrate: a guest of 2 VPs moves between two workers 3 times; refused, cancelled and cut it stays", deadline=900)
def moves(t):
    steps, puts = prepare("migrate", 2)
    text = t.root(steps + f"""
        for i in 1 2 3; do move || exit 1; done
        receive --vps 3; vmctl $here migrate /root/move; echo "unlike: $?"; wait $(pid $there); echo "its target: $?"; ticks 2 || exit 1
        receive; vmctl --no-wait $here migrate /root/move; usleep 300000
        vmctl $here cancel $(vmctl $here jobs | grep running | cut -d' ' -f1); wait $(pid $there); echo "target of one that was cancelled: $?"; ticks 2 || exit 1
        receive; vmctl --no-wait $here migrate /root/move; usleep 300000
        kill -9 $(pid $there); wait $(pid $there); echo "target that was killed: $?"; ticks 2 || exit 1
        move || exit 1
        {END}""", puts=puts)
    judge(t, text)
    moved = re.findall(r"^moved in (\d+) rounds: (\d+) pages, (\d+) bytes; the guest stood for (\S+) ms", text, re.M)
    t.same("moves", len(moved), 4)
    t.same("workers that it left", len(re.findall(r"^left: 9$", text, re.M)), 4)
    for line in moved:
        print("rounds {}, pages {}, bytes {}, downtime {} ms".format(*line))
    t.has(text, "2 VPs there, 3 here")
    t.has(text, "unlike: 1")
