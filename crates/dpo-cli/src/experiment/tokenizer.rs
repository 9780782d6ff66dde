//! The tokenizer of the experiment: byte-level BPE trained on the corpus, and the files of a Hugging Face folder.

use std::path::Path;

use anyhow::{Context, anyhow};
use serde_json::json;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, DecoderWrapper, NormalizerWrapper, PostProcessorWrapper, PreTokenizerWrapper};
use tokenizers::{Tokenizer, TokenizerImpl};

/// Begins and ends texts; id 0. Nothing puts it in front by itself: every text begins with its prompt.
pub(crate) const END_OF_TEXT: &str = "<|endoftext|>";

/// Fills batches of trainers that pad; id 1.
pub(crate) const PAD: &str = "<|pad|>";

type BpeTokenizer =
    TokenizerImpl<BPE, NormalizerWrapper, PreTokenizerWrapper, PostProcessorWrapper, DecoderWrapper>;

/// Trains a tokenizer of at most `vocab_size` entries: two special ones, the 256 bytes, and merges.
///
/// The same texts give the same tokenizer, byte for byte: counts decide, and ties fall to the smaller ids.
pub(crate) fn train(texts: &[String], vocab_size: usize) -> anyhow::Result<Tokenizer> {
    let specials = [END_OF_TEXT, PAD].map(|token| AddedToken::from(token, true));
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocab_size)
        .min_frequency(2)
        .show_progress(false)
        .special_tokens(specials.to_vec())
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .build();
    let byte_level = ByteLevel::new(false, true, true);
    let mut tokenizer: BpeTokenizer = TokenizerImpl::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(byte_level));
    tokenizer.with_decoder(Some(byte_level));
    tokenizer
        .train(&mut trainer, texts.iter())
        .map_err(|cause| anyhow!("cannot train the tokenizer: {cause}"))?;
    Ok(tokenizer.into())
}

/// Writes `tokenizer.json`, `tokenizer_config.json` and `special_tokens_map.json` into `folder`.
pub(crate) fn write(tokenizer: &Tokenizer, max_len: usize, folder: &Path) -> anyhow::Result<()> {
    let special = json!({ "bos_token": END_OF_TEXT, "eos_token": END_OF_TEXT, "pad_token": PAD });
    let mut config = special.clone();
    config["clean_up_tokenization_spaces"] = json!(false);
    config["model_max_length"] = json!(max_len);
    config["tokenizer_class"] = json!("PreTrainedTokenizerFast");
    let text = tokenizer.to_string(true).map_err(|cause| anyhow!("cannot write the tokenizer: {cause}"))?;
    let files = [
        ("tokenizer.json", text),
        ("tokenizer_config.json", serde_json::to_string_pretty(&config)?),
        ("special_tokens_map.json", serde_json::to_string_pretty(&special)?),
    ];
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::write(&path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::experiment::grammar::Review;

    fn texts() -> Vec<String> {
        (0..2_000).map(|idx| Review::generate(3, idx).text()).collect()
    }

    #[test]
    fn the_same_texts_give_the_same_bytes() {
        let [once, twice] = [(), ()].map(|()| train(&texts(), 800).unwrap().to_string(true).unwrap());
        assert_eq!(once, twice);
    }

    /// Reviews and any other text come back; the special tokens are where the model's config says.
    #[test]
    fn texts_survive_and_special_ids_are_fixed() {
        let tokenizer = train(&texts(), 800).unwrap();
        for text in [texts()[0].as_str(), "Größe 东 \u{0} ok", ""] {
            let ids = tokenizer.encode(text, false).unwrap().get_ids().to_vec();
            assert_eq!(tokenizer.decode(&ids, true).unwrap(), text);
        }
        let ids = [END_OF_TEXT, PAD].map(|token| tokenizer.token_to_id(token));
        assert_eq!((ids, tokenizer.get_vocab_size(true)), ([Some(0), Some(1)], 800));
    }

    /// A prompt's tokens begin those of its review: no merge crosses the space between them.
    #[test]
    fn prompts_are_token_prefixes() {
        let tokenizer = train(&texts(), 800).unwrap();
        let ids = |text: &str| tokenizer.encode(text, false).unwrap().get_ids().to_vec();
        for review in (0..300).map(|idx| Review::generate(8, idx)) {
            assert!(ids(&review.text()).starts_with(&ids(&review.prompt)));
        }
    }

    #[test]
    fn three_files_are_written() {
        let folder = tempfile::tempdir().unwrap();
        write(&train(&texts(), 400).unwrap(), 256, folder.path()).unwrap();
        let config = std::fs::read_to_string(folder.path().join("tokenizer_config.json")).unwrap();
        let config: serde_json::Value = serde_json::from_str(&config).unwrap();
        assert_eq!(config["eos_token"], END_OF_TEXT);
        assert!(Tokenizer::from_file(folder.path().join("tokenizer.json")).is_ok());
    }
}
