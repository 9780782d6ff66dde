//! What is written, byte for byte as gguf-py writes it, and read again.

use super::*;

/// Multiples of an eighth, from −3.
fn eighths(spec: &GgufTensorSpec) -> Vec<f32> {
    (0..spec.shape.iter().product()).map(|i: usize| i as f32 / 8.0 - 3.0).collect()
}

fn spec(name: &str, shape: &[usize], ggml_type: GgmlType) -> GgufTensorSpec {
    GgufTensorSpec { name: name.to_owned(), shape: shape.to_vec(), ggml_type }
}

fn written(metadata: &[(&str, GgufValue)], tensors: &[GgufTensorSpec]) -> Result<Written, ModelError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.gguf");
    let writer = metadata
        .iter()
        .fold(GgufWriter::new(&path), |writer, (key, value)| writer.metadata(key, value.clone()));
    writer.write(tensors, |spec| Ok::<_, ModelError>(eighths(spec).into()))?;
    Ok(Written { _folder: folder, path })
}

/// The metadata of `tests/golden/gguf_written.py`.
pub(super) fn every_kind() -> Vec<(&'static str, GgufValue)> {
    use GgufArray as A;
    use GgufValue as V;
    let texts = ["", "Ġa", "<|im_start|>"].map(str::to_owned).to_vec();
    vec![
        ("general.architecture", V::String("llama".to_owned())),
        ("one.uint8", V::Uint8(200)),
        ("one.int8", V::Int8(-100)),
        ("one.uint16", V::Uint16(60_000)),
        ("one.int16", V::Int16(-30_000)),
        ("one.uint32", V::Uint32(4_000_000_000)),
        ("one.int32", V::Int32(-2_000_000_000)),
        ("one.uint64", V::Uint64(1 << 63)),
        ("one.int64", V::Int64(-(1 << 62))),
        ("one.float32", V::Float32(1e-5)),
        ("one.float64", V::Float64(0.1)),
        ("one.bool", V::Bool(true)),
        ("one.string", V::String("naïve\n".to_owned())),
        ("many.uint8", V::Array(A::Uint8(vec![0, 255]))),
        ("many.int8", V::Array(A::Int8(vec![-128, 127]))),
        ("many.uint16", V::Array(A::Uint16(vec![0, 65535]))),
        ("many.int16", V::Array(A::Int16(vec![-32768]))),
        ("many.uint32", V::Array(A::Uint32(vec![1, u32::MAX]))),
        ("many.int32", V::Array(A::Int32(vec![1, -1, 2]))),
        ("many.uint64", V::Array(A::Uint64(vec![u64::MAX]))),
        ("many.int64", V::Array(A::Int64(vec![-1]))),
        ("many.float32", V::Array(A::Float32(vec![0.5, -0.25]))),
        ("many.float64", V::Array(A::Float64(vec![0.1]))),
        ("many.bool", V::Array(A::Bool(vec![true, false]))),
        ("many.string", V::Array(A::String(texts))),
        ("many.array", V::Array(A::Array(vec![A::Int32(vec![1, 2]), A::Int32(vec![3])]))),
    ]
}

/// The tensors of `tests/golden/gguf_written.py`.
pub(super) fn every_tensor() -> Vec<GgufTensorSpec> {
    let mut tensors = vec![spec("vector", &[5], GgmlType::F32)];
    let rounded = GgmlType::WRITABLE.into_iter().filter(|ggml_type| *ggml_type != GgmlType::F32);
    tensors.extend(rounded.map(|ggml_type| spec(ggml_type.name(), &[3, 64], ggml_type)));
    tensors.push(spec("cube", &[2, 3, 4], GgmlType::F32));
    tensors
}

#[test]
fn a_file_is_written_as_gguf_py_writes_it() {
    let written = written(&every_kind(), &every_tensor()).unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/gguf_written.gguf");
    let (found, expected) = (std::fs::read(&written.path).unwrap(), std::fs::read(golden).unwrap());
    let first = found.iter().zip(&expected).position(|(a, b)| a != b);
    assert_eq!((first, found.len()), (None, expected.len()), "first difference and length");
}

#[test]
fn what_is_written_is_read() {
    let (metadata, tensors) = (every_kind(), every_tensor());
    let written = written(&metadata, &tensors).unwrap();
    let file = GgufFile::open(&written.path).unwrap();
    assert_eq!(file.version(), 3);
    let read: Vec<_> = file.metadata().iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    assert_eq!(read, metadata);
    for (spec, tensor) in tensors.iter().zip(file.tensors()) {
        assert_eq!(
            (&spec.name, &spec.shape, spec.ggml_type),
            (&tensor.name, &tensor.shape, tensor.ggml_type)
        );
        let mut bytes = Vec::new();
        let mut expected = Vec::new();
        spec.ggml_type.encode(&eighths(spec), &mut bytes).unwrap();
        spec.ggml_type.decode(&bytes, &mut expected);
        assert_eq!(file.read_f32(tensor).unwrap(), expected, "{}", spec.name);
    }
}

/// 64 values of a tensor of 100 bytes begin at a multiple of 64 where the metadata asks for it.
#[test]
fn another_alignment_is_kept() {
    let metadata = [("general.alignment", GgufValue::Uint32(64))];
    let tensors = [spec("a", &[25], GgmlType::F32), spec("b", &[2], GgmlType::F32)];
    let written = written(&metadata, &tensors).unwrap();
    let file = GgufFile::open(&written.path).unwrap();
    let starts: Vec<u64> = file.tensors().iter().map(|tensor| tensor.start % 64).collect();
    assert_eq!((starts, file.tensors()[1].start - file.tensors()[0].start), (vec![0, 0], 128));
}

#[test]
fn a_tokenizer_is_read_as_it_was_written() {
    let tokenizer = GgufTokenizer {
        model: "gpt2".to_owned(),
        pre: Some("smollm".to_owned()),
        tokens: ["a", "b", "ab"].map(str::to_owned).to_vec(),
        scores: Some(vec![0.0, -1.0, -2.0]),
        token_types: Some(vec![1, 3, 1]),
        merges: Some(vec!["a b".to_owned()]),
        bos: Some(0),
        eos: Some(1),
        eot: Some(2),
        unk: Some(0),
        pad: Some(1),
        add_bos: Some(false),
        add_eos: Some(true),
        add_space_prefix: Some(false),
        chat_template: Some("{{ messages }}".to_owned()),
    };
    let metadata = tokenizer.to_metadata();
    let metadata: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let file = GgufFile::open(&written(&metadata, &[]).unwrap().path).unwrap();
    assert_eq!(GgufTokenizer::from_file(&file).unwrap(), tokenizer);
}

#[test]
fn what_no_reader_takes_is_not_written() {
    let alone = |tensor: GgufTensorSpec| vec![tensor];
    let good = || spec("a", &[32], GgmlType::F32);
    for (tensors, expected) in [
        (alone(spec("a", &[2, 33], GgmlType::Q8_0)), "rows of 33 values are no whole Q8_0 blocks of 32"),
        (alone(spec("a", &[1, 1, 1, 1, 1], GgmlType::F32)), "has 5 axes, at most 4 exist"),
        (alone(spec(&"n".repeat(64), &[1], GgmlType::F32)), "its name has 64 bytes"),
        (alone(spec("a", &[256], GgmlType::Q6_K)), "Q6_K tensors are read, not written"),
        (vec![good(), good()], "is there twice"),
    ] {
        let error = written(&[], &tensors).err().unwrap().to_string();
        assert!(error.contains(expected), "{expected} — {error}");
    }
    let twice = [("k", GgufValue::Bool(true)), ("k", GgufValue::Bool(true))];
    assert!(written(&twice, &[]).err().unwrap().to_string().contains("the metadata key `k` twice"));
}

#[test]
fn values_that_do_not_fit_are_named() {
    for (ggml_type, value) in [
        (GgmlType::F16, 7e4),
        (GgmlType::Q8_0, 9e6),
        (GgmlType::Q4_0, -6e5),
        (GgmlType::Q8_0, f32::NAN),
        (GgmlType::Q4_0, f32::INFINITY),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let writer = GgufWriter::new(&folder.path().join("x.gguf"));
        let error = writer
            .write(&[spec("a", &[32], ggml_type)], |_| Ok::<_, ModelError>(vec![value; 32].into()))
            .unwrap_err()
            .to_string();
        let expected = format!("tensor `a`: {value} does not fit {}", ggml_type.name());
        assert!(error.contains(&expected), "{expected} — {error}");
    }
}

/// An error of the caller's own stops the writing and comes out as it is.
#[test]
fn a_failed_read_is_handed_on() {
    let folder = tempfile::tempdir().unwrap();
    let writer = GgufWriter::new(&folder.path().join("x.gguf"));
    let error = writer.write(&[spec("a", &[32], GgmlType::F32)], |spec| {
        Err(ModelError::bad_tensor(Path::new("from.gguf"), &spec.name, "is lost"))
    });
    assert_eq!(error.unwrap_err().to_string(), "from.gguf: tensor `a`: is lost");
}
