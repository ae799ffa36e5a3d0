"""Integration services: shutdown, heartbeat and time, in stock guests."""
import os
import re

from harness import BUILD, guest, kernels, test
from labkit import programs

DRIVERS = ["hv_vmbus", "hv_utils"]
PROGRAMS = [os.path.join(BUILD, "tests", "system", "clock")]
VMCTL = (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")

# What the kernel runs when it is asked, and says so on the console.
END = """
    mkdir -p /sbin
    for how in poweroff reboot; do
        printf '#!/bin/sh\\necho "guest: in order, %s" >/dev/console\\nexec /bin/busybox %s -f\\n' $how $how >/sbin/$how
        chmod 755 /sbin/$how
    done
    dmesg | grep hv_utils
"""
READY = """
    echo "guest: services ready"
    while :; do sleep 60; done"""

# The answer to "clock" on the console is how far the guest's clock is from the host's.
CLOCK = """
    echo "guest: services ready"
    while read -r word; do
        [ "$word" = clock ] && clock
    done"""

HOST = """
    until [ -S control ]; do kill -0 $worker || exit 1; usleep 100000; done
    seen() { until grep -q "$1" out; do kill -0 $worker || exit 1; usleep 300000; done; }
    contacted() { until vmctl control services | grep -q "^$1 .*, version "; do kill -0 $worker || exit 1; usleep 300000; done; }
    refused() { "$@" 2>&1 && exit 1; }
"""


def puts(t, kernel, command, files=(), drivers=()):
    architecture = "i386" if kernel.endswith("i386") else "amd64"
    initrd = guest.initrd(f"integration-{os.path.basename(t.folder.name)}", END + command, kernels.get(kernel), [*DRIVERS, *drivers],
                          architecture, files)
    return [*guest.puts(kernel, initrd), VMCTL]


def services(kernel):
    @test(f"integration: {kernel} is in contact, is switched off and on, restarts and ends in order", deadline=900)
    def run(t):
        worker = guest.shell(guest.worker("box", more=["--control", "/root/control"]))
        text = t.root(f"""
            {worker} </dev/null >out 2>&1 & worker=$!
            {HOST}
            refused vmctl control shutdown
            seen "services ready"
            for name in shutdown heartbeat time; do contacted $name; done
            until vmctl control services | grep -q '^heartbeat .*answered.*heartbeat ok'; do sleep 1; done
            vmctl control services heartbeat off
            refused vmctl control services tea off
            vmctl control services | grep heartbeat
            vmctl control services heartbeat on
            contacted heartbeat
            vmctl control services
            vmctl control shutdown --reboot || exit 1
            vmctl control status | grep resets
            until [ $(grep -c "services ready" out) = 2 ]; do kill -0 $worker || exit 1; usleep 300000; done
            contacted shutdown
            vmctl control events >events &
            vmctl control shutdown --force || exit 1
            wait $worker; echo "worker: $?"
            sleep 1
            sed 's/^/event /' events
            cat out""", puts=puts(t, kernel, READY))
        t.has(text, "the guest cannot be asked to shut down: the guest has not opened its channel")
        t.has(text, "heartbeat  off: it is switched off")
        t.has(text, "1 resets")
        t.has(text, "worker: 0")
        t.has(text, "guest: in order, reboot")
        t.has(text, "guest: in order, poweroff")
        for version in ("Heartbeat IC version 3.0", "Shutdown IC version 3.2", "TimeSync IC version 4.0"):
            t.has(text, version)
        t.check(re.search(r"^event .* shutdown *done", text, re.M), "no event says that the shutdown is done")
        t.check("dropped" not in text, "an answer of the guest's was taken for a wrong one")


for kernel_ in ("6.1", "6.12", "6.1-i386", "7"):
    services(kernel_)


@test("integration: the guest's clock is the host's within a millisecond: after a boot, a pause and a step of the host's", deadline=900)
def clock(t):
    worker = guest.shell(guest.worker("box", more=["--control", "/root/control"]))
    text = t.root(f"""
        mkfifo keys
        {worker} <keys >out 2>&1 & worker=$!
        exec 3>keys
        {HOST}
        looks=0
        look() {{
            looks=$((looks + 1))
            echo clock >&3
            until [ $(grep -c "^clock:" out) = $looks ]; do kill -0 $worker || exit 1; usleep 300000; done
            echo "$1 $(grep "^clock:" out | tail -1)"
        }}
        seen "services ready"
        contacted time
        sleep 1
        look boot
        vmctl control pause || exit 1
        sleep 7
        vmctl control resume || exit 1
        sleep 1
        look pause
        date -s "@$(($(date +%s) - 100000))"
        sleep 1
        look back
        date -s "@$(($(date +%s) + 100017))"
        sleep 1
        look forth
        vmctl control shutdown || exit 1
        wait $worker; echo "worker: $?"
        cat out""", puts=puts(t, "6.1", CLOCK, PROGRAMS))
    t.has(text, "worker: 0")
    for when in ("boot", "pause", "back", "forth"):
        match = re.search(rf"^{when} clock: (-?\d+) seconds and (-?\d+) ns ahead, seen within (\d+) ns", text, re.M)
        t.check(match, f"no clock after {when}")
        seconds, rest, within = map(int, match.groups())
        t.check(seconds == 0 and abs(rest) < 1000000 + within // 2, f"after {when}: {match[0]}")


# The daemon, started and killed by words on the console; it keeps its values in files. The guest's own are written as a program of the
# guest would.
VALUES = """
    set -- /sys/bus/scsi/devices/*:0:0:0/block/*
    until [ -e "$1" ]; do usleep 100000; set -- /sys/bus/scsi/devices/*:0:0:0/block/*; done
    mkdir -p /mnt /new
    mount -t ext4 -o ro /dev/${1##*/} /mnt
    mount -t tmpfs tmp /new
    cp -a /mnt/. /new/
    mkdir -p /new/var/lib/hyperv
    mount -t devtmpfs dev /new/dev
    mount -t proc proc /new/proc
    for i in $(seq 100); do
        printf "key $i" | dd bs=512 conv=sync 2>/dev/null
        printf "value $i" | dd bs=2048 conv=sync 2>/dev/null
    done >/new/var/lib/hyperv/.kvp_pool_1
    echo "guest: services ready"
    while read -r word; do
        case $word in
        start) chroot /new /bin/hv_kvp_daemon -n & daemon=$! ;;
        kill) kill -9 $daemon ;;
        show) echo "guest: pool 0: $(tr -d '\\000' </new/var/lib/hyperv/.kvp_pool_0)" ;;
        esac
        echo "guest: done $word"
    done"""


def values(kernel):
    @test(f"integration: values are exchanged with {kernel}'s daemon, which is killed and started again", deadline=900)
    def run(t):
        worker = guest.shell(guest.worker("box", more=["--control", "/root/control", "--disk", "/dev/vda,ro"]))
        text = t.root(f"""
            modprobe virtio_blk 2>/dev/null
            mkfifo keys
            {worker} <keys >out 2>&1 & worker=$!
            exec 3>keys
            {HOST}
            say() {{ echo $1 >&3; until grep -q "done $1" out; do kill -0 $worker || exit 1; usleep 300000; done; }}
            seen "services ready"
            refused vmctl control value auto OSName
            say start
            contacted values
            vmctl control values auto | sed 's/^/auto: /'
            vmctl control set-value external greeting 'grüß dich' || exit 1
            vmctl control set-value external number 4000000000 number32 || exit 1
            vmctl control set-value external large 18446744073709551615 number64 || exit 1
            vmctl control values external | sed 's/^/external: /'
            vmctl control delete-value external number || exit 1
            refused vmctl control value external number
            say show
            vmctl control values guest | sed 's/^/guest says: /'
            say kill
            refused vmctl control value external greeting
            vmctl control services | grep values
            echo start >&3
            until vmctl control value external greeting; do kill -0 $worker || exit 1; sleep 1; done
            vmctl control services
            vmctl control shutdown || exit 1
            wait $worker; echo "worker: $?"
            cat out""", puts=puts(t, kernel, VALUES, drivers=["hv_storvsc", "sd_mod", "ext4"]),
                      disks=[programs.disk("daemons", [("hv_kvp_daemon", "hyperv-daemons")])])
        t.has(text, "worker: 0")
        t.has(text, "hv_kvp_daemon) may not run")
        t.has(text, "auto: OSBuildNumber=")
        t.has(text, "auto: ProcessorArchitecture=x86_64")
        for line in ("greeting=grüß dich", "number=4000000000", "large=18446744073709551615"):
            t.has(text, f"external: {line}")
        t.has(text, "the guest has no such value")
        t.same("the guest's values", re.findall(r"^guest says: (.*)$", text, re.M), [f"key {i}=value {i}" for i in range(1, 101)])
        t.check(re.search(r"^guest: pool 0: greetinggrüß dichlarge18446744073709551615", text, re.M), "what the guest's file has")
        t.has(text, "the guest has not answered for a minute")  # Linux holds it back until the daemon is there again


for kernel_ in ("6.1", "6.12"):
    values(kernel_)
