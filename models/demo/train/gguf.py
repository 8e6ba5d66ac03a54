"""Writes GGUF v3 files: metadata and tensors, nothing more."""

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
