//! How rows lie in files.

use std::io::Write;

use dpo_data::{DataReport, SourceConfig, read_examples};

use crate::{plain, read};

const GOOD: &str = r#"{"prompt": "Q", "chosen": "a", "rejected": "b"}"#;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

#[test]
fn files_are_known_by_their_bytes_not_their_names() {
    let lines = format!("{GOOD}\n{GOOD}\n");
    for (bytes, storage) in [
        (lines.clone().into_bytes(), "JSON Lines"),
        (gzip(lines.as_bytes()), "JSON Lines, gzip"),
        (zstd::encode_all(lines.as_bytes(), 1).unwrap(), "JSON Lines, zstd"),
        (format!("[{GOOD}, {GOOD}]").into_bytes(), "JSON"),
        (gzip(format!("[\n{GOOD},\n{GOOD}\n]\n").as_bytes()), "JSON, gzip"),
        (
            format!("{{\"version\": 1, \"data\": [{GOOD}, {GOOD}]}}").into_bytes(),
            "JSON (a list in an object)",
        ),
        (
            format!("{{\n \"x\": {{\"a\": [1]}},\n \"train\": [{GOOD},\n{GOOD}]\n}}").into_bytes(),
            "JSON (a list in an object)",
        ),
    ] {
        let outcome = read("data.bin", &bytes);
        assert_eq!(outcome.examples().len(), 2, "{storage}");
        let file = &outcome.report.files[0];
        assert_eq!((file.storage.as_str(), file.rows, file.bytes), (storage, 2, bytes.len() as u64));
        assert_eq!(file.blake3, blake3::hash(&bytes).to_hex().to_string());
    }
}

#[test]
fn byte_order_mark_and_windows_line_breaks_are_fine() {
    let outcome = read("a.jsonl", format!("\u{feff}{GOOD}\r\n\r\n{GOOD}\r\n"));
    assert_eq!(outcome.examples().len(), 2);
    assert_eq!(outcome.examples()[1].row.row, 3, "the line counts, not the row");
    let notes = &outcome.report.files[0].notes;
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(notes[0].contains("byte order mark") && notes[1].contains("blank line"));
}

#[test]
fn rows_longer_than_the_buffers_are_whole() {
    let long = "é".repeat(1 << 19);
    let row = GOOD.replace("\"Q\"", &format!("\"{long}\""));
    for text in [format!("{row}\n{row}"), format!("[{row},\n{row}]"), format!("{{\"data\": [{row}, {row}]}}")]
    {
        let outcome = read("a.json", text);
        assert_eq!(outcome.examples()[1].prompt, plain(&long));
    }
}

#[test]
fn a_cut_gzip_file_is_an_error() {
    let whole = gzip(format!("{GOOD}\n").repeat(10_000).as_bytes());
    let message = read("a.jsonl.gz", &whole[..whole.len() - 30]).message();
    assert!(message.starts_with("a.jsonl.gz: cannot be read"), "{message}");
}

/// 80 MiB of one line in a few hundred KiB of gzip: refused at the limit of 64 MiB.
#[test]
fn a_small_file_with_a_huge_line_is_refused() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let block = vec![b'a'; 1 << 20];
    encoder.write_all(b"{\"prompt\": \"").unwrap();
    (0..80).for_each(|_| encoder.write_all(&block).unwrap());
    let message = read("bomb.jsonl.gz", encoder.finish().unwrap()).message();
    assert!(message.starts_with("bomb.jsonl.gz:1: longer than 67108864 bytes"), "{message}");
}

#[test]
fn several_files_are_numbered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let paths = ["a.jsonl", "b.json"].map(|name| folder.path().join(name));
    std::fs::write(&paths[0], GOOD).unwrap();
    std::fs::write(&paths[1], format!("[{GOOD}, {}]", GOOD.replace("\"a\"", "\"b\""))).unwrap();
    let mut report = DataReport::default();
    let examples = read_examples(&paths, &SourceConfig::default(), &mut report).unwrap();
    let rows: Vec<_> = examples.iter().map(|example| (example.row.file, example.row.row)).collect();
    assert_eq!(rows, [(0, 1), (1, 1)]);
    assert_eq!((report.rows_read, report.rows_kept()), (3, 2));
    assert!(report.lines().iter().any(|line| line.contains("dropped 1: chosen and rejected are the same")));
}
