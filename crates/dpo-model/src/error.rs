//! What can go wrong between a model's files and the decoder.

use crate::gguf::GgmlType;
use std::fmt;
use std::path::{Path, PathBuf};

/// Every failure of this crate: a wrong file or setting of the user's, never a wrong call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried: "read", "write", "copy".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A JSON file does not parse.
    #[error("{}: not valid JSON", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_json::Error,
    },
    /// A key of the configuration is absent or has a value that makes no sense.
    #[error("{}: `{key}` is {found}, expected {expected}", path.display())]
    Config {
        /// The configuration file, or the GGUF that carries it.
        path: PathBuf,
        /// The key as it is spelt in that file.
        key: String,
        /// Its value, "absent" when there is none.
        found: String,
        /// What would have been understood.
        expected: String,
    },
    /// The architecture is not one that the decoder can compute.
    #[error("{}: the architecture is `{found}`, known here: {known}", path.display())]
    UnknownFamily {
        /// The configuration file, or the GGUF.
        path: PathBuf,
        /// The architecture's name in the file.
        found: String,
        /// The names that are understood.
        known: String,
    },
    /// There is no model in this folder.
    #[error(
        "{}: no weights here; expected `model.safetensors` or `model.safetensors.index.json` with its shards",
        folder.display()
    )]
    NoWeights {
        /// The folder.
        folder: PathBuf,
    },
    /// The only weights are pickles, which can run code when they are opened.
    #[error(
        "{}: `{file}` is a pickle, which can run code when opened, and is never read here; convert it once with \
         transformers: `AutoModelForCausalLM.from_pretrained(…).save_pretrained(…)` writes safetensors",
        folder.display()
    )]
    PickleOnly {
        /// The folder.
        folder: PathBuf,
        /// The pickle found there.
        file: String,
    },
    /// Shards that the index names are not there.
    #[error("{}: missing shards: {}; download the model again", index.display(), missing.join(", "))]
    MissingShards {
        /// The index file.
        index: PathBuf,
        /// The absent files.
        missing: Vec<String>,
    },
    /// A weight file contradicts itself.
    #[error("{}: {problem}", path.display())]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What was found where.
        problem: String,
    },
    /// The entry of one tensor contradicts its file.
    #[error("{}: tensor `{tensor}`: {problem}", path.display())]
    BadTensor {
        /// The file.
        path: PathBuf,
        /// The tensor's name in that file.
        tensor: String,
        /// What was found, what is possible.
        problem: String,
    },
    /// Values cannot be rounded to this format here.
    #[error(
        "{} tensors are read, not written; take one of {}",
        ggml_type.name(),
        GgmlType::WRITABLE.map(GgmlType::name).join(", ")
    )]
    NotWritable {
        /// The format.
        ggml_type: GgmlType,
    },
    /// The tensors are not those that the configuration calls for.
    #[error("{}: the weights do not fit the configuration: {mismatch}", path.display())]
    WrongTensors {
        /// The folder or GGUF.
        path: PathBuf,
        /// All that differs.
        mismatch: TensorMismatch,
    },
    /// A prompt that cannot be continued.
    #[error("prompt {prompt}: {problem}")]
    BadPrompt {
        /// Its index.
        prompt: usize,
        /// What was found, what is possible.
        problem: String,
    },
    /// An adapter was made for another model.
    #[error("the adapter does not fit this model (it was made for `{base}`): {problems}")]
    OtherBase {
        /// What the adapter says of its base.
        base: String,
        /// The matrices that differ.
        problems: String,
    },
    /// An adapter's target means no matrix.
    #[error("`{target}` names no matrix of this model; there are {known}")]
    NoSuchTarget {
        /// A name or a pattern.
        target: String,
        /// The last parts of the matrices' names.
        known: String,
    },
    /// DoRA adapters with strengths other than 1, or together with others.
    #[error(
        "a DoRA adapter has lengths of its own and stands alone with strength 1; export it merged instead"
    )]
    DoraCannotBeMixed,
    /// The format has no way to say this.
    #[error("a GGUF file cannot hold {what}")]
    NotInGguf {
        /// What it is.
        what: String,
    },
    /// A setting of generation that makes no sense.
    #[error("`{setting}` is {found}, expected {expected}")]
    BadSetting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        found: String,
        /// What would have been understood.
        expected: &'static str,
    },
    /// The model does not say which token is next.
    #[error(
        "prompt {prompt}: the scores after {n_tokens} tokens are not finite: the weights are damaged or training \
         diverged; use an earlier checkpoint"
    )]
    NotFinite {
        /// The index of the prompt.
        prompt: usize,
        /// Tokens before, those of the prompt included.
        n_tokens: usize,
    },
}

impl ModelError {
    pub(crate) fn reading(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        |source| Self::Io { action: "read", path, source }
    }

    pub(crate) fn writing(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<> {
        let path = path.to_path_buf();
        |source| Self::Io { action: "write", path, source }
    }

    pub(crate) fn bad_file(path: &Path, problem: impl Into<String>) -> Self {
        Self::BadFile { path: path.to_path_buf(), problem: problem.into() }
    }

    pub(crate) fn bad_tensor(path: &Path, tensor: &str, problem: impl Into<String>) -> Self {
        Self::BadTensor { path: path.to_path_buf(), tensor: tensor.into(), problem: problem.into() }
    }
}

/// All differences between the tensors that a configuration calls for and those that were found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TensorMismatch {
    /// Called for, not found.
    pub missing: Vec<String>,
    /// Found, not called for.
    pub unexpected: Vec<String>,
    /// Found with another shape.
    pub wrong_shape: Vec<WrongShape>,
}

/// A tensor whose shape is not the one that the configuration gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrongShape {
    /// The tensor's name.
    pub name: String,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// The shape that follows from the configuration.
    pub expected: Vec<usize>,
}

impl TensorMismatch {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.wrong_shape.is_empty()
    }
}

/// Names listed in a message before "and n more".
const MAX_LISTED: usize = 12;

impl fmt::Display for TensorMismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let wrong = self.wrong_shape.iter().map(|WrongShape { name, found, expected }| {
            format!("{name} is {found:?} and should be {expected:?}")
        });
        let groups = [
            ("missing", self.missing.clone()),
            ("unexpected", self.unexpected.clone()),
            ("of another shape", wrong.collect()),
        ];
        let groups = groups.into_iter().filter(|(_, names)| !names.is_empty());
        let texts: Vec<String> = groups.map(|(kind, names)| list(kind, &names)).collect();
        f.write_str(&texts.join("; "))
    }
}

fn list(kind: &str, names: &[String]) -> String {
    let shown = names.iter().take(MAX_LISTED).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(MAX_LISTED) {
        0 => format!("{} {kind}: {shown}", names.len()),
        more => format!("{} {kind}: {shown} and {more} more", names.len()),
    }
}

/// The first few of many, and how many more there are.
pub(crate) fn some_of(problems: &[String]) -> String {
    const SHOWN: usize = 4;
    let shown = problems[..problems.len().min(SHOWN)].join("; ");
    match problems.len().saturating_sub(SHOWN) {
        0 => shown,
        more => format!("{shown}; and {more} more"),
    }
}
