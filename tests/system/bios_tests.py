"""Machines of generation 1: what their BIOS starts, and what runs on their emulated parts."""
import os
import random
import re
import socket
import struct
import subprocess
import threading
import wave

from harness import BUILD, VHD, guest, kernels, test
from labkit import bios, png

POWERED_OFF, RESET = 0, 3
BIOS = "/usr/share/seabios/bios-256k.bin"  # of the package seabios, which QEMU's brings along
VGA_BIOS = "/usr/share/seabios/vgabios-stdvga.bin"
DRIVERS = ("hv_storvsc", "ata_piix", "sd_mod", "sr_mod", "isofs", "hyperv-keyboard", "hid-hyperv", "hid-generic", "evdev")
GIB = 200  # of the disk for data, whose end 28 bits of an address do not reach

DISC = """
echo "grub: from the disc"
set disc=yes
export disc
configfile (hd0,msdos1)/grub/grub.cfg
"""

DISK = f"""
if [ "$disc" = yes ]; then
    linux (hd0,msdos1)/vmlinuz {guest.CMDLINE}
    initrd (hd0,msdos1)/initrd
    boot
fi
echo "grub: from the disk"
hexdump -s {(GIB << 30) - 512} -n 16 (hd1)
halt
"""

# The disk for data by VMBus, since ata_piix leaves disks to that on Hyper-V; by both ways, in turn and at once; by DMA and with DMA
# forbidden. What was written last lies at its very end.
LINUX = f"""
data() {{
    for d in /sys/block/sd*; do
        case "$(readlink -f $d)" in */ata[0-9]*) way=ata ;; *) way=vmbus ;; esac
        [ $way = $1 ] && [ "$(cat $d/size)" = {GIB << 21} ] && echo /dev/${{d##*/}}
    done
}}
ata() {{
    rmmod ata_piix && insmod /lib/modules/ata_piix.ko prefer_ms_hyperv=0
    until [ -b "$(data ata)" ]; do sleep 1; done
}}
put() {{ dd if=$1 of=$(data $2) bs=64k seek=$3 oflag=direct 2>/dev/null; }}
get() {{ dd if=$(data $2) of=$1 bs=64k skip=$3 count=$4 iflag=direct 2>/dev/null; }}
# The lines of what an event device says: type, code, value.
events() {{
    until e=$(grep -A4 "$1" /proc/bus/input/devices | grep -o 'event[0-9]*') && [ -n "$e" ]; do sleep 1; done
    timeout 60 dd if=/dev/input/$e bs=24 count=$2 2>/dev/null | hexdump -v -e '12/2 "%d " "\n"' | cut -d' ' -f9-11
}}
cd /tmp
events d34b2567-b9b6-42b9-8778-0a4ec0b955bf 6 >keys & events 'Name="Microsoft Vmbus' 24 >moves & wait
echo keys: $(cat keys); echo moves: $(cat moves)
dd if=/dev/urandom of=a bs=64k count=64 2>/dev/null
dd if=a of=c bs=64k skip=8 count=4 2>/dev/null
until [ -b "$(data vmbus)" ]; do sleep 1; done
dmesg | grep -o 'ATA device ignore set'; [ -z "$(data ata)" ] && echo "guest: by VMBus alone"
put a vmbus 3
ata
get b ata 3 64; cmp a b && echo "guest: what VMBus wrote, by ATA"
put c ata 10; get d vmbus 10 4; cmp c d && echo "guest: what ATA wrote, by VMBus"
put a ata 3 & put a vmbus 100 & wait
get b vmbus 3 64 & get d ata 100 64 & wait
cmp a b && cmp a d && echo "guest: both at once"
mount -t iso9660 -o ro /dev/sr0 /mnt && grep "from the disc" /mnt/boot/grub/grub.cfg
umount /mnt
modes() {{ cat /sys/class/ata_device/*/xfer_mode | grep -c "$1"; }}
echo "DMA: $(modes DMA)"
rmmod ata_piix && rmmod libata && insmod /lib/modules/libata.ko dma=0 && insmod /lib/modules/ata_piix.ko && ata
echo "PIO: $(modes PIO)"
get b ata 3 4; dd if=a of=d bs=64k count=4 2>/dev/null; cmp b d && echo "guest: by PIO"
put c ata 200
printf 'the very end....' | dd of=e bs=512 conv=sync 2>/dev/null
dd if=e of=$(data ata) bs=512 seek=$(( ({GIB} << 21) - 1 )) oflag=direct 2>/dev/null
echo "guest: first $(md5sum <a)"
echo "guest: later $(md5sum <c)"
sync
"""


@test("bios: GRUB of a disc and of a disk, Linux on IDE drives and VMBus at once, by DMA and by PIO", deadline=900)
def drives(t):
    kernel = kernels.get("6.1")
    initrd = guest.initrd("ide", LINUX, kernel=kernel, drivers=DRIVERS)
    disk = bios.disk("ide.img", DISK, [("vmlinuz", kernel.image), ("initrd", initrd)])
    words = ["vmwp", "--name", "ide", "--generation", "1", "--disk", "/root/boot.img,ide,raw", "--disk", "/root/data.vhdx,ide",
             "--memory", "256M", "--vps", "2", "--serial", "stdio", "--on-reset", "exit"]
    text = t.root(f"""
        vhd create /root/data.vhdx --size {GIB}G
        # A viewer, who says that he speaks RFB 3.8 without a password, holds Shift and a button for a moment, at two corners in turn.
        while sleep 1; do
            for at in '\\0\\0\\0\\0' '\\377\\377\\377\\377'; do
                {{ printf "RFB 003.008\\n\\1\\1\\4\\1\\0\\0\\0\\0\\377\\341\\5\\1$at\\4\\0\\0\\0\\0\\0\\377\\341\\5\\0$at"; sleep 1; }} |
                    socat - UNIX-CONNECT:/root/vnc
            done
        done >/dev/null 2>&1 & viewer=$!
        {guest.shell([*words, "--iso", "/root/disc.iso", "--firmware-log", "/root/log", "--vnc", "unix:/root/vnc"])} </dev/null; echo ended with $?
        kill $viewer
        {guest.shell(words)} </dev/null; echo ended with $?
        grep drive /root/log
        modprobe nbd && data=$(vhd attach /root/data.vhdx --read-only) || exit 1
        echo "file: first $(dd if=$data bs=64k skip=3 count=64 2>/dev/null | md5sum)"
        echo "file: later $(dd if=$data bs=64k skip=200 count=4 2>/dev/null | md5sum)"
        vhd detach $data""",
                  puts=[*((path, path) for path in (BIOS, VGA_BIOS, "/usr/bin/socat")), VHD, (os.path.join(BUILD, "console", "vmvnc"), "/usr/bin/vmvnc"),
                        (disk, "/root/boot.img"), (bios.disc("ide.iso", DISC), "/root/disc.iso")])
    text = bios.words_of(text)
    for said in ("grub: from the disc", "ATA device ignore set", "guest: by VMBus alone", "guest: what VMBus wrote, by ATA",
                 "guest: what ATA wrote, by VMBus", "guest: both at once", 'echo "grub: from the disc"', "guest: by PIO", "grub: from the disk"):
        t.has(text, said)
    t.has(text, "1 42 1 0 0 0 4 4 42 1 42 0 0 0 0")  # the left Shift key, its scan code first
    t.check(re.search(r"moves:.* 1 272 1 .*3 0 32767 3 1 32767 .*1 272 0", text), "the pointer is not where the viewer's was")
    t.check(text.count(f"ended with {POWERED_OFF}\n") == 2, "Linux and GRUB, by the BIOS, both turn the machine off")
    for mode in "DMA", "PIO":
        t.check(int(re.search(rf"{mode}: (\d+)", text)[1]) >= 3, f"Linux does not use {mode} for all")
    for which in ("first", "later"):
        sums = re.findall(rf"(?:guest|file): {which} (\w+)", text)
        t.check(len(sums) == 2 and sums[0] == sums[1], f"what was written {which}: {sums}")
    t.has(text, "the very end....")  # as GRUB reads it by the BIOS
    t.calm(text)


# A client that is not ours, Net::VNC. It does not know of screens that change their size, so there is one for each picture.
CLIENT = """
use strict; use warnings; use Net::VNC;
my ($port, $task, $folder) = @ARGV;
my $vnc = Net::VNC->new({hostname => "127.0.0.1", port => $port});
$vnc->depth(24); $vnc->hide_cursor(1); $vnc->login;
sub key { my $key = shift; $vnc->send_key_event_down($key); $vnc->send_key_event_up($key); }
# A BIOS remembers 15 keys: each is seen on the screen before the next.
sub type { my $char = shift; key($char eq "\\n" ? 0xff0d : ord $char); $vnc->capture; }
my $picture = $vnc->capture;
$picture->has_alpha(0); $picture->save("$folder/$task.png");
if ($task eq "grub") { type($_) for split //, "echo By-VNC!\\nreboot"; key(0xff0d); }
else { key(ord "x"); }
if ($task eq "first") { $vnc->mouse_move_to(1023, 767); $vnc->mouse_click; }
if ($task eq "second") { $vnc->mouse_move_to(0, 0); $vnc->mouse_click; }
"""


def pump(one, other):
    try:
        while data := one.recv(1 << 16):
            other.sendall(data)
    except OSError:
        pass
    for end in one, other:
        try:
            end.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def view(listener, folder, tasks, said):
    """For each task a client, when the root connects for it; both connect, so we are in between."""
    for task in tasks:
        far = listener.accept()[0]
        with socket.create_server(("127.0.0.1", 0)) as door:
            client = subprocess.Popen(["perl", "-e", CLIENT, str(door.getsockname()[1]), task, folder],
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            near = door.accept()[0]
            for ends in (far, near), (near, far):
                threading.Thread(target=pump, args=ends, daemon=True).start()
            said.append(client.communicate()[0])


def want(listener, width, height, said):
    """A viewer that has this size asked for (RFB's SetDesktopSize) when the root connects for it; why the guest will not hear of it."""
    with listener.accept()[0] as far, far.makefile("rwb") as line:
        def say(*parts):
            line.write(b"".join(parts))
            line.flush()

        line.read(12)
        say(b"RFB 003.008\n")
        line.read(line.read(1)[0])
        say(b"\1")
        line.read(4)
        say(b"\1")
        line.read(int.from_bytes(line.read(24)[20:], "big"))
        look = struct.pack(">BBHHHH", 3, 0, 0, 0, 1, 1)  # of one pixel
        say(struct.pack(">BxHiii", 2, 3, 0, -223, -308), look, struct.pack(">BxHHBxIHHHHI", 251, width, height, 1, 1, 0, 0, width, height, 0), look)
        while True:
            for _ in range(struct.unpack(">xxH", line.read(4))[0]):
                x, y, _, _, kind = struct.unpack(">HHHHi", line.read(12))
                line.read(4 if kind == 0 else 20 if kind == -308 else 0)
                if kind == -308 and x == 1:  # an answer: 4 is that the guest is told
                    said.append("" if y == 4 else f"a size is answered with {y}")
                    return
            say(look)


PICTURES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "pictures")  # QEMU's, of the same disk
ALIKE = 3  # colours of 6 bits are made into 8 in more than one way


@test("bios: text and pixels on a VGA are what they are elsewhere, as a viewer sees them, too", deadline=900)
def screen(t):
    """The first machine is looked at by vmctl and by a viewer, who types; the second's GRUB is typed at."""
    words = ["vmwp", "--name", "screen", "--generation", "1", "--memory", "64M", "--vps", "1", "--serial", "stdio", "--control", "/root/control",
             "--vnc", "unix:/root/vnc", "--on-reset", "exit"]
    floppy, disc = words + ["--floppy", "/root/screen.img", "--debug-exit"], words + ["--iso", "/root/disc.iso"]
    pictures, said = ["text", "mode13h"], []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        viewer = threading.Thread(target=view, args=(listener, t.folder.name, ["text", "mode13h", "grub"], said), daemon=True)
        viewer.start()
        text = t.root(f"""
            modprobe virtio_net; until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
            ifconfig lo up; ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
            start() {{ mkfifo keys$1; exec 3<>keys$1; shift; "$@" <&3 >said 2>err & worker=$!; }}
            wait_for() {{ until grep -q "$1" said || ! kill -0 $worker; do sleep 1; done; }}
            see() {{ socat UNIX-CONNECT:/root/vnc TCP:10.0.2.2:{listener.getsockname()[1]} & }}
            start 1 {guest.shell(floppy)}
            wait_for "screen: 3"; vmctl /root/control screenshot /root/vmctl.png
            see; wait_for "screen: d"; see; wait $worker; echo ended with $?; cat err
            start 2 {guest.shell(disc)}
            wait_for "grub>"; see; wait $worker; echo ended with $?; cat err said""",
                      puts=[(path, path) for path in (BIOS, VGA_BIOS, "/usr/bin/socat")] + [
                          (os.path.join(BUILD, "tests", "guest", "screen.img"), "/root/screen.img"), (bios.disc("prompt.iso", ""), "/root/disc.iso"),
                          (os.path.join(BUILD, "console", "vmvnc"), "/usr/bin/vmvnc"), (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")],
                      gets=[("/root/vmctl.png", t.path("vmctl.png"))],
                      qemu_args=["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"])
        viewer.join(30)
    for line in said:
        t.check(not line, f"the viewer says: {line}")
    t.has(text, "ended with 1\n")
    t.has(text, f"ended with {RESET}\n")
    t.check(len(re.findall(r"By-VNC!", bios.words_of(text))) >= 2, "GRUB has not heard what the viewer typed")
    for name, wanted in (("vmctl", "text"), *((name, name) for name in pictures)):
        seen = png.read(t.path(f"{name}.png"))
        apart = png.difference(seen, png.read(os.path.join(PICTURES, f"{wanted}.png")))
        if apart is None or apart > ALIKE:
            png.write(os.path.join(BUILD, f"{name}.png"), *seen)
        t.check(apart is not None and apart <= ALIKE, f"{name} is not the stored picture, but build/{name}.png: apart by {apart}")


VIDEO_DRIVERS = ("hyperv_drm", "snd-hda-intel", "snd-hda-codec-generic", "xhci-pci", "usbhid", "hid-generic", "evdev")
ALSA = ("/usr/bin/aplay", "/usr/bin/amixer")
FRAMES = 12000  # a quarter of a second, which the driver has as a whole before it plays
TILE = 16 * 4096  # lines of 1024 pixels, 48 times
# The console of the kernel lets go of the screen, so that nothing but the tiles is there.
DRAWS = """
until [ -e /dev/fb0 ]; do usleep 100000; done
echo "guest: $(cat /sys/class/graphics/fb0/name) of $(cat /sys/class/graphics/fb0/virtual_size), $(cat /sys/class/graphics/fb0/stride) bytes a line"
for v in /sys/class/vtconsole/vtcon*; do grep -q "frame buffer" $v/name && echo 0 >$v/bind; done
draw() { for i in $(seq 48); do cat /tile$1; done >/dev/fb0; echo "guest: drawn $1"; }
export ALSA_CONFIG_PATH=/alsa.conf
until [ -e /dev/snd/pcmC0D0p ]; do sleep 1; done
amixer -D hw:0 controls | sed -n "s/^numid=\\([0-9]*\\),.*Playback \\([A-Z][a-z]*\\).*/\\1 \\2/p" | while read id what; do
    case $what in Switch) to=on ;; Volume) to=100% ;; *) continue ;; esac
    amixer -q -D hw:0 cset numid=$id $to
done
play() { aplay -q -D hw:0,0 -t raw -f S16_LE -r 48000 -c 2 --buffer-size=16384 /sound$1 && echo "guest: played $1"; }
until e=$(grep -A4 "USB Tablet" /proc/bus/input/devices | grep -o "event[0-9]*") && [ -e /dev/input/$e ]; do sleep 1; done
timeout 300 dd if=/dev/input/$e bs=24 count=18 of=/events 2>/dev/null & reader=$!
play 1; draw 1; read go; play 2; draw 2; read go
wait $reader; echo moves: $(hexdump -v -e '12/2 "%d " "\n"' /events | cut -d" " -f9-11)
cd /sys/bus/vmbus/drivers/hyperv_drm; display=$(echo *-*-*-*-*); echo $display >unbind; echo $display >bind
until [ -e /dev/fb0 ]; do usleep 100000; done
echo "guest: now $(cat /sys/class/graphics/fb0/virtual_size)"
"""


def tiles(t, number):
    """The tile as the guest has it, and the screen that is made of it."""
    tile = random.Random(number).randbytes(TILE // 4)
    tile = b"".join(bytes((value, value ^ 0x55, 255 - value, 0)) for value in tile)
    pixels = bytearray(TILE // 4 * 3)
    pixels[0::3], pixels[1::3], pixels[2::3] = tile[2::4], tile[1::4], tile[0::4]
    return tile, (1024, 768, bytes(pixels) * 48)


@test("console: a guest's own driver has the synthetic display; what it draws is what is seen, what it plays by HDA is heard, and a USB tablet is where the viewer's pointer is, also after a restore; a viewer's size is its driver's", deadline=600)
def video(t):
    """Debian's hyperv_drm: by vmctl and by a viewer; the second picture is drawn by the guest that goes on from a file. The driver takes a size when it begins."""
    kernel = kernels.get("6.1-generic")
    (one, first), (two, second) = tiles(t, 1), tiles(t, 2)
    sounds = [random.Random(number).randbytes(4 * FRAMES) for number in (3, 4)]
    with open("/usr/share/alsa/alsa.conf", "rb") as file:
        initrd = guest.initrd("video", DRAWS, kernel=kernel, drivers=VIDEO_DRIVERS, programs=ALSA,
                              more={"tile1": one, "tile2": two, "sound1": sounds[0], "sound2": sounds[1], "alsa.conf": file.read()})
    words = guest.worker("video", memory="256M", vps=1, more=["--control", "/root/control", "--vnc", "unix:/root/vnc"])
    said = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        viewer = threading.Thread(target=lambda: (view(listener, t.folder.name, ["first", "second"], said), want(listener, 1300, 850, said)), daemon=True)
        viewer.start()
        text = t.root(f"""
            modprobe virtio_net; until [ -e /sys/class/net/eth0 ]; do usleep 100000; done
            ifconfig lo up; ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
            mkfifo keys; exec 3<>keys
            start() {{ wav=$1; shift; {guest.shell(words)} --tablet --sound hda,wav=/root/$wav "$@" <&3 >>said 2>&1 & worker=$!; }}
            wait_for() {{ until grep -q "$1" said || ! kill -0 $worker; do sleep 1; done; }}
            connect() {{ socat UNIX-CONNECT:/root/vnc TCP:10.0.2.2:{listener.getsockname()[1]}; }}
            see() {{ vmctl /root/control screenshot /root/$1.png; connect; }}
            start wav1; wait_for "guest: drawn 1"; see 1
            vmctl /root/control save /root/state; wait $worker
            start wav2 --restore /root/state; until vmctl /root/control screenshot /root/restored.png 2>/dev/null || ! kill -0 $worker; do sleep 1; done
            echo >&3; wait_for "guest: drawn 2"; see 2; connect
            echo >&3; wait $worker; echo ended with $?; cat said""",
                      puts=guest.puts("6.1-generic", initrd) + [
                          ("/usr/bin/socat",) * 2, (os.path.join(BUILD, "console", "vmvnc"), "/usr/bin/vmvnc"), (os.path.join(BUILD, "cli", "vmctl"), "/usr/bin/vmctl")],
                      gets=[(f"/root/{name}.png", t.path(f"{name}.png")) for name in ("1", "restored", "2")] + [(f"/root/{name}", t.path(name)) for name in ("wav1", "wav2")],
                      qemu_args=["-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net"])
        viewer.join(30)
    for line in said:
        t.check(not line, f"the viewer says: {line}")
    for name, sound in zip(("wav1", "wav2"), sounds):
        with wave.open(t.path(name)) as file:
            t.check(file.getparams()[:3] == (2, 2, 48000), f"{name} is of another form: {file.getparams()}")
            t.check(file.readframes(FRAMES) == sound, f"{name} does not begin with what Linux has played")
    for place in 32767, 0:  # a corner, and a click there
        t.has(text, f"3 0 {place} 3 1 {place} 0 0 0 4 4 1 1 272 1 0 0 0 4 4 1 1 272 0 0 0 0")
    t.has(text, "guest: hyperv_drmdrmfb of 1024,768, 4096 bytes a line")
    t.has(text, "guest: now 1280,800")
    for name, wanted in ("1", first), ("first", first), ("restored", first), ("2", second), ("second", second):
        seen = png.read(t.path(f"{name}.png"))
        if seen != wanted:
            png.write(os.path.join(BUILD, f"video-{name}.png"), *seen)
        t.check(seen == wanted, f"{name} is not what the guest has drawn, but build/video-{name}.png")
    t.has(text, f"ended with {POWERED_OFF}\n")


PROGRAMS = [(os.path.join(BUILD, folder, name), f"/usr/bin/{name}") for folder, name in
            (("switch", "vswitchd"), ("cli", "vswitch"), ("cli", "vmctl"))]
IPXE = "/usr/lib/ipxe/ipxe.pxe"  # of the package ipxe

# In the root: a switch with the root's own interface on it, addresses to be had there, a script for iPXE by TFTP, and a page.
SERVE = """
    modprobe tun || exit 1
    vswitchd --control /run/vswitchd.control --ports /run/vswitchd.ports 2>&1 &
    until vswitch list >/dev/null 2>&1; do usleep 100000; done
    vswitch create lan && vswitch port lan add host internal:lan0 || exit 1
    ip addr add 10.1.0.1/24 dev lan0
    ip link set lan0 up
    mkdir -p www /var/lib/misc
    printf '#!ipxe\\necho started over the network: ${net0/mac} ${net0/chip}\\nimgfetch http://10.1.0.1/page && echo it has the page\\nexit\\n' >www/boot.ipxe
    head -c 200000 /dev/urandom >www/page
    httpd -p 10.1.0.1:80 -h www
    dnsmasq --no-daemon --user=root --port=0 --interface=lan0 --dhcp-range=10.1.0.10,10.1.0.99 --dhcp-boot=boot.ipxe --dhcp-leasefile=/tmp/leases \\
        --enable-tftp --tftp-root=$PWD/www --conf-file=/dev/null 2>/dev/null &
    echo "sum: $(md5sum <www/page | cut -c 1-32)"
"""

# In the guest: stock Linux' driver of it, whose interrupt is where the tables say.
TULIP = """
cat >/dhcp <<'END'
#!/bin/sh
[ "$1" = bound ] || exit 0
ip addr add $ip/24 dev $interface
END
chmod 755 /dhcp
ip link set eth0 up || exit 1
until udhcpc -q -n -i eth0 -s /dhcp >/dev/null 2>&1; do :; done
dmesg | grep tulip
grep eth0 /proc/interrupts
ping -c 2 -W 5 10.1.0.1
ping -c 2 -W 5 -s 4000 10.1.0.1
echo "page: $(wget -q -O - http://10.1.0.1/page | md5sum | cut -c 1-32)"
"""


@test("bios: iPXE over a 21140, then Linux with it", deadline=1200, soak=True)
def network(t):
    kernel = kernels.get("6.1-generic")
    initrd = guest.initrd("tulip", TULIP, kernel=kernel, drivers=("tulip",))
    disk = bios.disk("tulip.img", f"linux (hd0,msdos1)/vmlinuz {guest.CMDLINE}\ninitrd (hd0,msdos1)/initrd\nboot\n", [("vmlinuz", kernel.image), ("initrd", initrd)])
    words = ["vmwp", "--name", "tulip", "--generation", "1", "--disk", "/root/boot.img,ide,raw", "--net", "lan,model=21140,first,mac=00:15:5d:00:21:40",
             "--memory", "256M", "--vps", "1", "--serial", "stdio", "--on-reset", "exit", "--firmware-log", "/root/log"]
    text = t.root(SERVE + f"""
        {guest.shell(words)} </dev/null; echo ended with $?
        vswitch stats lan""", puts=[(BIOS, BIOS), (IPXE, IPXE), ("/usr/sbin/dnsmasq", "/usr/bin/dnsmasq"), (disk, "/root/boot.img"), *PROGRAMS])
    text = bios.words_of(text)
    t.has(text, "started over the network: 00:15:5d:00:21:40")
    t.has(text, "it has the page")
    t.has(text, "ended with 0")
    t.same("pages", re.findall(r"page: (\w{32})", text), re.findall(r"sum: (\w{32})", text))
    t.calm(text)


USB_DRIVERS = ("hv_storvsc", "xhci-pci", "usb-storage", "sd_mod")

# The same disk by VMBus and by USB; what is written by one way is read by the other.
USB = """
way() {
    for d in /sys/block/sd*; do
        case "$(readlink -f $d)" in */usb[0-9]*) way=usb ;; *) way=vmbus ;; esac
        [ $way = $1 ] && echo /dev/${d##*/}
    done
}
until [ -b "$(way usb)" ] && [ -b "$(way vmbus)" ]; do sleep 1; done
dmesg | grep -E "xhci_hcd|SerialNumber|usb-storage"
[ "$(cat /sys/block/$(basename $(way usb))/size)" = "$(cat /sys/block/$(basename $(way vmbus))/size)" ] && echo "guest: of one size"
cd /tmp
dd if=/dev/urandom of=a bs=64k count=64 2>/dev/null
dd if=a of=$(way usb) bs=1M seek=32 oflag=direct 2>/dev/null
dd if=$(way vmbus) of=b bs=1M skip=32 count=4 iflag=direct 2>/dev/null
cmp a b && echo "guest: what USB wrote, by VMBus"
dd if=b of=$(way vmbus) bs=64k seek=576 oflag=direct 2>/dev/null
dd if=$(way usb) of=c bs=64k skip=576 count=64 iflag=direct 2>/dev/null
cmp a c && echo "guest: what VMBus wrote, by USB"
echo "guest: at work"
for i in $(seq 40); do
    dd if=a of=$(way usb) bs=1M seek=32 oflag=direct 2>/dev/null; dd if=$(way usb) of=b bs=1M skip=32 count=4 iflag=direct 2>/dev/null
    cmp a b || echo "guest: turn $i differs"
done
echo "guest: $i turns"; dmesg | grep -c "usb 1-1: reset"
"""


@test("bios: GRUB and Linux from a USB disk, which VMBus has too, and which is saved at work", deadline=900, soak=True)
def usb(t):
    kernel = kernels.get("6.1-generic")
    initrd = guest.initrd("usb", USB, kernel=kernel, drivers=USB_DRIVERS)
    disk = bios.disk("usb.img", f"linux (hd0,msdos1)/vmlinuz {guest.CMDLINE}\ninitrd (hd0,msdos1)/initrd\nboot\n", [("vmlinuz", kernel.image), ("initrd", initrd)])
    words = ["vmwp", "--name", "usb", "--generation", "1", "--disk", "/root/boot.img,usb,raw", "--memory", "256M", "--vps", "1", "--serial", "stdio",
             "--on-reset", "exit", "--control", "/root/control"]
    text = bios.words_of(t.root(f"""
        {guest.shell(words)} --firmware-log /root/log </dev/null >said 2>&1 & worker=$!
        until grep -q "guest: at work" said || ! kill -0 $worker; do sleep 1; done
        vmctl /root/control save /root/state; wait $worker; echo saved with $?
        {guest.shell(words)} --restore /root/state </dev/null >>said 2>&1; echo ended with $?
        cat said; grep -i -E 'xhci|usb|boot' /root/log""", puts=[(BIOS, BIOS), (disk, "/root/boot.img"), PROGRAMS[-1]]))
    t.check("differs" not in text, "what was written while it was saved is not what is read")
    for said in "saved with 8\n", "guest: 40 turns",  "guest: of one size", "guest: what USB wrote, by VMBus", "guest: what VMBus wrote, by USB", f"ended with {POWERED_OFF}\n":
        t.has(text, said)
    t.calm(text)
