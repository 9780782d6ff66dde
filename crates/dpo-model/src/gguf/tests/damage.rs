//! Damaged files from a seeded generator: each is read or refused, without a panic and within bounded memory.

use super::writer::{every_kind, every_tensor};
use super::*;
use std::process::Command;

/// Set in the process that reads the damaged files.
const CHILD: &str = "DPO_TEST_DAMAGED_GGUF";
/// Address space of that process, in KiB. The good file has 5 KiB; a length that is believed has up to 2^64 bytes.
const LIMIT_KIB: u32 = 256 << 10;
const N_CASES: u64 = 3000;

/// `xorshift64*`: <https://doi.org/10.1145/2845077>.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 32) as usize % n
    }
}

/// A small model with every type of metadata and tensor, by way of the writer.
fn good() -> Vec<u8> {
    let model = write(&small_llama().build());
    let (model, target) = (GgufFile::open(&model.path).unwrap(), write(&[]));
    let more = every_kind().into_iter().skip(1).map(|(key, value)| (key.to_owned(), value));
    let mut writer = GgufWriter::new(&target.path);
    for (key, value) in model.metadata().iter().cloned().chain(more) {
        writer = writer.metadata(&key, value);
    }
    let specs = model.tensors().iter().map(|tensor| GgufTensorSpec {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        ggml_type: tensor.ggml_type,
    });
    let specs: Vec<_> = specs.chain(every_tensor()).collect();
    let zeros = |spec: &GgufTensorSpec| Ok::<_, ModelError>(vec![0.5; spec.shape.iter().product()].into());
    writer.write(&specs, zeros).unwrap();
    std::fs::read(&target.path).unwrap()
}

/// One to four bytes or stretches changed, lost or inserted.
fn damaged(good: &[u8], random: &mut Random) -> Vec<u8> {
    let mut bytes = good.to_vec();
    for _ in 0..=random.below(4) {
        if bytes.is_empty() {
            break;
        }
        let at = random.below(bytes.len());
        let len = random.below(32).min(bytes.len() - at);
        let noise = random.next().to_le_bytes();
        match random.below(6) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = noise[0],
            2 => bytes[at..at + len.min(8)].copy_from_slice(&noise[..len.min(8)]),
            3 => drop(bytes.drain(at..at + len)),
            4 => drop(bytes.splice(at..at, noise)),
            _ => bytes.truncate(at),
        }
    }
    bytes
}

#[test]
fn damaged_files_are_read_or_refused() {
    if std::env::var_os(CHILD).is_none() && cfg!(unix) {
        return run_within_limit();
    }
    let (good, mut random) = (good(), Random(0x9E37_79B9_7F4A_7C15));
    assert!(read_everything(&good));
    let opened = (0..N_CASES).filter(|_| read_everything(&damaged(&good, &mut random)));
    // Noise within a tensor's values does no harm, and most of the file is something else.
    let share = opened.count() as f64 / N_CASES as f64;
    assert!((0.05..0.6).contains(&share), "{share} of the damaged files open");
}

/// The test above in a process of its own, in which an allocation by a length that nobody checked fails.
fn run_within_limit() {
    let test = "gguf::tests::damage::damaged_files_are_read_or_refused";
    let output = Command::new("sh")
        .args(["-c", &format!("ulimit -v {LIMIT_KIB} && exec \"$0\" \"$@\"")])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--test-threads", "1"])
        .env(CHILD, "1")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}
