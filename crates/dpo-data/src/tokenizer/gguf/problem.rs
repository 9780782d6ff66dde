//! What stands between a tokenizer and a GGUF file.

/// Something about a tokenizer that GGUF metadata cannot say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufWarning {
    /// Characters are composed first, and no name of a split implies that.
    #[error("llama.cpp does not compose characters (NFC) before it splits: accents may come out otherwise")]
    Normalizer,
    /// `ignore_merges` is not what goes with the split.
    #[error(
        "`ignore_merges` of this tokenizer is not what llama.cpp does for `{pre}`: tokens that no merges make may come \
         out in parts, or whole"
    )]
    WholePieces {
        /// The name of the split.
        pre: &'static str,
    },
    /// A space is put before the text alone.
    #[error(
        "llama.cpp puts a space before what follows a special token too, this tokenizer before the text alone"
    )]
    SpaceBefore,
    /// Added tokens look at what is beside them.
    #[error(
        "{n_tokens} added tokens take spaces beside them along, or want to be words: llama.cpp does neither"
    )]
    Surroundings {
        /// How many have `lstrip`, `rstrip` or `single_word`.
        n_tokens: usize,
    },
    /// SentencePiece's rule gives other merges.
    #[error(
        "{n_merges} merges are not those of SentencePiece, by whose rule llama.cpp merges: words may come out otherwise"
    )]
    Merges {
        /// How many are there on one side alone.
        n_merges: usize,
    },
}

/// Why a tokenizer cannot be written to a GGUF file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GgufProblem {
    /// The model is not one that is written.
    #[error(
        "its model is {found}; byte-level BPE and SentencePiece's BPE with bytes for the rest can be written"
    )]
    Model {
        /// The kind of model.
        found: String,
    },
    /// llama.cpp has no name for the way text is split.
    #[error("llama.cpp has no name for how it splits text, {found}; it has these: {known}")]
    Split {
        /// `pre_tokenizer` of `tokenizer.json`.
        found: String,
        /// Values of `tokenizer.ggml.pre`.
        known: String,
    },
    /// Text is changed in a way that llama.cpp does not know.
    #[error("llama.cpp cannot change text as its normalizer does, {found}")]
    Normalizer {
        /// `normalizer` of `tokenizer.json`.
        found: String,
    },
    /// The embedding is too small.
    #[error("it has the id {id}, and the model's embedding {n_rows} rows; they do not belong together")]
    TooFewRows {
        /// The id.
        id: u64,
        /// Rows of the embedding.
        n_rows: usize,
    },
    /// The metadata would contradict itself.
    #[error("{problem}")]
    Contradiction {
        /// How.
        problem: String,
    },
}
