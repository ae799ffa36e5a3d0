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
            printf 'round %08d\\n' $n | dd of=$to bs=512 seek=$((n * 37 % 1000)) conv=sync,notrunc,fsync 2>/dev/null
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
        vhd create a.vhdx 64M >/dev/null && start && ticks 2 || exit 1
        # Its disk goes to another place while it writes.
        vmctl control mirror 0 /root/b.vhdx && ticks 1 && vmctl control go-over && rm a.vhdx && disk=/root/b.vhdx && ticks 1 || exit 1"""]
    order = random.sample(range(1, TREE + 1), TREE)
    print(f"order: {order}")
    steps += [f"taken {i} && ticks 2 || exit 1" for i in range(1, TREE + 1)]
    for i, number in enumerate(order):
        steps.append(f"back {number} && taken {TREE + 1 + i} || exit 1")
    last = TREE + 1 + random.randrange(TREE)
    # Then files go into their parents while it writes: one amidst, then the top; the worker is killed amidst a third, and what it had said was on its disk is there.
    steps.append(f"""
        back {last} || exit 1
        below=$(cat disk-{last})
        vmctl control checkpoint - 0=/root/m1.avhdx && ticks 2 || exit 1
        vmctl control merged 0 back-{last}.avhdx $below m1.avhdx 2>/dev/null && echo "lost: merged before"
        vmctl control merge 0 back-{last}.avhdx $below m1.avhdx && vmctl control merged 0 back-{last}.avhdx $below m1.avhdx || exit 1
        vmctl control merge 0 m1.avhdx back-{last}.avhdx 2>&1 | grep -c "do not lie over each other"
        ticks 1 && vmctl control merge 0 m1.avhdx $below && ticks 1 || exit 1
        vmctl control status | grep -c "$below,"
        rm m1.avhdx back-{last}.avhdx
        vmctl control checkpoint - 0=/root/m2.avhdx && ticks 2 || exit 1
        vmctl --no-wait control merge 0 m2.avhdx $below >/dev/null
        kill -9 $worker; wait $worker
        vhd convert m2.avhdx end.img --format raw >/dev/null || exit 1
        for n in $(grep ^tick out | tail -3 | tr -dc '0-9\\n'); do
            echo "on the disk $n $(dd if=end.img bs=512 skip=$((n * 37 % 1000)) count=1 2>/dev/null | tr -d '\\0')"
        done
        cat out >>all; grep -c ^tick all; grep lost all; cat errors
        for file in b.vhdx *.avhdx; do vhd test $file | grep -i damage; done
        vhd merge m2.avhdx && vhd test $below | grep -i damage""")
    text = t.root("\n".join(steps), puts=[*guest.puts(path=initrd), VMCTL, VHD])
    t.check("lost" not in text, "disk and memory are not of one moment")
    taken = {int(n): int(tick) for n, tick in re.findall(r"^checkpoint (\d+) tick (\d+)\r?$", text, re.M)}
    back = {int(n): int(tick) for n, tick in re.findall(r"^back (\d+) tick (\d+)\r?$", text, re.M)}
    t.same("checkpoints", sorted(taken), list(range(1, 2 * TREE + 1)))
    t.same("gone back to", sorted(back), sorted([*order, last]))
    for number, tick in back.items():
        t.check(taken[number] - 1 <= tick <= taken[number] + 2, f"checkpoint {number} was at {taken[number]}, and goes on at {tick}")
    ticks = re.findall(r"^on the disk (\d+) (.*?)\r?$", text, re.M)
    t.same("what was on the disk", [(n, said) for n, said in ticks], [(n, f"round {int(n):08}") for n, _ in ticks])
    t.same("of how many ticks", len(ticks), 3)
    t.same("refused, and its name", len(re.findall(r"^1\r?$", text, re.M)), 2)
    t.same("whole files", text.count("No damage found"), 2 * TREE + TREE + 1 + 1 + 1)
