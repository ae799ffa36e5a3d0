"""Write newc archives, the format of an initramfs, without root: owners are 0 and device nodes are described."""
import os
import stat


class Archive:
    def __init__(self):
        self.parts = []
        self.seen = set()

    def entry(self, name, mode, data=b"", device=(0, 0)):
        """One entry; its parent folders come before it."""
        name = name.strip("/")
        if name in self.seen or not name:
            return
        parent = os.path.dirname(name)
        if parent:
            self.entry(parent, stat.S_IFDIR | 0o755)
        self.seen.add(name)
        self.add(name, mode, data, device)

    def add(self, name, mode, data, device=(0, 0)):
        path = name.encode() + b"\0"
        fields = [len(self.seen), mode, 0, 0, 1, 0, len(data), 0, 0, device[0], device[1], len(path), 0]
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + path
        self.parts += [head, bytes(-len(head) % 4), data, bytes(-len(data) % 4)]

    def folder(self, name):
        self.entry(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.entry(name, stat.S_IFREG | mode, data)

    def link(self, name, target):
        self.entry(name, stat.S_IFLNK | 0o777, target.encode())

    def character(self, name, major, minor):
        self.entry(name, stat.S_IFCHR | 0o600, device=(major, minor))

    def host_file(self, name, path):
        """A file of the host, or a folder with all that is in it, with their permissions."""
        if os.path.isdir(path):
            self.folder(name)
            for child in sorted(os.listdir(path)):
                self.host_file(f"{name}/{child}", os.path.join(path, child))
            return
        with open(path, "rb") as file:
            self.file(name, file.read(), stat.S_IMODE(os.stat(path).st_mode))

    def bytes(self):
        self.add("TRAILER!!!", 0, b"")
        data = b"".join(self.parts)
        return data + bytes(-len(data) % 512)
