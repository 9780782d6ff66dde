//! Blocks against gguf-py's reading and rounding of them; `tests/golden/gguf_blocks.py` wrote both.

use super::*;

fn golden() -> GgufFile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf_blocks.gguf");
    GgufFile::open(&path).unwrap()
}

fn find<'f>(file: &'f GgufFile, name: &str) -> &'f GgufTensor {
    file.tensors().iter().find(|tensor| tensor.name == name).unwrap()
}

fn bits(values: Vec<f32>) -> Vec<u32> {
    values.into_iter().map(f32::to_bits).collect()
}

#[test]
fn blocks_are_dequantised_as_gguf_py_does() {
    let file = golden();
    for ggml_type in GgmlType::ALL.into_iter().filter(|ggml_type| *ggml_type != GgmlType::F32) {
        let (name, stored) = (ggml_type.name(), find(&file, ggml_type.name()));
        assert_eq!((stored.ggml_type, stored.n_values() > ggml_type.block_len()), (ggml_type, true));
        let expected = file.read_f32(find(&file, &format!("{name}.expected"))).unwrap();
        assert_eq!(bits(file.read_f32(stored).unwrap()), bits(expected), "{name}");
    }
}

#[test]
fn values_are_rounded_as_gguf_py_does() {
    let file = golden();
    let (bytes, values) = (std::fs::read(file.path()).unwrap(), find(&file, "values"));
    for ggml_type in GgmlType::WRITABLE {
        let name = ggml_type.name();
        let expected =
            if ggml_type == GgmlType::F32 { values } else { find(&file, &format!("{name}.rounded")) };
        let n_bytes = ggml_type.n_bytes(expected.n_values()) as usize;
        let mut found = Vec::new();
        ggml_type.encode(&file.read_f32(values).unwrap(), &mut found).unwrap();
        assert!(found == bytes[expected.start as usize..][..n_bytes], "{name}");
    }
}

/// Zeros have no scale to divide by.
#[test]
fn a_block_of_zeros_stays_zeros() {
    for ggml_type in GgmlType::WRITABLE {
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        ggml_type.encode(&[0.0; 32], &mut bytes).unwrap();
        ggml_type.decode(&bytes, &mut values);
        assert_eq!(values, [0.0; 32], "{}", ggml_type.name());
    }
}

#[test]
fn other_types_are_not_written() {
    for ggml_type in GgmlType::ALL.into_iter().filter(|kind| !GgmlType::WRITABLE.contains(kind)) {
        let error = ggml_type.encode(&[1.0; 256], &mut Vec::new()).unwrap_err().to_string();
        let expected = "tensors are read, not written; take one of F32, F16, BF16, Q8_0, Q4_0";
        assert_eq!(error, format!("{} {expected}", ggml_type.name()));
    }
}
