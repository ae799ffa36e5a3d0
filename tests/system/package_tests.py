"""The Debian packages on a stock Debian 12: installed by dpkg, started by GRUB and systemd, upgraded under guests, purged without a trace."""
import glob
import os
import re
import secrets
import subprocess
import tarfile

from harness import BUILD, IOMMU, TOP, guest, kernels, random_file, test
from labkit import CACHE, debian
from service_tests import GUEST

VERSIONS = ("0.1~first", "0.1~second")

# What an administrator does; the output and its status are the lab's channel. The machine is turned off by its own means.
TASK = """
until [ -c /dev/virtio-ports/lab ]; do sleep 0.1; done
exec >/dev/virtio-ports/lab 2>&1
echo "@@lab {token} begin"
cd /run
sh /run/command
status=$?
echo
echo "@@lab {token} exit $status"
poweroff
"""

# What is on the disk, without what dpkg, systemd and the journal write of themselves.
LIST = """
    listing() { find / -xdev \\( -path /var/lib/dpkg -o -path /var/log -o -path /var/lib/systemd -o -path /var/tmp -o -path /tmp \\) -prune -o -print | sort; }
"""
BEFORE = LIST + """
    set -e
    printf '%s\\n' GRUB_DEFAULT=0 GRUB_TIMEOUT=0 GRUB_DISTRIBUTOR=Debian GRUB_TERMINAL=serial 'GRUB_CMDLINE_LINUX="console=ttyS0,115200 panic=-1"' \\
        'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"' >/etc/default/grub
    grub-install --target=i386-pc /dev/vda
    touch /boot/grub/grub.cfg
    useradd -m carol
    mkdir -p /etc/systemd/system/serial-getty@ttyS0.service.d
    printf '[Service]\\nExecStart=\\nExecStart=-/sbin/agetty --autologin carol --keep-baud 115200 - vt220\\n' >/etc/systemd/system/serial-getty@ttyS0.service.d/auto.conf
    listing >/var/tmp/before
    dpkg -i module.deb verdigris.deb
    systemctl is-active vmms vswitchd vweb vmms.socket vlibvirtd.socket verdigris-guests
    usermod -a -G verdigris carol
    sed -i s/^VERDIGRIS_MENU=.*/VERDIGRIS_MENU=always/ /etc/default/verdigris
    cp vmlinuz initrd /var/tmp/
    runuser -u carol -- vm create web --kernel /var/tmp/vmlinuz --initrd /var/tmp/initrd --append "APPEND" --memory 128M --new-disk 64M --start always
    vm start web && exit 1
    vm list
"""
AFTER = LIST + """
    running() { until vm list | grep -q "^$1 *running"; do vm list | grep -q "^$1 " || exit 1; sleep 0.3; done; }
    ticks() { # WHEN: more of them than there were
        vm console web <fifo >/run/web.out 2>/dev/null & console=$!
        exec 9>fifo
        until grep -q ^tick /run/web.out; do kill -0 $console || exit 1; sleep 0.2; done
        seen=$(grep -c ^tick /run/web.out)
        until [ $(grep -c ^tick /run/web.out) -gt $((seen + 2)) ]; do kill -0 $console || exit 1; sleep 0.2; done
        exec 9>&-; kill $console; wait $console 2>/dev/null
        echo "$1: at $(grep ^tick /run/web.out | tail -1 | cut -d' ' -f3)"
    }
    of() { grep -lx $1 /proc/[0-9]*/comm 2>/dev/null | cut -d/ -f3 | tr '\\n' ' '; }
    state() { echo "$1: vmms $(systemctl show -P ActiveState vmms) $(of vmms)"; echo "$1: others $(of vswitchd)$(of vmwp)$(of vnat)"; }
    mkfifo fifo
    echo "system is $(systemctl is-system-running --wait)"; systemctl --failed --no-legend
    dmesg | grep -o 'Hypervisor detected: .*'
    running web
    systemctl restart serial-getty@ttyS0  # by now there is something to be shown
    runuser -u carol -- vm create hers --kernel /var/tmp/vmlinuz --initrd /var/tmp/initrd --append "APPEND" --memory 128M --net nat || exit 1
    runuser -u carol -- vm start hers || exit 1
    running hers
    systemctl list-units --no-legend --plain 'vm-*.scope'
    runuser -u carol -- vm add-switch way --kind nat || exit 1
    runuser -u carol -- vm switches
    for nat in $(of vnat); do echo "vnat: $(cat /proc/$nat/cgroup)"; done
    ticks first; state first
    systemctl restart vmms || exit 1
    running web; running hers
    ticks second; state second
    dpkg -i second.deb || exit 1
    dpkg-query -W verdigris
    running web; running hers
    ticks third; state third
    modprobe vfio-pci; disk=$(basename $(dirname $(grep -l ^0x010802 /sys/bus/pci/devices/*/class)))
    for verb in dismount mount; do vm $verb-device $disk; echo "$verb: $(basename $(readlink /sys/bus/pci/devices/$disk/driver))"; done
    systemctl start vlibvirtd && systemctl is-active vlibvirtd
    # A guest whose services are not there yet cannot be asked; those of "web" are.
    vm turn-off hers
    systemctl stop verdigris-guests
    vm list
    vm show web | grep ended-by
    vm delete --disks web hers || exit 1
    dpkg --purge verdigris verdigris-module || exit 1
    echo "left: $(getent group verdigris)$(grep -c 'on Verdigris' /boot/grub/grub.cfg)$(of vmms)$(of vswitchd)$(of vlibvirtd)$(of vweb)"
    listing | diff /var/tmp/before - && echo "no trace"
    journalctl -b -p warning --no-pager -o cat _PID=1
"""


def packages(t):
    """Those of the first version, by name."""
    version = VERSIONS[0]
    done = subprocess.run(["make", "-s", "-C", TOP, "deb", f"VERSION={version}"], capture_output=True, text=True,
                          env=os.environ | {"DEB_BUILD_OPTIONS": "noautodbgsym"})
    t.check(done.returncode == 0, f"make deb failed: {done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {name: glob.glob(f"{BUILD}/deb/{name}_{version}_*.deb")[0] for name in ("verdigris", "verdigris-dkms", "libvdisk0", "libvdisk-dev")}


def call(t, words, **options):
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, **options)
    t.check(done.returncode == 0, f"{' '.join(words)}:\n{done.stdout}")
    return done.stdout


def next_version(t, package):
    """The same package as a later version, which takes less than to make all anew."""
    tree, later = t.path("later"), t.path("later.deb")
    call(t, ["dpkg-deb", "-R", package, tree])
    call(t, ["sed", "-i", f"s/^Version: .*/Version: {VERSIONS[1]}/", f"{tree}/DEBIAN/control"])
    call(t, ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, later])
    return later


def headers(version):
    found = glob.glob(f"/lib/modules/{version}/build") + glob.glob(f"{CACHE}/headers/*/lib/modules/{version}/build")
    if not found:
        folder = kernels.once(f"{CACHE}/headers/{version}", lambda new: kernels.fetch_headers("6.1", version, new))
        found = [f"{folder}/lib/modules/{version}/build"]
    return found[0]


def module(t, package, version):
    """What DKMS makes of the package for this kernel, as a package for a machine without a compiler."""
    for name in ("dkms", "installed", "module/DEBIAN"):
        os.makedirs(t.path(name))
    call(t, ["dpkg-deb", "-x", package, t.path("sources")])
    folder = glob.glob(t.path("sources/usr/src/verdigris-*"))[0]
    call(t, ["dkms", "build", "-m", "verdigris", "-v", os.path.basename(folder).partition("-")[2], "-k", version, "--kernelsourcedir", headers(version),
             "--sourcetree", t.path("sources/usr/src"), "--dkmstree", t.path("dkms"), "--installtree", t.path("installed")])
    built = glob.glob(t.path(f"dkms/verdigris/*/{version}/*/module/mshv_vd.ko"))
    t.check(built, "DKMS built no module")
    where = t.path(f"module/lib/modules/{version}/updates/dkms")
    os.makedirs(where)
    call(t, ["cp", built[0], where])
    with open(t.path("module/DEBIAN/control"), "w") as control:
        control.write("Package: verdigris-module\nVersion: 0.1\nArchitecture: amd64\nMaintainer: a test\nDescription: a module that DKMS has built\n")
    for script in ("postinst", "postrm"):
        with open(t.path(f"module/DEBIAN/{script}"), "w", opener=lambda path, flags: os.open(path, flags, 0o755)) as file:
            file.write(f"#!/bin/sh\ndepmod {version}\n")
    call(t, ["dpkg-deb", "--root-owner-group", "-Znone", "-b", t.path("module"), t.path("module.deb")])
    return t.path("module.deb")


def boot(t, system, command, boot_, files, **options):
    """The machine from its disk until it is off; what the command said."""
    token = secrets.token_hex(8)
    archive = t.path("task.tar")
    for name, text in (("command", command), ("task", TASK.format(token=token))):
        with open(t.path(name), "w") as file:
            file.write(text)
    with tarfile.open(archive, "w") as tar:
        for name, path in {"command": t.path("command"), "task": t.path("task"), **files}.items():
            tar.add(path, name)
    if not os.path.exists(t.path("disk.qcow2")):
        call(t, ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", system.disk, t.path("disk.qcow2")])
    drives = ["-drive", f"if=none,id=host,format=qcow2,cache=unsafe,file={t.path('disk.qcow2')}", "-device", "virtio-blk-pci,drive=host",
              "-drive", f"if=none,id=task,format=raw,readonly=on,file={archive}", "-device", "virtio-blk-pci,drive=task"]
    return t.root("", boot=lambda *_: [*boot_, *drives], ends="guest-shutdown", token=token, **options)


@test("package: Debian installs it, GRUB starts it, guests outlive an upgrade, a purge leaves nothing", deadline=1800, early=True)
def life(t):
    system = debian.get()
    first = packages(t)
    call(t, ["lintian", "--fail-on", "error", *first.values()])
    built = module(t, first["verdigris-dkms"], kernels.Kernel(system.image).version)
    initrd = guest.initrd("package", GUEST, kernels.get("6.1"), ["hv_vmbus", "hv_utils", "hv_storvsc", "sd_mod"])
    files = {"module.deb": built, "verdigris.deb": first["verdigris"], "vmlinuz": kernels.get("6.1").image, "initrd": initrd}
    text = boot(t, system, BEFORE.replace("APPEND", guest.CMDLINE), ["-kernel", system.image, "-initrd", system.initrd,
                "-append", "root=LABEL=debian console=ttyS0,115200 panic=-1"], files, bare=True)
    t.same("its status before there is a hypervisor", t.runs[-1][0].status, 0)
    t.has(text, 6 * "active\n")
    t.has(text, "vm: 'web' did not start: no hypervisor")
    second = next_version(t, first["verdigris"])
    disk = ["-drive", f"if=none,id=scratch,format=raw,file={random_file(t.path('scratch'), 1 << 20)}", "-device", "nvme,serial=scratch,drive=scratch"]
    text = boot(t, system, AFTER.replace("APPEND", guest.CMDLINE), [], {"second.deb": second}, qemu_args=IOMMU["AMD-Vi"] + disk)
    t.same("its status", t.runs[-1][0].status, 0)
    t.has(t.console, "Booting `Debian on Verdigris'")
    t.has(text, "system is running\n")
    t.has(text, "Hypervisor detected: Microsoft Hyper-V")
    t.check(re.search(r"1\) Virtual machines +[12], of which [12] run", t.console), "who logs in at the console does not land in the menu")
    for name in ("web", "hers"):
        t.check(re.search(rf"^vm-{name}-\d+\.scope +loaded +active +running +Machine {name}$", text, re.M), f"'{name}' has no scope of its own")
    t.check(re.search(r"^nat +", text, re.M), "the switch of /etc/verdigris/switches is not there")
    at = [float(when) for when in re.findall(r"^(?:first|second|third): at (\S+)", text, re.M)]
    t.check(len(at) == 3 and at == sorted(at), f"the guest did not run on: {at}")
    service = re.findall(r"^(?:first|second|third): vmms active (\d+) $", text, re.M)
    t.check(len(set(service)) == 3, f"vmms was not restarted: {service}")
    others = re.findall(r"^(?:first|second|third): others ((?:\d+ ){5})$", text, re.M)
    t.check(len(others) == 3 and len(set(others)) == 1, f"vswitchd, two workers and two vnat are not what they were: {others}")
    t.check(len(re.findall(r"^vnat: 0::/system.slice/run-.*\.scope$", text, re.M)) == 2, "a vnat has no scope of its own")
    t.has(text, "verdigris\t0.1~second\n")
    t.has(text, "dismount: vfio-pci\n")
    t.has(text, "\nmount: nvme\n")
    t.check(re.search(r"^web +off ", text, re.M), "a machine has not got its stop action")
    t.has(text, '"ended-by": "power-off"')
    t.has(text, "left: 0\nno trace\n")
    t.check("left-over" not in text, f"systemd complains: {text[-1000:]}")
