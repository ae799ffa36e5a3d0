"""vmwp's answers to what it cannot do: one line that names the thing and the remedy, exit status 2, nothing left behind."""
import os
import re

from harness import BUILD, NOBODY, VHD, guest, random_file, test

GOOD = {"--name": "bad", "--kernel": "/root/vmlinuz", "--memory": "128M", "--vps": "1", "--serial": "stdio"}


def words(**change):
    options = GOOD | {f"--{name}": value for name, value in change.items()}
    return [word for option, value in options.items() if value is not None for word in (option, value)]


CASES = {
    "no such kernel": (words(kernel="/root/nothing"), "/root/nothing"),
    "not a kernel": (words(kernel="/etc/passwd"), "/etc/passwd: neither a Linux bzImage nor a multiboot image"),
    "a folder as kernel": (words(kernel="/root"), "/root"),
    "an empty kernel": (words(kernel="/root/empty"), "/root/empty"),
    "no such initrd": (words(initrd="/root/nothing"), "/root/nothing"),
    "a truncated kernel": (words(kernel="/root/half"), "/root/half"),
    "no memory": (words(memory="0"), "--memory"),
    "more memory than the host has": (words(memory="64G"), "memory"),
    "memory that is no size": (words(memory="lots"), "--memory"),
    "0 VPs": (words(vps="0"), "--vps"),
    "too many VPs": (words(vps="100000"), "--vps"),
    "VPs that are no number": (words(vps="two"), "--vps"),
    "an initrd larger than memory": (words(initrd="/root/large", memory="64M"), "/root/large"),
    "a truncated initrd": (words(initrd="/root/cut"), "--initrd /root/cut: the file is not complete"),
    "a truncated compressed initrd": (words(initrd="/root/cut.zst"), "--initrd /root/cut.zst: the file is not complete"),
    "a serial port nowhere": (words(serial="file:/nowhere/x"), "/nowhere/x"),
    "no such disk": (words(disk="/root/nothing.vhdx"), "/root/nothing.vhdx"),
    "a folder as disk": (words(disk="/root"), "/root"),
    "a disk that is none": (words(disk="/root/junk.vhdx"), "/root/junk.vhdx"),
    "a disk that is in use": (words(disk="/root/disk.vhdx") + ["--disk", "/root/disk.vhdx"], "/root/disk.vhdx"),
    "too many IDE disks": (words() + ["--disk", "/root/half,ide"] * 5, "/root/half"),
    "no such DVD": (words(dvd="/root/nothing.iso"), "/root/nothing.iso"),
    "no kernel at all": (words(kernel=None), "--kernel"),
    "no memory given": (words(memory=None), "--memory"),
    "a generation that is none": (words(generation="3"), "--generation 3"),
    "a kernel and a BIOS": (words(generation="1"), "--kernel"),
    "no such BIOS": (words(kernel=None, generation="1", firmware="/root/nothing"), "/root/nothing"),
    "a BIOS that is none": (words(kernel=None, generation="1", firmware="/root/half"), "--firmware /root/half: not a BIOS image"),
    "a floppy disk that is none": (words(kernel=None, generation="1", firmware="/root/bios", floppy="/root/half"), "--floppy /root/half"),
    "nowhere for a BIOS to say": (words(kernel=None, generation="1", firmware="/root/bios", **{"firmware-log": "/nowhere/x"}),
                                  "--firmware-log /nowhere/x"),
    "a user that is no number": (words(user="nobody"), "--user nobody: give a user's number"),
    "a worker that stays root": (words(user="0"), "--user 0: give a user's number"),
    "an unknown option": (words() + ["--frob"], "--frob"),
    "a configuration that is none": (["--config", "/root/empty"], "--config /root/empty: is no JSON"),
    "a configuration and options": (words() + ["--config", "/root/empty"], "leave the other options out"),
    "a descriptor that is not open": (["--config", "fd:77"], "--config fd:77"),
}


def one_line(t, name, status, text, wanted):
    t.same(f"{name}: exit status", status, "2")
    lines = text.strip().splitlines()
    t.check(len(lines) == 1, f"{name}: {len(lines)} lines: {text!r}")
    t.check(wanted in text, f"{name}: {text!r} does not name {wanted!r}")


@test("worker: bad input gets one clear line", deadline=400)
def bad_input(t):
    script = ["head -c 500000 initrd >cut", "head -c 3000000 vmlinuz | tee half >junk.vhdx; : >empty; vhd new disk.vhdx --size 8M; head -c 262144 /dev/zero >bios"]
    for name, (arguments, _) in CASES.items():
        script += [f"echo '=== {name}'", f"timeout 20 {guest.shell(['vmwp', *arguments])} 2>&1", "echo \"=status $?\""]
    script += ["echo '=== held'", "cat /sys/module/mshv_vd/parameters/partitions /sys/module/mshv_vd/parameters/pinned"]
    large = random_file(t.path("large"), 40 << 20)
    with open(t.path("cut.zst"), "wb") as file:  # a frame's head, and of its first block, 100,000 bytes, a part
        file.write(b"\x28\xb5\x2f\xfd\x00\x58" + (100000 << 3 | 1).to_bytes(3, "little") + bytes(5000))
    text = t.root("\n".join(script), puts=[*guest.puts(), (large, "/root/large"), (t.path("cut.zst"), "/root/cut.zst"), VHD])
    for part in text.split("=== ")[1:]:
        name, body = part.split("\n", 1)
        if name == "held":
            t.same("what is left behind", body.split(), ["0", "0"])
            continue
        message, status = re.match(r"(.*)=status (\d+)", body, re.S).groups()
        one_line(t, name, status, message, CASES[name][1])


@test("worker: more memory than its user may lock", deadline=400)
def locked(t):
    command = guest.shell(["vmwp", *words()])
    text = t.root(f"{NOBODY}; chmod 666 /dev/mshv; su nobody -c 'ulimit -l 64; {command}' 2>&1; echo \"=status $?\"", puts=guest.puts())
    message, status = re.match(r"(.*)=status (\d+)", text, re.S).groups()
    t.same("exit status", status, "5")
    t.same("lines", len(message.strip().splitlines()), 1)
    t.has(message, "128 MiB of memory are more than this user may lock, which is 64 KiB: raise RLIMIT_MEMLOCK (ulimit -l)")


@test("worker: without the hypervisor, the module or permission", deadline=400)
def lacks(t):
    command = guest.shell(["vmwp", *words()])
    script = f"{command} 2>&1; echo \"=status $?\""
    vmwp = [(os.path.join(BUILD, "worker", "vmwp"), "/usr/bin/vmwp")]
    for name, text, wanted in (
            ("no hypervisor", t.root(script, bare=True, puts=guest.puts() + vmwp), "no hypervisor"),
            ("no module", t.root(f"rmmod mshv_vd; {script}", puts=guest.puts()), "no module"),
            ("no permission", t.root(f"{NOBODY}; su nobody -c '{command}' 2>&1; echo \"=status $?\"", puts=guest.puts()),
             "no permission")):
        message, status = re.match(r"(.*)=status (\d+)", text, re.S).groups()
        one_line(t, name, status, message, wanted)


VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")
TICKS = """
    n=0
    while :; do
        n=$((n + 1))
        echo "tick $n $(cut -d' ' -f1 /proc/uptime)"
        usleep 200000
    done"""


@test("worker: a guest stands still, goes on, is reset and turned off from outside, and who watches is told", deadline=900)
def managed(t):
    initrd = guest.initrd("worker-ticks", TICKS)
    worker = guest.shell(guest.worker("ticks", more=["--control", "/root/control"], serial="unix:/root/line"))
    text = t.root(f"""
        {worker} & worker=$!
        until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
        vmctl control console </dev/null >out &
        vmctl control events >events &
        seen() {{ until grep -q "$1" out; do kill -0 $worker || exit 1; usleep 300000; done; }}
        ticks() {{ # some more of them
            before=$(grep -c ^tick out)
            until [ $(grep -c ^tick out) -gt $((before + 3)) ]; do kill -0 $worker || exit 1; usleep 100000; done
        }}
        refused() {{ "$@" 2>&1 && exit 1; }}
        seen "^tick 5 "
        vmctl control pause || exit 1
        sleep 1
        before=$(wc -c <out) last=$(grep ^tick out | tail -1)
        vmctl control status
        refused vmctl control pause
        sleep 12
        [ $(wc -c <out) = $before ] && echo "stood"
        vmctl control resume || exit 1
        refused vmctl control resume
        ticks
        grep -A1 "^$last" out | tr -d '\r' | tail -2 | awk '{{ print "uptime", $3 }}'
        vmctl control button || exit 1
        vmctl control pause || exit 1
        vmctl control reset || exit 1
        until vmctl control status | grep -q ', 1 resets'; do usleep 300000; done
        ticks
        vmctl control pause || exit 1
        vmctl control off || exit 1
        wait $worker; echo "worker: $?"
        sleep 1
        sed 's/^/event /' events
        ls -l control | cut -c 1-10""", puts=[*guest.puts(path=initrd), VMCTL])
    t.has(text, "worker: 6")
    t.has(text, "stood")
    t.has(text, "state      paused")
    t.has(text, "memory     512 MiB")
    t.has(text, "srw-------")
    uptimes = [float(word) for word in re.findall(r"^uptime (\S+)", text, re.M)]
    t.check(len(uptimes) == 2 and uptimes[1] - uptimes[0] < 12, f"the pause is in the guest's time: {uptimes}")
    for event in ("state paused", "state running", "reset resets 1", "state ended turned-off"):
        t.check(re.search(rf"^event \d+ {event}$", text, re.M), f"no event {event!r}")
