"""Writes gguf_blocks.gguf.

Random blocks of every type that is read (`NAME`) beside what gguf-py makes of them (`NAME.expected`, F32), and values
(`values`, F32) beside what gguf-py rounds them to (`NAME.rounded`) in the types that are written.

Made with gguf 0.19.0 and numpy 2.4.6: python gguf_blocks.py
"""
import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, GGUFWriter, dequantize, quantize

rng = np.random.default_rng(7)
writer = GGUFWriter("gguf_blocks.gguf", "test")

# Where the f16 scales of a block are.
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0],
}


def halves(t):
    """Normal numbers of both signs, and a few subnormal ones."""
    raw = rng.integers(0, 0x7800 if t == T.F16 else 0x7F00, (2, 64), dtype=np.uint16)
    raw[:, ::2] |= 0x8000
    raw[0, :4] &= 0x80FF if t == T.F16 else 0x807F
    return raw.view(np.uint8)


def blocks(t):
    """Two rows of two blocks."""
    data = rng.integers(0, 256, (2, 2, GGML_QUANT_SIZES[t][1]), dtype=np.uint8)
    for start in SCALES[t]:
        data[..., start:start + 2] = rng.normal(size=(2, 2, 1)).astype(np.float16).view(np.uint8)
    return data.reshape(2, -1)


def values():
    """Blocks of 32 that are ordinary, tiny, large, empty, halfway between two integers, and with two equal extremes."""
    rows = rng.normal(size=(8, 64)).astype(np.float32) * np.float32(10.0) ** np.arange(-6, 2).reshape(8, 1)
    rows[1, :32] = 0
    rows[2, :32] = np.arange(32) / 2 - 7.5
    rows[2, 0] = -8  # A scale of 1 in Q4_0.
    rows[3, :32] = np.arange(32) - 15.5
    rows[3, 5] = 127  # A scale of 1 in Q8_0.
    rows[4, 7], rows[4, 9] = 99, -99
    rows[5, 7], rows[5, 9] = -99, 99
    rows[6, :32] = 1e-7  # The scale is subnormal, or vanishes, in f16.
    rows[7, 0] = 6e4
    return rows.astype(np.float32)


for t in [T.F16, T.BF16, *SCALES]:
    data = halves(t) if t in (T.F16, T.BF16) else blocks(t)
    expected = np.ascontiguousarray(dequantize(data, t).astype(np.float32).reshape(2, -1))
    writer.add_tensor(t.name, data, raw_dtype=t)
    writer.add_tensor(t.name + ".expected", expected)
rows = values()
writer.add_tensor("values", rows)
for t in (T.F16, T.BF16, T.Q8_0, T.Q4_0):
    writer.add_tensor(t.name + ".rounded", np.ascontiguousarray(quantize(rows, t)).view(np.uint8), raw_dtype=t)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
