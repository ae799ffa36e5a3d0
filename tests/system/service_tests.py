"""Machines that have names: vmms and vm over workers and guests as they are."""
import os
import re

from harness import BUILD, guest, kernels, test
from bios_tests import BIOS, VGA_BIOS
from integration_tests import END, VMCTL

VMMS = (os.path.join(BUILD, "service", "vmms"), "/usr/bin/vmms")
VM = (os.path.join(BUILD, "cli", "vm"), "/usr/bin/vm")
VLIBVIRTD = (os.path.join(BUILD, "libvirt", "vlibvirtd"), "/usr/bin/vlibvirtd")
VIRSH = ("/usr/bin/virsh", "/usr/bin/virsh")
VMVNC = (os.path.join(BUILD, "console", "vmvnc"), "/usr/bin/vmvnc")
SOCAT = ("/usr/bin/socat", "/usr/bin/socat")
WORKER = (os.path.join(BUILD, "worker", "vmwp"), "/usr/bin/vmwp")

GUEST = END + """
    until [ -b /dev/sda ]; do usleep 100000; done
    (
        n=0
        while :; do
            n=$((n + 1))
            echo "tick $n $(cut -d' ' -f1 /proc/uptime)"
            echo "disks $(ls /sys/block | grep ^s | tr '\n' ' ')"
            usleep 200000
        done
    ) &
    while read -r word; do
        echo "heard $word"
    done"""


@test("service: machines are made, started, saved, shut down by name, and outlive the service", deadline=900)
def life(t):
    initrd = guest.initrd("service", GUEST, kernels.get("6.1"), ["hv_vmbus", "hv_utils", "hv_storvsc", "sd_mod", "sr_mod"])
    text = t.root(f"""
        serve() {{ vmms 2>>log & service=$!; until vm host >/dev/null 2>&1; do kill -0 $service || exit 1; usleep 100000; done; }}
        ticks() {{ # NAME: some more of them, on a console of its own
            vm console $1 <fifo >$1.out 2>/dev/null & console=$!
            exec 9>fifo
            before=$(grep -c ^tick $1.out)
            until [ $(grep -c ^tick $1.out) -gt $((before + 3)) ]; do kill -0 $console || exit 1; usleep 200000; done
        }}
        left() {{ exec 9>&-; kill $console; wait $console; }}
        mkfifo fifo
        serve
        vm create web --kernel /root/vmlinuz --initrd /root/initrd --append "{guest.CMDLINE}" --memory 128M --vps 2 --new-disk 64M || exit 1
        vm create db --kernel /root/vmlinuz --initrd /root/nothing --memory 128M || exit 1
        vm start web || exit 1
        vm start db 2>&1; echo "db: $?"
        # A screen, which outlives the service as well.
        vm create seen --generation 1 --memory 64M --set vga=true && vm start seen && vm pause seen || exit 1
        vm display seen seen.vnc 2>/dev/null & display=$!
        until [ -S seen.vnc ]; do kill -0 $display || exit 1; usleep 100000; done
        look() {{ socat -u UNIX-CONNECT:seen.vnc,readbytes=12 - | sed "s/^/$1: /"; }}
        look first
        ticks web
        echo hallo >&9
        until grep -q "^heard hallo" web.out; do usleep 200000; done
        # Changed while it runs: the guest sees a disk come and go, and a disc.
        truncate -s 3M more.img; truncate -s 5M disc.iso
        vm set web --set 'disks=[{{"file":"disk.vhdx"}},{{"file":"/root/more.img"}},{{"kind":"dvd","file":"/root/disc.iso"}}]' --set 'services=["shutdown"]' || exit 1
        until grep -q "disks sda sdb sr0" web.out; do usleep 200000; done
        vm set web --set 'disks=[{{"file":"disk.vhdx"}},{{"kind":"dvd"}}]' --vps 1 || exit 1
        grep -c . web.out >seen
        until tail -n +$(($(cat seen) + 1)) web.out | grep -q "disks sda sr0"; do usleep 200000; done
        vm set web --set 'disks=[{{"file":"disk.vhdx"}},{{"file":"/root/nothing.vhdx"}}]'; echo "refused: $?"
        vm show web | grep -A2 at-next-start
        vm set web --set 'disks=[{{"file":"disk.vhdx"}}]' --set services=null --vps 2 || exit 1
        left
        whole() {{ grep ^tick web.out | tail -2 | head -1; }} # the last one may have been cut off
        echo "first $(whole)"
        kill -9 $service; wait $service 2>/dev/null
        serve
        until vm list | grep -q "^web *running"; do usleep 200000; done
        vm start web 2>&1
        look second; kill $display; vm turn-off seen && vm delete seen || exit 1
        ln -s /run /var/run; vlibvirtd 2>>log & libvirt=$!
        until [ -S /run/libvirt/virtverdigrisd-sock ]; do kill -0 $libvirt || exit 1; usleep 100000; done
        virsh() {{ /usr/bin/virsh -q -c verdigris:///system "$@"; }}
        virsh suspend web && virsh domstate web && virsh resume web || exit 1
        virsh domstats web | grep -E 'state.state|cpu.time|rd.bytes'
        virsh dumpxml --inactive web >web.xml && virsh define web.xml && virsh dumpxml --inactive web | cmp - web.xml && echo "the same XML"
        kill $libvirt
        vm pause web && vm list && vm resume web || exit 1
        vm move-storage web /root/moved && vm show web | grep -c '"name": "/root/moved/disk.vhdx"' || exit 1
        vm save web || exit 1
        vm list
        ls /var/lib/verdigris/machines/web
        cp web.out before
        vm start web || exit 1
        ticks web; left
        grep -q "^tick 1 " web.out && echo "the guest has started anew"
        echo "then $(whole)"
        until vm stop web 2>>refused; do grep -q services refused || exit 1; usleep 500000; done
        vm show web | grep ended-by
        vm delete --disks web db && ls /var/lib/verdigris/machines | wc -l
        vm jobs | awk '{{ print "job", $2, $3, $4 }}'
        kill $service; wait $service; echo "service: $?"
        ps | grep -c '[v]mwp'; cat log""", puts=[*guest.puts(path=initrd), VMMS, VM, VMCTL, WORKER, VLIBVIRTD, VIRSH, VMVNC, SOCAT,
                         *((path, path) for path in (BIOS, VGA_BIOS))])
    t.has(text, "vm: 'db' did not start: --initrd /root/nothing: No such file or directory")
    t.has(text, "db: 1\n")
    t.has(text, "first: RFB 003.008\n")
    t.has(text, "second: RFB 003.008\n")
    t.has(text, "vm: 'web' is running and cannot be started")
    t.has(text, "paused\n")
    t.check(re.search(r"state\.state=1\n.*cpu\.time=[1-9]\d*\n.*rd\.bytes=[1-9]", text), "virsh does not see what the guest has done")
    t.has(text, "the same XML")
    t.check(re.search(r"^web +paused +2 +128M", text, re.M), "it is not seen paused")
    t.check(re.search(r"^web +saved +2 +128M", text, re.M), "it is not seen saved")
    t.has(text, "state.vmrs\n")
    t.has(text, "vm: 'web': /root/nothing.vhdx: No such file or directory\nrefused: 1\n")
    t.has(text, '"at-next-start": [\n    "vps"\n')
    uptimes = [float(uptime) for uptime in re.findall(r"^(?:first|then) tick \d+ (\S+)", text, re.M)]
    t.check(len(uptimes) == 2 and uptimes[1] > uptimes[0], f"it did not go on: {uptimes}")
    t.check("started anew" not in text, "it started anew instead of going on")
    t.has(text, '"ended-by": "power-off"')
    for job in ("start web done", "start db failed", "pause web done", "resume web done", "save web done", "shutdown web done", "change web done", "change web failed", "move-storage web done"):
        t.has(text, f"job {job}")
    t.has(text, "service: 0\n0\n")
