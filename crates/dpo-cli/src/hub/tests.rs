#![allow(clippy::unwrap_used)]
//! The hub client against a tiny hub on 127.0.0.1.

use super::*;
use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const SHA: &str = "0123456789abcdef0123456789abcdef01234567";

/// What the tiny hub has: bodies by path, statuses by path for those that it refuses.
#[derive(Default)]
struct Shelf {
    bodies: HashMap<String, Vec<u8>>,
    refused: HashMap<String, u16>,
}

struct TinyHub {
    endpoint: String,
    n_requests: Arc<AtomicUsize>,
    shelf: Arc<Mutex<Shelf>>,
    cache: tempfile::TempDir,
}

impl TinyHub {
    /// `kind` is `""` or `"datasets/"`.
    fn with(kind: &str, repo: &str, revision: &str, files: &[(&str, &[u8])]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let hub = Self {
            endpoint: format!("http://{}", listener.local_addr().unwrap()),
            n_requests: Arc::default(),
            shelf: Arc::default(),
            cache: tempfile::tempdir().unwrap(),
        };
        hub.add(kind, repo, revision, files);
        let (shelf, n_requests) = (hub.shelf.clone(), hub.n_requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                n_requests.fetch_add(1, Ordering::SeqCst);
                let _ = answer(stream, &shelf.lock().unwrap());
            }
        });
        hub
    }

    fn add(&self, kind: &str, repo: &str, revision: &str, files: &[(&str, &[u8])]) {
        let mut shelf = self.shelf.lock().unwrap();
        let siblings: Vec<_> =
            files.iter().map(|(name, _)| serde_json::json!({ "rfilename": name })).collect();
        let info = serde_json::json!({ "siblings": siblings, "sha": SHA }).to_string();
        let api_kind = if kind.is_empty() { "models/" } else { kind };
        let revision = revision.replace('/', "%2F");
        shelf.bodies.insert(format!("/api/{api_kind}{repo}/revision/{revision}"), info.into_bytes());
        for (name, body) in files {
            shelf.bodies.insert(format!("/{kind}{repo}/resolve/{SHA}/{name}"), body.to_vec());
        }
    }

    fn refuse(&self, path: &str, status: u16) {
        self.shelf.lock().unwrap().refused.insert(path.to_owned(), status);
    }

    fn client(&self) -> Hub {
        self.client_with(&[])
    }

    fn client_with(&self, more: &[(&str, &str)]) -> Hub {
        let cache = self.cache.path().join("hub").display().to_string();
        let mut vars = HashMap::from([
            ("HF_HOME", self.cache.path().display().to_string()),
            ("HF_HUB_CACHE", cache),
            ("HF_ENDPOINT", self.endpoint.clone()),
        ]);
        vars.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Hub::from_vars(|name| vars.get(name).cloned(), false).unwrap()
    }

    fn n_requests(&self) -> usize {
        self.n_requests.load(Ordering::SeqCst)
    }
}

/// One request, one answer: ranges, `ETag` and `X-Repo-Commit` as the hub has them.
fn answer(mut stream: TcpStream, shelf: &Shelf) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap_or(Ok(String::new()))?;
    let path = request.split(' ').nth(1).unwrap_or("").to_owned();
    let mut range = None;
    for line in lines {
        let line = line?.to_lowercase();
        if line.is_empty() {
            break;
        }
        range = line.strip_prefix("range: bytes=").map(str::to_owned).or(range);
    }
    let status = shelf.refused.get(&path).copied();
    let Some(body) = shelf.bodies.get(&path).filter(|_| status.is_none()) else {
        let status = status.unwrap_or(404);
        return write!(stream, "HTTP/1.1 {status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let bounds = range.unwrap_or_default();
    let (from, to) = bounds.split_once('-').unwrap_or(("0", ""));
    let from = from.parse().unwrap_or(0).min(body.len());
    let to = to.parse().map_or(body.len(), |to: usize| (to + 1).min(body.len()));
    write!(
        stream,
        "HTTP/1.1 206 Partial\r\nContent-Length: {}\r\nContent-Range: bytes {from}-{}/{}\r\nETag: \"{:x}\"\r\n\
         X-Repo-Commit: {SHA}\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n",
        to - from,
        to.saturating_sub(1),
        body.len(),
        etag(&path, body),
    )?;
    stream.write_all(&body[from..to])
}

/// Equal content has an equal tag, as on the hub; FNV-1a is enough here.
fn etag(path: &str, body: &[u8]) -> u64 {
    let bytes = path.bytes().chain(body.iter().copied());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

const MODEL: &[(&str, &[u8])] = &[
    ("README.md", b"not needed"),
    ("config.json", b"{}"),
    ("tokenizer.json", b"{\"a\": 1}"),
    ("chat_template.jinja", b"{{ x }}"),
    ("pytorch_model.bin", b"never fetched"),
    ("../escape.json", b"never fetched"),
    ("model.safetensors", b"weights"),
];

#[test]
fn a_model_is_downloaded_once_and_then_found_without_the_network() {
    let hub = TinyHub::with("", "org/tiny", "main", MODEL);
    let folder = hub.client().model("org/tiny").unwrap();
    assert_eq!(std::fs::read(folder.join("model.safetensors")).unwrap(), b"weights");
    assert_eq!(std::fs::read(folder.join("chat_template.jinja")).unwrap(), b"{{ x }}");
    assert!(!folder.join("README.md").exists() && !folder.join("pytorch_model.bin").exists());
    assert!(folder.ends_with(format!("models--org--tiny/snapshots/{SHA}")));
    let before = hub.n_requests();
    assert_eq!(hub.client().model("org/tiny").unwrap(), folder);
    assert_eq!(hub.client_with(&[("HF_HUB_OFFLINE", "1")]).model("org/tiny").unwrap(), folder);
    assert_eq!(hub.client().model(&format!("org/tiny@{SHA}")).unwrap(), folder);
    assert_eq!(hub.n_requests(), before);
}

#[test]
fn shards_are_those_of_the_index() {
    let index =
        br#"{"weight_map": {"a": "m-1.safetensors", "b": "m-2.safetensors", "c": "m-1.safetensors"}}"#;
    let files: &[(&str, &[u8])] = &[
        ("config.json", b"{}"),
        ("tokenizer.json", b"{}"),
        ("model.safetensors.index.json", index),
        ("m-1.safetensors", b"one"),
        ("m-2.safetensors", b"two"),
        ("consolidated.safetensors", b"not named by the index"),
    ];
    let hub = TinyHub::with("", "org/sharded", "v1.0", files);
    let folder = hub.client().model("org/sharded@v1.0").unwrap();
    assert!(folder.join("m-2.safetensors").exists() && !folder.join("consolidated.safetensors").exists());
    assert!(files::is_model(&folder));
}

/// A download that breaks off leaves no model; the next try continues it.
#[test]
fn an_interrupted_download_is_continued() {
    let hub = TinyHub::with("", "org/tiny", "main", MODEL);
    let weights = format!("/org/tiny/resolve/{SHA}/model.safetensors");
    hub.refuse(&weights, 503);
    let error = hub.client().model("org/tiny").unwrap_err();
    assert!(error.to_string().contains("file `model.safetensors`: "), "{error}");
    assert!(error.to_string().contains("status 503"), "{error}");
    assert!(hub.client_with(&[("HF_HUB_OFFLINE", "1")]).model("org/tiny").is_err());
    hub.shelf.lock().unwrap().refused.clear();
    hub.client().model("org/tiny").unwrap();
}

#[test]
fn what_is_not_there_is_told_from_what_cannot_be_reached() {
    let hub = TinyHub::with("", "org/tiny", "main", MODEL);
    let message = |given: &str| hub.client().model(given).unwrap_err().to_string();
    assert!(message("org/typo").contains("check the spelling"), "{}", message("org/typo"));
    for (status, expected) in [(401, "set HF_TOKEN"), (403, "it is gated"), (429, "too many requests")] {
        hub.refuse("/api/models/org/secret/revision/main", status);
        assert!(message("org/secret").contains(expected), "{}", message("org/secret"));
    }
    // A port that was just given back: nobody listens there.
    let closed = format!("http://{}", TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap());
    let client = hub.client_with(&[("HF_ENDPOINT", &closed)]);
    let error = client.model("org/tiny").unwrap_err().to_string();
    assert!(error.contains("cannot be reached"), "{error}");
    let error = hub.client_with(&[("HF_HUB_OFFLINE", "1")]).model("org/tiny").unwrap_err().to_string();
    assert!(error.contains("HF_HUB_OFFLINE is set"), "{error}");
}

#[test]
fn other_formats_are_refused_before_they_are_downloaded() {
    let hub = TinyHub::with("", "org/pickle", "main", &[("config.json", b"{}"), ("pytorch_model.bin", b"x")]);
    hub.add("", "org/gguf", "main", &[("a-Q8_0.gguf", b"x")]);
    hub.add("", "org/other", "main", &[("model.onnx", b"x")]);
    let message = |given: &str| hub.client().model(given).unwrap_err().to_string();
    assert!(message("org/pickle").contains("has no safetensors"));
    assert!(message("org/gguf").contains("`a-Q8_0.gguf`"));
    assert!(message("org/other").contains("has no `config.json`"));
}

#[test]
fn a_path_wins_over_an_id_and_neither_is_said_plainly() {
    let hub = TinyHub::with("", "org/tiny", "main", MODEL);
    let path = hub.cache.path().display().to_string();
    assert_eq!(hub.client().model(&path).unwrap(), hub.cache.path());
    assert_eq!(hub.client().dataset(&path, "train").unwrap(), [hub.cache.path()]);
    for given in ["", "one", "a/b/c", "../up", "a/..", "/no/such", "org/na me", "org/x@../y", "org/x@"] {
        let error = hub.client().model(given).unwrap_err().to_string();
        assert!(error.contains("no such file or folder"), "{given}: {error}");
    }
    assert!(hub.client().dataset("data/train.jsonl", "train").is_err());
    assert_eq!(hub.n_requests(), 0);
}

#[test]
fn a_split_of_a_data_set_is_its_parquet_files_in_order() {
    let files: &[(&str, &[u8])] = &[
        ("data/test-00000-of-00001.parquet", b"test"),
        ("data/train-00001-of-00002-abc.parquet", b"second"),
        ("data/train-00000-of-00002-def.parquet", b"first"),
        ("data/train_sft-00000-of-00001.parquet", b"another split"),
    ];
    let hub = TinyHub::with("datasets/", "org/pairs", "main", files);
    let read =
        |paths: Vec<PathBuf>| paths.iter().map(|path| std::fs::read(path).unwrap()).collect::<Vec<_>>();
    assert_eq!(
        read(hub.client().dataset("org/pairs", "train").unwrap()),
        [b"first".to_vec(), b"second".to_vec()]
    );
    let before = hub.n_requests();
    assert_eq!(hub.client().dataset("org/pairs", "train").unwrap().len(), 2);
    assert_eq!(hub.n_requests(), before);
    assert_eq!(read(hub.client().dataset("org/pairs", "test").unwrap()), [b"test".to_vec()]);
    let error = hub.client().dataset("org/pairs", "validation").unwrap_err().to_string();
    assert!(
        error.contains("no split `validation`; it has `data/test`, `data/train`, `data/train_sft`"),
        "{error}"
    );
}

/// One part of two in the cache is not the split.
#[test]
fn a_split_cut_short_is_completed() {
    let files: &[(&str, &[u8])] =
        &[("sub/train/0000.parquet", b"first"), ("sub/train/0001.parquet", b"second")];
    let hub = TinyHub::with("datasets/", "org/pairs", "main", &[("README.md", b"no Parquet here")]);
    hub.add("datasets/", "org/pairs", PARQUET_REVISION, files);
    let first = format!("/datasets/org/pairs/resolve/{SHA}/sub/train/0000.parquet");
    hub.refuse(&first, 500);
    hub.client().dataset("org/pairs", "train").unwrap_err();
    assert!(hub.client_with(&[("HF_HUB_OFFLINE", "true")]).dataset("org/pairs", "train").is_err());
    hub.shelf.lock().unwrap().refused.clear();
    assert_eq!(hub.client().dataset("org/pairs", "train").unwrap().len(), 2);
    assert_eq!(
        hub.client_with(&[("HF_HUB_OFFLINE", "true")]).dataset("org/pairs", "train").unwrap().len(),
        2
    );
}

#[test]
fn several_subsets_have_to_be_chosen_from() {
    let files: &[(&str, &[u8])] = &[("help/train/0000.parquet", b"h"), ("harm/train/0000.parquet", b"x")];
    let hub = TinyHub::with("datasets/", "org/pairs", "main", files);
    let error = hub.client().dataset("org/pairs", "train").unwrap_err().to_string();
    assert!(error.contains("several subsets: `harm`, `help`; give one as `org/pairs/SUBSET`"), "{error}");
    assert_eq!(std::fs::read(&hub.client().dataset("org/pairs/help", "train").unwrap()[0]).unwrap(), b"h");
}

#[test]
fn settings_come_from_the_environment() {
    let vars = |pairs: &'static [(&str, &str)]| {
        Hub::from_vars(
            |name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()),
            false,
        )
    };
    let hub = vars(&[("HOME", "/h")]).unwrap();
    assert_eq!(
        (hub.cache_dir.as_path(), hub.endpoint.as_str()),
        (Path::new("/h/.cache/huggingface/hub"), "https://huggingface.co")
    );
    assert!(!hub.offline && hub.token.is_none());
    let hub = vars(&[
        ("HF_HOME", "/x"),
        ("HF_TOKEN", " t\n"),
        ("HF_ENDPOINT", "http://e/"),
        ("HF_HUB_OFFLINE", "ON"),
    ]);
    let hub = hub.unwrap();
    assert_eq!((hub.cache_dir.as_path(), hub.endpoint.as_str()), (Path::new("/x/hub"), "http://e"));
    assert!(hub.offline && hub.token.as_deref() == Some("t"));
    assert!(vars(&[]).is_err());
}
