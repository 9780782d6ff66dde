//! The forward pass of generation: all prompts once, then one token a sequence and step.

use std::ops::Range;

use burn::tensor::Tensor;
use dpo_kernels::{TreeLayout, TreeRange};

use super::{
    Decoder, PackedInput,
    block::Block,
    cache::{Fill, KvCache, LayerCache},
    input::{index_tensor, int_tensor},
    pass::Pass,
};

/// Prompts are read in groups of about this many tokens, which bounds what a long list of them needs.
const PREFILL_TOKENS: usize = 4096;

impl Decoder {
    /// Reads prompts, none of them empty, and gives the scores of the token after each, `[batch, vocab_size]`.
    ///
    /// The cache has room for `max_new` tokens more. Equal neighbours are read once, and neighbours of one length are
    /// written to the cache at once.
    pub(crate) fn prefill(&self, prompts: &[&[u32]], max_new: usize) -> (Tensor<2>, KvCache) {
        let mut unique = prompts.to_vec();
        unique.dedup();
        let lengths: Vec<usize> = unique.iter().map(|prompt| prompt.len()).collect();
        let mut cache = KvCache::new(&self.config, &self.device(), &lengths, max_new);
        let last = groups(&lengths).into_iter().map(|rows| self.prefill_rows(&unique, rows, &mut cache));
        let mut last = Tensor::cat(last.collect(), 0);
        if unique.len() < prompts.len() {
            let row_of: Vec<usize> = rows_of_equals(prompts);
            cache.keep(&row_of);
            last = last.select(0, index_tensor(&row_of, &self.device()));
        }
        (self.head_logits(self.norm.forward(last)), cache)
    }

    /// Residual stream after the last token of each of these prompts: `[rows, d_model]`.
    fn prefill_rows(&self, prompts: &[&[u32]], rows: Range<usize>, cache: &mut KvCache) -> Tensor<2> {
        let end = prompts.iter().map(|prompt| prompt.len()).max().unwrap_or(0);
        let fills = fills(prompts, rows.clone());
        let input = packed(&prompts[rows], self);
        let pass = Pass::new(self, &input.text_positions(), input.device());
        let mut x = self.embedded(input.ids(), input.positions(), None);
        let layers = std::mem::take(&mut cache.layers);
        let layers = layers.into_iter().zip(&self.layers).map(|(past, layer)| {
            let (y, past) =
                layer.prefill(x.clone(), &pass, &input, |key, value| past.fill(key, value, &fills, end));
            x = y;
            past
        });
        cache.layers = layers.collect();
        let last: Vec<u32> = input.layout().trees().iter().map(|tree| tree.trunk.end as u32 - 1).collect();
        x.select(0, int_tensor(&last, input.device()))
    }

    /// Takes one token a row into the cache and gives the scores of the next, `[batch, vocab_size]`.
    pub(crate) fn decode_step(&self, ids: &[u32], cache: &mut KvCache) -> Tensor<2> {
        let device = self.device();
        let positions = cache.positions();
        let pass = Pass::new(self, &positions, &device);
        let slot = cache.next_slot();
        let bias = cache.bias();
        let positions: Vec<u32> = positions.iter().map(|token| token.position).collect();
        let mut x = self.embedded(int_tensor(ids, &device), &positions, None);
        let layers = std::mem::take(&mut cache.layers);
        let layers = layers.into_iter().zip(&self.layers).map(|(past, layer)| {
            let (y, past) = layer.step(x.clone(), &pass, past, slot, bias.as_ref());
            x = y;
            past
        });
        cache.layers = layers.collect();
        self.head_logits(self.norm.forward(x))
    }
}

impl Block {
    /// As `forward`; keys and values go to `store` on the way.
    fn prefill(
        &self,
        x: Tensor<2>,
        pass: &Pass,
        input: &PackedInput,
        store: impl FnOnce(&Tensor<2>, &Tensor<2>) -> LayerCache,
    ) -> (Tensor<2>, LayerCache) {
        let projected = self.attention.project(self.attention_input(x.clone()), pass);
        let past = store(&projected.key, &projected.value);
        let attended = self.attention.attend(projected, input.layout(), pass);
        (self.join(x, attended, pass), past)
    }

    /// One token a row, `[batch, d_model]`, which becomes slot `slot` of the past.
    fn step(
        &self,
        x: Tensor<2>,
        pass: &Pass,
        past: LayerCache,
        slot: usize,
        bias: Option<&Tensor<4>>,
    ) -> (Tensor<2>, LayerCache) {
        let projected = self.attention.project(self.attention_input(x.clone()), pass);
        let past = past.append(projected.key, projected.value, slot);
        let attended = self.attention.attend_past(projected.query, &past, slot + 1, bias, pass);
        (self.join(x, attended, pass), past)
    }
}

/// Prompts end to end, each a tree without branches.
fn packed(prompts: &[&[u32]], model: &Decoder) -> PackedInput {
    let mut end = 0;
    let tree = |prompt: &&[u32]| {
        let start = end;
        end += prompt.len();
        TreeRange { trunk: start..end, branches: Vec::new() }
    };
    let layout = TreeLayout::new(prompts.iter().map(tree).collect());
    let positions = prompts.iter().flat_map(|prompt| 0..prompt.len() as u32).collect();
    PackedInput::new(&prompts.concat(), positions, layout, &model.device())
}

/// Consecutive prompts of at most [`PREFILL_TOKENS`] tokens together, at least one each.
fn groups(lengths: &[usize]) -> Vec<Range<usize>> {
    let mut groups: Vec<Range<usize>> = Vec::new();
    let mut n_tokens = 0;
    for (row, len) in lengths.iter().enumerate() {
        n_tokens += len;
        match groups.last_mut() {
            Some(last) if n_tokens <= PREFILL_TOKENS => last.end = row + 1,
            _ => {
                groups.push(row..row + 1);
                n_tokens = *len;
            }
        }
    }
    groups
}

/// The row of each prompt when equal neighbours share one.
fn rows_of_equals(prompts: &[&[u32]]) -> Vec<usize> {
    let runs = prompts.chunk_by(|a, b| a == b).enumerate();
    runs.flat_map(|(row, run)| std::iter::repeat_n(row, run.len())).collect()
}

/// Where the keys of these prompts go: one entry for neighbours of the same length.
fn fills(prompts: &[&[u32]], rows: Range<usize>) -> Vec<Fill> {
    let (mut row, mut token) = (rows.start, 0);
    let runs = prompts[rows].chunk_by(|a, b| a.len() == b.len());
    let fill = |run: &[&[u32]]| {
        let len = run[0].len();
        let fill = Fill { tokens: token..token + len * run.len(), rows: row..row + run.len(), len };
        (row, token) = (fill.rows.end, fill.tokens.end);
        fill
    };
    runs.map(fill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_length_are_written_at_once() {
        let (a, b) = ([1, 2], [3, 4, 5]);
        let prompts: [&[u32]; 4] = [&a, &a, &b, &a];
        let fill = |tokens, rows, len| Fill { tokens, rows, len };
        assert_eq!(fills(&prompts, 0..4), [fill(0..4, 0..2, 2), fill(4..7, 2..3, 3), fill(7..9, 3..4, 2)]);
        assert_eq!(fills(&prompts, 1..3), [fill(0..2, 1..2, 2), fill(2..5, 2..3, 3)]);
    }

    #[test]
    fn equal_neighbours_share_a_row() {
        let prompts: [&[u32]; 5] = [&[1], &[1], &[2, 3], &[1], &[1]];
        assert_eq!(rows_of_equals(&prompts), [0, 0, 1, 2, 2]);
    }

    #[test]
    fn prompts_are_read_in_bounded_groups() {
        let n = PREFILL_TOKENS;
        assert_eq!(groups(&[n / 2, n / 2, 1, n + 1, 2, 3]), [0..2, 2..3, 3..4, 4..6]);
    }
}
