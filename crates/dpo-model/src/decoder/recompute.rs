//! Block recomputation: of a forward pass only what each block reads is kept, and a block is computed again when the
//! backward pass comes to it (<https://arxiv.org/abs/1604.06174>).
//!
//! Gradients are those of the whole graph to the last bit, wherever an operation gives the same bits again.

use burn::{
    module::Module,
    tensor::{Gradients, Tensor},
};

use super::{
    Decoder, PackedInput, ScoredRows, ScoredTokens, TokenOutputs,
    gradients::{GradientSums, is_trained},
    pass::Pass,
};

/// Log-probabilities, and what is needed to compute the blocks again that they came from.
#[derive(Debug)]
pub struct RecomputedLogps<'a> {
    model: &'a Decoder,
    input: &'a PackedInput,
    pass: Pass,
    /// Of each block but the last one, from the first on that has a gradient.
    read: Vec<BlockInput>,
    /// What the last block read. It is needed first, so that it was computed once and for all.
    last: Tensor<2>,
    said: ScoredTokens,
}

/// What a block read.
#[derive(Debug)]
struct BlockInput {
    layer_idx: usize,
    /// Without autodiff.
    x: Tensor<2>,
    /// Whether something before it is trained.
    has_gradient: bool,
}

impl BlockInput {
    fn leaf(self) -> Tensor<2> {
        leaf(self.x, self.has_gradient)
    }
}

impl Decoder {
    /// As [`scored_tokens`](Self::scored_tokens), to go backward from by [`RecomputedLogps::backward`]: in memory is what the blocks
    /// read, and what one of them computes.
    pub fn recomputed_logps<'a>(
        &'a self,
        input: &'a PackedInput,
        scored: &ScoredRows,
        outputs: TokenOutputs<'_>,
    ) -> RecomputedLogps<'a> {
        let pass = Pass::of(self, input);
        let plain = self.valid();
        let mut x = plain.embedded(input.ids(), input.positions(), input.constant());
        let mut has_gradient = is_trained(&self.embedding) || is_trained(&self.position_table);
        let mut read = Vec::new();
        for layer_idx in 0..self.last_layer() {
            let is_needed = has_gradient || is_trained(&self.layers[layer_idx]);
            if is_needed {
                read.push(BlockInput { layer_idx, x: x.clone(), has_gradient });
            }
            x = plain.layers[layer_idx].forward(x, &pass, input.layout());
            has_gradient = is_needed;
        }
        let last = leaf(x, has_gradient);
        let top = self.layers[self.last_layer()..].iter();
        let residual = top.fold(last.clone(), |x, layer| layer.forward(x, &pass, input.layout()));
        let said = self.hidden_tokens(self.scored_of(residual, scored), scored, outputs);
        RecomputedLogps { model: self, input, pass, read, last, said }
    }

    /// The blocks from here on are computed once; there are none where the decoder has none.
    fn last_layer(&self) -> usize {
        self.layers.len().saturating_sub(1)
    }
}

impl RecomputedLogps<'_> {
    /// Those of [`Decoder::scored_tokens`].
    pub fn said(&self) -> ScoredTokens {
        self.said.clone()
    }

    /// Goes backward from `loss`, which was made of what was [`said`](Self::said), and adds the parameters' gradients to `sums`.
    pub fn backward(self, loss: Tensor<1>, sums: &mut GradientSums) {
        let Self { model, input, pass, read, last, said } = self;
        drop(said);
        let mut gradients = loss.backward();
        drop(loss);
        // The head may be the embedding, which has another gradient at the other end: first the two are added up.
        let mut embedding = GradientSums::default();
        embedding.add_of(&model.embedding, &mut gradients);
        sums.add(model, &mut gradients);
        let mut gradient = last.grad_remove(&mut gradients);
        for block in read.into_iter().rev() {
            let Some(of_output) = gradient else { break };
            let layer = &model.layers[block.layer_idx];
            let x = block.leaf();
            let y = layer.forward(x.clone(), &pass, input.layout());
            let mut gradients = backward_from(y, of_output);
            sums.add_of(layer, &mut gradients);
            gradient = x.grad_remove(&mut gradients);
        }
        if let Some(of_output) = gradient {
            let x = model.embedded(input.ids(), input.positions(), input.constant());
            let mut gradients = backward_from(x, of_output);
            embedding.add_of(&model.embedding, &mut gradients);
            sums.add_of(&model.position_table, &mut gradients);
        }
        sums.merge(embedding);
    }
}

/// Where a graph begins.
fn leaf(x: Tensor<2>, has_gradient: bool) -> Tensor<2> {
    x.autodiff().set_require_grad(has_gradient)
}

/// Gradients of everything that made `y`, whose own is known: a graph begins with ones, and `1 · g = g`.
fn backward_from(y: Tensor<2>, of_output: Tensor<2>) -> Gradients {
    (y * of_output).backward()
}
