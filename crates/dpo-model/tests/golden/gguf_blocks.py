"""Writes gguf_blocks.gguf: random blocks of every type beside what gguf-py makes of them (`NAME.expected`, F32).

Made with gguf 0.19.0 and numpy 2.4.6: python gguf_blocks.py
"""
import numpy as np
from gguf import GGMLQuantizationType as T, GGUFWriter, dequantize

rng = np.random.default_rng(7)
writer = GGUFWriter("gguf_blocks.gguf", "test")
for t, n_bytes in [(T.F16, 0), (T.BF16, 0), (T.Q4_0, 18), (T.Q4_1, 20), (T.Q5_0, 22), (T.Q5_1, 24), (T.Q8_0, 34)]:
    if n_bytes == 0:
        # Normal numbers of both signs, and a few subnormal ones.
        raw = rng.integers(0, 0x7800 if t == T.F16 else 0x7F00, (2, 64), dtype=np.uint16)
        raw[:, ::2] |= 0x8000
        raw[0, :4] &= 0x80FF if t == T.F16 else 0x807F
        data = raw.view(np.uint8)
    else:
        data = rng.integers(0, 256, (2, 2, n_bytes), dtype=np.uint8)
        scales = rng.normal(size=(2, 2, 2)).astype(np.float16).view(np.uint8).reshape(2, 2, 4)
        n_scales = 4 if t in (T.Q4_1, T.Q5_1) else 2
        data[..., :n_scales] = scales[..., :n_scales]
        data = data.reshape(2, -1)
    expected = np.ascontiguousarray(dequantize(data, t).astype(np.float32).reshape(2, 64))
    writer.add_tensor(t.name, data, raw_dtype=t)
    writer.add_tensor(t.name + ".expected", expected)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
