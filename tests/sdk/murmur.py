"""MurmurHash3 in plain Python, after the public specification (Austin Appleby's smhasher)."""

M32, M64 = (1 << 32) - 1, (1 << 64) - 1


def _rotl(value: int, by: int, bits: int) -> int:
    mask = (1 << bits) - 1
    return (value << by | value >> (bits - by)) & mask


def x86_32(data: bytes, seed: int = 0) -> int:
    c1, c2, h = 0xCC9E2D51, 0x1B873593, seed
    whole = len(data) // 4 * 4
    for at in range(0, whole, 4):
        k = int.from_bytes(data[at : at + 4], "little") * c1 & M32
        h ^= _rotl(k, 15, 32) * c2 & M32
        h = (_rotl(h, 13, 32) * 5 + 0xE6546B64) & M32
    if whole < len(data):
        k = int.from_bytes(data[whole:], "little") * c1 & M32
        h ^= _rotl(k, 15, 32) * c2 & M32
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & M32
    h = (h ^ h >> 13) * 0xC2B2AE35 & M32
    return h ^ h >> 16


def _mix64(k: int) -> int:
    k = (k ^ k >> 33) * 0xFF51AFD7ED558CCD & M64
    k = (k ^ k >> 33) * 0xC4CEB9FE1A85EC53 & M64
    return k ^ k >> 33


def x64_128(data: bytes, seed: int = 0) -> tuple[int, int]:
    c1, c2 = 0x87C37B91114253D5, 0x4CF5AD432745937F
    h1 = h2 = seed
    whole = len(data) // 16 * 16
    for at in range(0, whole, 16):
        k1 = int.from_bytes(data[at : at + 8], "little")
        k2 = int.from_bytes(data[at + 8 : at + 16], "little")
        h1 ^= _rotl(k1 * c1 & M64, 31, 64) * c2 & M64
        h1 = ((_rotl(h1, 27, 64) + h2) * 5 + 0x52DCE729) & M64
        h2 ^= _rotl(k2 * c2 & M64, 33, 64) * c1 & M64
        h2 = ((_rotl(h2, 31, 64) + h1) * 5 + 0x38495AB5) & M64
    tail = data[whole:]
    if len(tail) > 8:
        h2 ^= _rotl(int.from_bytes(tail[8:], "little") * c2 & M64, 33, 64) * c1 & M64
    if tail:
        h1 ^= _rotl(int.from_bytes(tail[:8], "little") * c1 & M64, 31, 64) * c2 & M64
    h1 ^= len(data)
    h2 ^= len(data)
    h1 = (h1 + h2) & M64
    h2 = (h2 + h1) & M64
    h1, h2 = _mix64(h1), _mix64(h2)
    h1 = (h1 + h2) & M64
    return h1, (h2 + h1) & M64
