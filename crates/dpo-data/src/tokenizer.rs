//! The tokenizer of a model and what belongs to it: special tokens, chat template, files.

mod folder;
mod gguf;
mod literal;
mod load;
mod seams;
mod view;
mod words;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use tokenizers::Tokenizer;

use crate::DataError;
use crate::template::{ChatTemplate, Clock};

pub use gguf::{GgufExport, GgufProblem, GgufVocabulary, GgufWarning};
pub(crate) use literal::SpecialTokens;
pub use view::Piece;

use folder::TokenizerFolder;
use literal::LiteralTokenizer;
use load::{add_missing, load, set_post_processor};
use seams::Seams;
use words::Words;

/// A file that belongs to a tokenizer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizerFile {
    /// Its name in the folder of a model.
    pub name: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// Everything that turns text into token ids and back: tokenizer, special tokens, chat template.
///
/// [`TextEncoder::from_folder`] reads that of a Hugging Face folder and [`TextEncoder::from_gguf`] makes one of a GGUF
/// file's metadata. It is read-only and can be used by all threads at once.
#[derive(Debug)]
pub struct TextEncoder {
    path: PathBuf,
    tokenizer: Tokenizer,
    special: SpecialTokens,
    /// Where texts can be cut, if anywhere.
    seams: Option<Seams>,
    /// Words that were met, where they become tokens by themselves.
    words: Option<Words>,
    /// Made when the first row needs it.
    literal: OnceLock<Result<LiteralTokenizer, String>>,
    template: Option<ChatTemplate>,
    /// Texts of the special tokens that chat templates know, by name: `bos_token`, `eos_token`, …
    named: BTreeMap<String, String>,
    eos_ids: Vec<u32>,
    adds_bos: bool,
    adds_eos: bool,
    /// Whether no text gets tokens around it.
    adds_nothing: bool,
    files: Vec<TokenizerFile>,
}

impl TextEncoder {
    /// Reads `tokenizer.json` of a Hugging Face folder, and the configuration and chat template beside it.
    ///
    /// `clock` is what the template's `strftime_now` tells.
    pub fn from_folder(folder: &Path, clock: Clock) -> Result<Self, DataError> {
        let found = TokenizerFolder::read(folder)?;
        let path = folder.join("tokenizer.json");
        let unusable = |problem: String| DataError::Tokenizer { path: path.clone(), problem };
        let mut tokenizer = load(found.tokenizer_json(folder)?).map_err(unusable)?;
        add_missing(&mut tokenizer, found.more_tokens).map_err(unusable)?;
        let mut named: BTreeMap<String, String> =
            found.special.into_iter().map(|(name, token)| (name, token.content)).collect();
        if let (None, Some(eos)) = (named.get("eos_token"), found.eos_ids.first()) {
            named.extend(tokenizer.id_to_token(*eos).map(|token| ("eos_token".to_owned(), token)));
        }
        if let Some(add) = found.add_bos_eos {
            set_post_processor(&mut tokenizer, add, &named).map_err(unusable)?;
        }
        let template = found.template.map(|(source, path)| ChatTemplate::compile(&source, &path, clock));
        let mut encoder = Self::assemble(folder, tokenizer, named, found.files)?;
        encoder.template = template.transpose()?;
        encoder.eos_ids.extend(found.eos_ids);
        Ok(encoder.with_unique_eos_ids())
    }

    /// Makes a tokenizer of the metadata of the GGUF file `path`.
    ///
    /// `clock` is what the template's `strftime_now` tells.
    pub fn from_gguf(vocabulary: &GgufVocabulary, path: &Path, clock: Clock) -> Result<Self, DataError> {
        let unusable = |problem: String| DataError::Tokenizer { path: path.to_path_buf(), problem };
        let json = vocabulary.tokenizer_json().map_err(unusable)?;
        let bytes = serde_json::to_vec(&json).map_err(|error| unusable(error.to_string()))?;
        let tokenizer = load(&bytes).map_err(unusable)?;
        let config = vocabulary.tokenizer_config();
        let named = config.as_object().into_iter().flatten();
        let named = named.filter(|(name, _)| name.ends_with("_token"));
        let named = named.filter_map(|(name, token)| Some((name.clone(), token.as_str()?.to_owned())));
        let mut files = vec![
            TokenizerFile { name: "tokenizer.json".to_owned(), bytes },
            TokenizerFile {
                name: "tokenizer_config.json".to_owned(),
                bytes: format!("{config:#}\n").into_bytes(),
            },
        ];
        files.extend(vocabulary.chat_template.as_ref().map(|source| TokenizerFile {
            name: "chat_template.jinja".to_owned(),
            bytes: source.clone().into_bytes(),
        }));
        let mut encoder = Self::assemble(path, tokenizer, named.collect(), files)?;
        let template = vocabulary.chat_template.as_ref();
        encoder.template = template.map(|source| ChatTemplate::compile(source, path, clock)).transpose()?;
        encoder.eos_ids.extend(vocabulary.eos_id.into_iter().chain(vocabulary.eot_id));
        Ok(encoder.with_unique_eos_ids())
    }

    fn assemble(
        path: &Path,
        tokenizer: Tokenizer,
        named: BTreeMap<String, String>,
        files: Vec<TokenizerFile>,
    ) -> Result<Self, DataError> {
        let unusable = |error: tokenizers::Error| DataError::Tokenizer {
            path: path.to_path_buf(),
            problem: error.to_string(),
        };
        let id = |name: &str| named.get(name).and_then(|token| tokenizer.token_to_id(token));
        let around_nothing = tokenizer.encode_fast("", true).map_err(unusable)?;
        let (bos, eos) = (id("bos_token"), id("eos_token"));
        let ids = around_nothing.get_ids();
        let adds_bos = bos.is_some() && ids.first().copied() == bos;
        let adds_eos = eos.is_some() && ids[usize::from(adds_bos)..].last().copied() == eos;
        Ok(Self {
            path: path.to_path_buf(),
            special: SpecialTokens::of(&tokenizer),
            seams: Seams::of(&tokenizer),
            words: Words::of(&tokenizer),
            adds_nothing: ids.is_empty(),
            literal: OnceLock::new(),
            template: None,
            eos_ids: eos.into_iter().collect(),
            adds_bos,
            adds_eos,
            named,
            files,
            tokenizer,
        })
    }

    fn with_unique_eos_ids(mut self) -> Self {
        let mut seen = HashSet::new();
        self.eos_ids.retain(|id| seen.insert(*id));
        self
    }

    /// Where it was read from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The chat template, if the model has one.
    pub fn chat_template(&self) -> Option<&ChatTemplate> {
        self.template.as_ref()
    }

    /// The same with another chat template. A trained model is written with it.
    #[must_use]
    pub fn with_chat_template(mut self, template: ChatTemplate) -> Self {
        self.files.retain(|file| !file.name.starts_with("chat_template."));
        let bytes = template.source().as_bytes().to_vec();
        self.files.push(TokenizerFile { name: "chat_template.jinja".to_owned(), bytes });
        self.template = Some(template);
        self
    }

    /// The files to write beside a trained model, so that other programs tokenise as this one does: those that were
    /// read, byte for byte, or for GGUF those that transformers would have made of it.
    pub fn files(&self) -> &[TokenizerFile] {
        &self.files
    }

    /// Largest id and one: rows that the model's embedding must have at least.
    pub fn vocab_size(&self) -> usize {
        self.tokenizer.get_vocab(true).into_values().max().map_or(0, |id| id as usize + 1)
    }

    /// Id of a token, by its text as `tokenizer.json` has it.
    pub fn token_id(&self, token: &str) -> Option<u32> {
        self.tokenizer.token_to_id(token)
    }

    /// The token that starts a text.
    pub fn bos_id(&self) -> Option<u32> {
        self.named_id("bos_token")
    }

    /// The token that ends a plain text.
    pub fn eos_id(&self) -> Option<u32> {
        self.named_id("eos_token")
    }

    /// The token that fills up rows; nothing here needs one.
    pub fn pad_id(&self) -> Option<u32> {
        self.named_id("pad_token")
    }

    /// All ids at which generation ends: the end-of-sequence token and what `generation_config.json` adds.
    pub fn eos_ids(&self) -> &[u32] {
        &self.eos_ids
    }

    /// Whether every plain text gets the token that starts a text.
    pub fn adds_bos(&self) -> bool {
        self.adds_bos
    }

    /// The text of ids, without special tokens: for what a model generated.
    pub fn decode(&self, ids: &[u32]) -> Result<String, DataError> {
        self.decode_ids(ids, SpecialTokensIn::Skipped)
    }

    /// The text of ids with the special tokens written out.
    pub fn decode_with_special_tokens(&self, ids: &[u32]) -> Result<String, DataError> {
        self.decode_ids(ids, SpecialTokensIn::Shown)
    }

    fn decode_ids(&self, ids: &[u32], special: SpecialTokensIn) -> Result<String, DataError> {
        self.tokenizer.decode(ids, special == SpecialTokensIn::Skipped).map_err(|error| {
            DataError::Tokenizer {
                path: self.path.clone(),
                problem: format!("ids cannot be decoded: {error}"),
            }
        })
    }

    fn named_id(&self, name: &str) -> Option<u32> {
        self.tokenizer.token_to_id(self.named.get(name)?)
    }

    pub(crate) fn named_tokens(&self) -> &BTreeMap<String, String> {
        &self.named
    }

    pub(crate) fn special_tokens(&self) -> &SpecialTokens {
        &self.special
    }

    /// Ids of a text, special tokens in it parsed.
    pub(crate) fn encode_parsed(&self, text: &str, surroundings: Surroundings) -> Result<Vec<u32>, String> {
        let whole = |text: &str| {
            let encoding = self.tokenizer.encode_fast(text, surroundings == Surroundings::Added);
            Ok(encoding.map_err(|error| error.to_string())?.get_ids().to_vec())
        };
        let stands_alone = surroundings == Surroundings::Rendered || self.adds_nothing;
        let by_words =
            self.words.as_ref().filter(|_| stands_alone).and_then(|words| words.encode(text, whole));
        by_words.unwrap_or_else(|| whole(text))
    }

    /// Ids of a text whose literal special tokens are marked.
    pub(crate) fn encode_marked(&self, marked: &str, surroundings: Surroundings) -> Result<Vec<u32>, String> {
        let literal = self.literal.get_or_init(|| LiteralTokenizer::new(&self.tokenizer, &self.special));
        let literal = literal.as_ref().map_err(Clone::clone)?;
        literal
            .encode(marked, &self.special, surroundings == Surroundings::Added)
            .map_err(|error| error.to_string())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum SpecialTokensIn {
    Skipped,
    Shown,
}

/// Whether a text gets the tokens that the tokenizer puts around texts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Surroundings {
    /// Yes: plain text.
    Added,
    /// No: the chat template has written them.
    Rendered,
}
