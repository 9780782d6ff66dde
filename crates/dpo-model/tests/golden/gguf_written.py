"""Writes gguf_written.gguf: every type of metadata and of tensor that is written here, as gguf-py writes them.

Made with gguf 0.19.0 and numpy 2.4.6: python gguf_written.py
"""
import numpy as np
from gguf import GGMLQuantizationType as T, GGUFValueType as V, GGUFWriter, quantize

writer = GGUFWriter("gguf_written.gguf", "llama")
for kind, value in [
    (V.UINT8, 200), (V.INT8, -100), (V.UINT16, 60_000), (V.INT16, -30_000), (V.UINT32, 4_000_000_000),
    (V.INT32, -2_000_000_000), (V.UINT64, 2**63), (V.INT64, -(2**62)), (V.FLOAT32, 1e-5), (V.FLOAT64, 0.1),
    (V.BOOL, True), (V.STRING, "naïve\n"),
]:
    writer.add_key_value(f"one.{kind.name.lower()}", value, kind)
for kind, values in [
    (V.UINT8, [0, 255]), (V.INT8, [-128, 127]), (V.UINT16, [0, 65535]), (V.INT16, [-32768]), (V.UINT32, [1, 2**32 - 1]),
    (V.INT32, [1, -1, 2]), (V.UINT64, [2**64 - 1]), (V.INT64, [-1]), (V.FLOAT32, [0.5, -0.25]), (V.FLOAT64, [0.1]),
    (V.BOOL, [True, False]), (V.STRING, ["", "Ġa", "<|im_start|>"]), (V.ARRAY, [[1, 2], [3]]),
]:
    writer.add_key_value(f"many.{kind.name.lower()}", values, V.ARRAY, sub_type=kind)


def eighths(*shape):
    return (np.arange(np.prod(shape), dtype=np.float32) / 8 - 3).reshape(shape)


writer.add_tensor("vector", eighths(5))
for t in (T.F16, T.BF16, T.Q8_0, T.Q4_0):
    data = np.ascontiguousarray(quantize(eighths(3, 64), t)).view(np.uint8)
    writer.add_tensor(t.name, data, raw_dtype=t)
writer.add_tensor("cube", eighths(2, 3, 4))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
