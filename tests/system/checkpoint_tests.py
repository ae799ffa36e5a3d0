"""A tree of checkpoints of a guest that writes, gone back to in a random order: memory and disk are of the same moment each time, which the guest
itself compares, and its own files say that they are whole."""
import random
import re

from harness import VHD, guest, kernels, test
from save_tests import DRIVERS, STEPS, VMCTL

# What it writes to the disk it writes to a file in memory too; they are compared all the time.
GUEST = """
    until [ -b /dev/sda ]; do usleep 100000; done
    dd if=/dev/zero of=/shadow bs=512 count=1000 2>/dev/null
    n=0
    while :; do
        n=$((n + 1))
        for to in /dev/sda /shadow; do
            printf 'round %08d\\n' $n | dd of=$to bs=512 seek=$((n * 37 % 1000)) conv=sync,notrunc 2>/dev/null
        done
        sync
        echo 3 >/proc/sys/vm/drop_caches
        [ "$(dd if=/dev/sda bs=512 count=1000 2>/dev/null | md5sum)" = "$(md5sum </shadow)" ] || echo "lost: disk and memory differ in round $n"
        echo "tick $n"
        usleep 100000
    done"""

TREE = 3  # checkpoints in a row; then one more at each that is gone back to


@test("checkpoint: a tree is gone back to in a random order; disks and memory fit each time", deadline=1200)
def tree(t):
    initrd = guest.initrd("checkpoint", GUEST, kernels.get("6.1"), DRIVERS)
    worker = guest.worker("tree", memory="128M", vps=2, serial="control", more=["--control", "/root/control", "--disk", "DISK"])
    steps = [STEPS.replace("WORKER", guest.shell(worker).replace("DISK", "$disk")), """
        taken() { # NUMBER: it goes on in another file
            vmctl control checkpoint state-$1 0=top-$1.avhdx || return 1
            [ "$(vmctl control status | grep -c top-$1.avhdx)" = 1 ] || echo "lost: not in its new file"
            echo $disk >disk-$1; disk=/root/top-$1.avhdx
            echo "checkpoint $1 $(grep ^tick out | tail -1)"
        }
        off() { vmctl control off; wait $worker; }
        back() { # NUMBER: it goes on from there
            off; mv out out-$1; cat out-$1 >>all; : >out
            disk=/root/back-$1.avhdx
            vhd create back-$1.avhdx --parent $(cat disk-$1) >/dev/null && start --restore state-$1 && ticks 2 || return 1
            echo "back $1 $(grep ^tick out | head -1)"
        }
        disk=/root/a.vhdx
        vhd create a.vhdx 64M >/dev/null && start && ticks 2 || exit 1"""]
    order = random.sample(range(1, TREE + 1), TREE)
    print(f"order: {order}")
    steps += [f"taken {i} && ticks 2 || exit 1" for i in range(1, TREE + 1)]
    for i, number in enumerate(order):
        steps.append(f"back {number} && taken {TREE + 1 + i} || exit 1")
    last = TREE + 1 + random.randrange(TREE)
    steps.append(f"""
        back {last} || exit 1
        off; cat out >>all; grep -c ^tick all; grep lost all; cat errors
        for file in a.vhdx *.avhdx; do vhd test $file | grep -i damage; done
        vhd merge back-{last}.avhdx && vhd test $(cat disk-{last}) | grep -i damage""")
    text = t.root("\n".join(steps), puts=[*guest.puts(path=initrd), VMCTL, VHD])
    t.check("lost" not in text, "disk and memory are not of one moment")
    taken = {int(n): int(tick) for n, tick in re.findall(r"^checkpoint (\d+) tick (\d+)\r?$", text, re.M)}
    back = {int(n): int(tick) for n, tick in re.findall(r"^back (\d+) tick (\d+)\r?$", text, re.M)}
    t.same("checkpoints", sorted(taken), list(range(1, 2 * TREE + 1)))
    t.same("gone back to", sorted(back), sorted([*order, last]))
    for number, tick in back.items():
        t.check(taken[number] - 1 <= tick <= taken[number] + 2, f"checkpoint {number} was at {taken[number]}, and goes on at {tick}")
    t.same("whole files", text.count("No damage found"), 2 * TREE + TREE + 1 + 1 + 1)
