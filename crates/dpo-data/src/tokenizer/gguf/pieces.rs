//! SentencePiece merges by the scores of its pieces, `tokenizer.json` by a list of merges: one from the other.

use std::collections::{HashMap, HashSet};

use super::{GgufVocabulary, kind};

/// Bytes in a piece that others can be merged into.
const LONGEST_PIECE: usize = 1024;
/// What SentencePiece writes for a space.
pub(super) const SPACE: char = '▁';

impl GgufVocabulary {
    /// Whether a token can be the result of a merge. Bytes and control tokens are none, whatever their name, nor is a page
    /// of text.
    fn is_mergeable(&self, id: usize) -> bool {
        matches!(self.token_type(id), kind::NORMAL | kind::USER_DEFINED | kind::UNUSED)
            && self.tokens[id].len() <= LONGEST_PIECE
    }

    /// Tokens that merges make or are made of.
    pub(super) fn mergeable_tokens(&self) -> impl Iterator<Item = &str> {
        (0..self.tokens.len()).filter(|id| self.is_mergeable(*id)).map(|id| self.tokens[id].as_str())
    }

    /// SentencePiece joins the pair whose piece scores highest; BPE the pair that stands first. So the pairs are all
    /// ways to cut a piece into two others, by falling score; where scores are equal, as transformers orders them: the
    /// longer left side first, then the longer right side, then by ids.
    pub(super) fn merges_from_scores(&self) -> Vec<[&str; 2]> {
        let pieces: Vec<usize> = (0..self.tokens.len()).filter(|id| self.is_mergeable(*id)).collect();
        let ids: HashMap<&str, usize> = pieces.iter().map(|id| (self.tokens[*id].as_str(), *id)).collect();
        let mut merges = Vec::new();
        for id in pieces {
            let piece = self.tokens[id].as_str();
            let mut cuts: Vec<(usize, usize)> = piece
                .char_indices()
                .skip(1)
                .filter_map(|(cut, _)| Some((*ids.get(&piece[..cut])?, *ids.get(&piece[cut..])?)))
                .collect();
            cuts.sort_unstable();
            merges.extend(cuts.into_iter().map(|cut| (self.scores[id], cut)));
        }
        let n_chars: Vec<usize> = self.tokens.iter().map(|token| token.chars().count()).collect();
        merges.sort_by(|(score_a, a), (score_b, b)| {
            let lengths = |cut: &(usize, usize)| (n_chars[cut.0], n_chars[cut.1]);
            score_b.total_cmp(score_a).then_with(|| lengths(b).cmp(&lengths(a)))
        });
        merges
            .into_iter()
            .map(|(_, (left, right))| [self.tokens[left].as_str(), self.tokens[right].as_str()])
            .collect()
    }

    /// Gemma has tokens for runs of spaces. `tokenizer.json` makes them by merging `▁`, first of all; llama.cpp looks for
    /// them in the text, so that its files have spaces there and no score.
    pub(super) fn with_runs_of_spaces_as_pieces(&self) -> Self {
        let mut respelt = self.clone();
        let known: HashSet<&str> = self.tokens.iter().map(String::as_str).collect();
        for (id, token) in self.tokens.iter().enumerate() {
            let piece: String = token.chars().map(|_| SPACE).collect();
            let is_run = token.len() > 1 && token.bytes().all(|byte| byte == b' ');
            if is_run && self.token_type(id) == kind::USER_DEFINED && !known.contains(piece.as_str()) {
                respelt.tokens[id] = piece;
                respelt.scores[id] = f32::INFINITY;
            }
        }
        respelt
    }
}

/// Scores that put pieces in the order of the first merges that make them, −1 first. A piece that no merge makes comes
/// after all others.
pub(super) fn scores_from_merges<'m>(
    tokens: &[String],
    merges: impl Iterator<Item = (&'m str, &'m str)>,
) -> Vec<f32> {
    let mut order: HashMap<String, usize> = HashMap::new();
    for (left, right) in merges {
        let next = order.len() + 1;
        order.entry(format!("{left}{right}")).or_insert(next);
    }
    let last = order.len() + 1;
    tokens.iter().map(|token| -(order.get(token).copied().unwrap_or(last) as f32)).collect()
}
