//! From a tokenizer to the metadata that llama.cpp reads, kinds and texts of tokens as its own converter has them.

use std::collections::HashSet;

use serde_json::Value;

use super::pieces::scores_from_merges;
use super::problem::{GgufProblem, GgufWarning};
use super::split::{Normalizer, Split, WholePieces};
use super::tokens::Tokens;
use super::{GgufVocabulary, kind};
use crate::DataError;
use crate::tokenizer::TextEncoder;

/// A tokenizer as GGUF metadata, and what these cannot say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct GgufExport {
    /// The metadata.
    pub vocabulary: GgufVocabulary,
    /// Where llama.cpp may tokenise some texts otherwise.
    pub warnings: Vec<GgufWarning>,
}

impl TextEncoder {
    /// The tokenizer and chat template as metadata of a GGUF file, for a model whose embedding has `n_rows` rows. Rows
    /// without a token get one that no text has, because llama.cpp wants as many tokens as rows.
    pub fn to_gguf_vocabulary(&self, n_rows: usize) -> Result<GgufExport, DataError> {
        let failed = |source| DataError::NotGguf { path: self.path.clone(), source };
        let contradiction = |problem: String| failed(GgufProblem::Contradiction { problem });
        let json = self.tokenizer.to_string(false).map_err(|error| contradiction(error.to_string()))?;
        let json = serde_json::from_str(&json).map_err(|error| contradiction(error.to_string()))?;
        let mut export = export(&json, n_rows).map_err(failed)?;
        let vocabulary = &mut export.vocabulary;
        vocabulary.bos_id = self.bos_id();
        vocabulary.eos_id = self.eos_id();
        vocabulary.eot_id = self.eos_ids.iter().copied().find(|id| Some(*id) != self.eos_id());
        vocabulary.unk_id = vocabulary.unk_id.or_else(|| self.named_id("unk_token"));
        vocabulary.pad_id = self.pad_id();
        vocabulary.add_bos = Some(self.adds_bos);
        vocabulary.add_eos = Some(self.adds_eos);
        vocabulary.chat_template = self.template.as_ref().map(|template| template.source().to_owned());
        vocabulary.check().map_err(contradiction)?;
        Ok(export)
    }
}

fn export(json: &Value, n_rows: usize) -> Result<GgufExport, GgufProblem> {
    let model = &json["model"];
    let is_byte_level =
        flat(&json["pre_tokenizer"], "pretokenizers").iter().any(|step| step["type"] == "ByteLevel");
    let mut export = match model["type"].as_str() {
        Some("BPE") if is_byte_level => byte_level(json, n_rows),
        Some("BPE") if model["byte_fallback"] == true => sentence_piece(json, n_rows),
        Some("BPE") => Err(GgufProblem::Model { found: "BPE over neither bytes nor pieces".to_owned() }),
        other => Err(GgufProblem::Model { found: other.unwrap_or("of no type").to_owned() }),
    }?;
    let added = json["added_tokens"].as_array().into_iter().flatten();
    let is_choosy =
        |token: &&Value| ["lstrip", "rstrip", "single_word"].iter().any(|flag| token[*flag] == true);
    let n_tokens = added.filter(is_choosy).count();
    if n_tokens > 0 {
        export.warnings.push(GgufWarning::Surroundings { n_tokens });
    }
    Ok(export)
}

fn byte_level(json: &Value, n_rows: usize) -> Result<GgufExport, GgufProblem> {
    let model = &json["model"];
    let whole_pieces = if model["ignore_merges"] == true { WholePieces::Kept } else { WholePieces::Merged };
    let (pre, warnings) = name_of_split(json, whole_pieces)?;
    let Tokens { texts, types } = Tokens::of(json, n_rows)?;
    let mut merges = Vec::new();
    for (left, right) in merges_of(model) {
        if left.contains(' ') || right.contains(' ') {
            let problem =
                format!("the merge of `{left}` and `{right}` has a space, which divides merges in GGUF");
            return Err(GgufProblem::Contradiction { problem });
        }
        merges.push(format!("{left} {right}"));
    }
    let vocabulary = GgufVocabulary {
        model: "gpt2".to_owned(),
        pre: pre.to_owned(),
        tokens: texts,
        token_types: types,
        merges,
        add_space_prefix: Some(false),
        ..GgufVocabulary::default()
    };
    Ok(GgufExport { vocabulary, warnings })
}

/// The name under which llama.cpp splits as this tokenizer does, and keeps whole pieces and composes as far as it can be
/// had.
fn name_of_split(
    json: &Value,
    whole_pieces: WholePieces,
) -> Result<(&'static str, Vec<GgufWarning>), GgufProblem> {
    let normalizer = match flat(&json["normalizer"], "normalizers").as_slice() {
        [] => Normalizer::None,
        [only] if only["type"] == "NFC" => Normalizer::Nfc,
        _ => return Err(GgufProblem::Normalizer { found: shortened(&json["normalizer"]) }),
    };
    let alike = Split::that_split_as(&json["pre_tokenizer"]);
    // llama.cpp keeps or merges whole pieces by the name; it never composes.
    let best = alike
        .into_iter()
        .min_by_key(|split| (split.whole_pieces != whole_pieces, split.normalizer != normalizer));
    let best = best.ok_or_else(|| GgufProblem::Split {
        found: shortened(&json["pre_tokenizer"]),
        known: Split::known_names(),
    })?;
    let (pre, mut warnings) = (best.names[0], Vec::new());
    if best.whole_pieces != whole_pieces {
        warnings.push(GgufWarning::WholePieces { pre });
    }
    if normalizer == Normalizer::Nfc && best.normalizer == Normalizer::None {
        warnings.push(GgufWarning::Normalizer);
    }
    Ok((pre, warnings))
}

fn sentence_piece(json: &Value, n_rows: usize) -> Result<GgufExport, GgufProblem> {
    let model = &json["model"];
    let mut warnings = Vec::new();
    let add_space_prefix = space_before(json)?;
    if json["pre_tokenizer"]["prepend_scheme"] == "first" {
        warnings.push(GgufWarning::SpaceBefore);
    }
    let Tokens { texts, mut types } = Tokens::of(json, n_rows)?;
    let unk = model["unk_token"].as_str().and_then(|unk| texts.iter().position(|token| token == unk));
    if let Some(unk) = unk {
        types[unk] = kind::UNKNOWN;
    }
    let as_pieces: Vec<String> = texts.iter().map(|text| text.replace(' ', "▁")).collect();
    let vocabulary = GgufVocabulary {
        model: "llama".to_owned(),
        pre: "default".to_owned(),
        scores: scores_from_merges(&as_pieces, merges_of(model)),
        tokens: texts,
        token_types: types,
        unk_id: unk.map(|unk| unk as u32),
        add_space_prefix: Some(add_space_prefix),
        ..GgufVocabulary::default()
    };
    let n_merges = n_other_merges(&vocabulary, model);
    if n_merges > 0 {
        warnings.push(GgufWarning::Merges { n_merges });
    }
    Ok(GgufExport { vocabulary, warnings })
}

/// Whether a space is put before a text. That spaces become `▁` and nothing else is changed is checked on the way.
fn space_before(json: &Value) -> Result<bool, GgufProblem> {
    let (mut marks_spaces, mut prepends) = (false, false);
    for step in flat(&json["normalizer"], "normalizers") {
        match step["type"].as_str() {
            Some("Prepend") if step["prepend"] == "▁" => prepends = true,
            Some("Replace") if step["pattern"]["String"] == " " && step["content"] == "▁" => {
                marks_spaces = true;
            }
            _ => return Err(GgufProblem::Normalizer { found: shortened(&json["normalizer"]) }),
        }
    }
    let unknown = || GgufProblem::Split {
        found: shortened(&json["pre_tokenizer"]),
        known: "a normalizer or `Metaspace` that writes spaces as `▁` and splits nothing".to_owned(),
    };
    for step in flat(&json["pre_tokenizer"], "pretokenizers") {
        match step["type"].as_str() {
            Some("Metaspace") if step["replacement"] == "▁" && step["split"] == false => {
                marks_spaces = true;
                prepends |= step["prepend_scheme"] != "never";
            }
            // Gemma's, which finds no space any more.
            Some("Split") if marks_spaces && step["pattern"]["String"] == " " => {}
            _ => return Err(unknown()),
        }
    }
    if marks_spaces { Ok(prepends) } else { Err(unknown()) }
}

/// Merges that are on one side alone: in the tokenizer, or among those that SentencePiece would do by these scores.
fn n_other_merges(vocabulary: &GgufVocabulary, model: &Value) -> usize {
    let respelt = vocabulary.with_runs_of_spaces_as_pieces();
    let known: HashSet<&str> = respelt.mergeable_tokens().collect();
    let is_known = |(left, right): &(&str, &str)| {
        known.contains(left) && known.contains(right) && known.contains(format!("{left}{right}").as_str())
    };
    let listed: HashSet<(&str, &str)> = merges_of(model).filter(is_known).collect();
    let implied: HashSet<(&str, &str)> =
        respelt.merges_from_scores().into_iter().map(|[left, right]| (left, right)).collect();
    listed.symmetric_difference(&implied).count()
}

/// The merges of a model, which older files write as one text each.
fn merges_of(model: &Value) -> impl Iterator<Item = (&str, &str)> {
    model["merges"].as_array().into_iter().flatten().filter_map(|merge| match merge {
        Value::String(pair) => pair.split_once(' '),
        pair => Some((pair[0].as_str()?, pair[1].as_str()?)),
    })
}

/// The steps of a `Sequence`, or the one step that is there instead.
fn flat<'j>(step: &'j Value, list: &str) -> Vec<&'j Value> {
    match step[list].as_array() {
        Some(steps) => steps.iter().flat_map(|step| flat(step, list)).collect(),
        None if step.is_null() => Vec::new(),
        None => vec![step],
    }
}

/// JSON for a message.
fn shortened(json: &Value) -> String {
    let text = json.to_string();
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("`{}…`", &text[..end]),
        None => format!("`{text}`"),
    }
}
