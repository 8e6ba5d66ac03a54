"""Writes GGUF v3 files, metadata and tensors and nothing more, and reads back what it wrote."""

import struct

import numpy as np

ALIGNMENT = 32
# Numbers of the format.
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
_PACKED = {UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}
_TENSOR_TYPES = {"f32": 0, "f16": 1, "q8_0": 8}
FILE_TYPES = {"f32": 0, "f16": 1, "q8_0": 7}


def _string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _value(kind, value):
    return _string(value) if kind == STRING else struct.pack(_PACKED[kind], value)


def _entry(key, kind, value):
    """`kind` is a number of the format, or a list with one: an array of it."""
    if isinstance(kind, list):
        items = b"".join(_value(kind[0], item) for item in value)
        return _string(key) + struct.pack("<IIQ", ARRAY, kind[0], len(value)) + items
    return _string(key) + struct.pack("<I", kind) + _value(kind, value)


def _q8_0(values):
    """Blocks of 32: one half-precision scale, then signed bytes."""
    blocks = values.reshape(-1, 32).astype(np.float32)
    scale = np.abs(blocks).max(1) / 127
    inverse = np.divide(1, scale, out=np.zeros_like(scale), where=scale > 0)
    out = np.empty(len(blocks), dtype=[("scale", "<f2"), ("values", "i1", 32)])
    out["scale"] = scale
    out["values"] = np.round(blocks * inverse[:, None])
    return out.tobytes()


def _data(values, kind):
    if kind == "q8_0":
        return _q8_0(values)
    return values.astype("<f2" if kind == "f16" else "<f4").tobytes()


def _padded(data):
    return data + b"\0" * (-len(data) % ALIGNMENT)


def write(path, metadata, tensors):
    """`metadata`: (key, kind, value); `tensors`: (name, array, "f32" | "f16" | "q8_0")."""
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(metadata))
    head += b"".join(_entry(*entry) for entry in metadata)
    body = []
    offset = 0
    for name, values, kind in tensors:
        head += _string(name) + struct.pack("<I", values.ndim)
        head += b"".join(struct.pack("<Q", size) for size in reversed(values.shape))
        head += struct.pack("<IQ", _TENSOR_TYPES[kind], offset)
        body.append(_padded(_data(values, kind)))
        offset += len(body[-1])
    with open(path, "wb") as file:
        file.write(_padded(head) + b"".join(body))


class _Reader:
    def __init__(self, data):
        self.data, self.place = data, 0

    def take(self, packed):
        (value,) = struct.unpack_from(packed, self.data, self.place)
        self.place += struct.calcsize(packed)
        return value

    def string(self):
        length = self.take("<Q")
        self.place += length
        return self.data[self.place - length : self.place].decode()

    def value(self, kind):
        if kind == ARRAY:
            kind = self.take("<I")
            return [self.value(kind) for _ in range(self.take("<Q"))]
        return self.string() if kind == STRING else self.take(_PACKED[kind])


def _values(data, offset, count, kind):
    if kind == "q8_0":
        blocks = np.frombuffer(data, [("scale", "<f2"), ("values", "i1", 32)], count // 32, offset)
        return (blocks["scale"].astype(np.float32)[:, None] * blocks["values"]).reshape(-1)
    return np.frombuffer(data, "<f2" if kind == "f16" else "<f4", count, offset).astype(np.float32)


def read(path):
    """The metadata by key, and the tensors by name as single-precision arrays."""
    with open(path, "rb") as file:
        data = file.read()
    reader = _Reader(data)
    reader.place = 8  # behind the mark and the version
    tensor_count, entry_count = reader.take("<Q"), reader.take("<Q")
    metadata = {}
    for _ in range(entry_count):
        key = reader.string()
        metadata[key] = reader.value(reader.take("<I"))
    heads = []
    for _ in range(tensor_count):
        name, axes = reader.string(), reader.take("<I")
        shape = [reader.take("<Q") for _ in range(axes)][::-1]
        heads.append((name, shape, reader.take("<I"), reader.take("<Q")))
    start = reader.place + -reader.place % ALIGNMENT
    kinds = {number: kind for kind, number in _TENSOR_TYPES.items()}
    return metadata, {
        name: _values(data, start + offset, int(np.prod(shape)), kinds[kind]).reshape(shape)
        for name, shape, kind, offset in heads
    }
