"""Protobuf's variable-length integers: seven bits a byte, the lowest first."""


def varint(number: int) -> bytes:
    """Protobuf's variable-length integer; negative numbers in two's complement of 64 bits."""
    number &= 0xFFFF_FFFF_FFFF_FFFF
    if number < 0x80:
        return number.to_bytes(1, "little")
    data = bytearray()
    while number >= 0x80:
        data.append(number & 0x7F | 0x80)
        number >>= 7
    data.append(number)
    return bytes(data)


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at `start`, and where it ends. Raises ValueError when it does not end."""
    number = shift = 0
    for index in range(start, len(data)):
        byte = data[index]
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, index + 1
        shift += 7
    raise ValueError("a number in it does not end")
