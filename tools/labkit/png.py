"""PNG files of 8-bit RGB, as vmctl and the tests write them."""
import struct
import zlib

MAGIC = b"\x89PNG\r\n\x1a\n"


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def write(path, width, height, pixels):
    lines = b"".join(b"\0" + pixels[3 * width * y:3 * width * (y + 1)] for y in range(height))
    with open(path, "wb") as file:
        file.write(MAGIC + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)) +
                   chunk(b"IDAT", zlib.compress(lines, 9)) + chunk(b"IEND", b""))


def paeth(a, b, c):
    distance, value = min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[::2]
    return value


def read(path):
    """Width, height and the pixels, red, green and blue of each."""
    with open(path, "rb") as file:
        data = file.read()
    if data[:8] != MAGIC:
        raise ValueError(f"{path} is no PNG file")
    at, packed = 8, b""
    while at < len(data):
        length, name = struct.unpack(">I4s", data[at:at + 8])
        body = data[at + 8:at + 8 + length]
        if name == b"IHDR":
            width, height, bits, colour = struct.unpack(">IIBB", body[:10])
            if (bits, colour) != (8, 2):
                raise ValueError(f"{path} is not 8-bit RGB")
        elif name == b"IDAT":
            packed += body
        at += 12 + length
    lines, line_bytes, before, out = zlib.decompress(packed), 3 * width, bytearray(3 * width), []
    for y in range(height):
        kind, line = lines[y * (line_bytes + 1)], bytearray(lines[y * (line_bytes + 1) + 1:(y + 1) * (line_bytes + 1)])
        for x in range(line_bytes if kind else 0):
            a, b, c = (line[x - 3] if x >= 3 else 0), before[x], (before[x - 3] if x >= 3 else 0)
            line[x] = line[x] + (a, b, (a + b) // 2, paeth(a, b, c))[kind - 1] & 255
        out.append(bytes(line))
        before = line
    return width, height, b"".join(out)


def difference(one, other):
    """How far two pictures of one size are apart at most, in any part of any pixel; None: their sizes differ."""
    if one[:2] != other[:2]:
        return None
    return max(abs(a - b) for a, b in zip(one[2], other[2]))
