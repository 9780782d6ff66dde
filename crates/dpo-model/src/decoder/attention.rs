//! Self-attention with grouped queries.

use std::sync::Arc;

use burn::{
    module::Module,
    tensor::{Tensor, activation::softmax},
};
use dpo_kernels::{AttentionSpec, TreeLayout, attention_layer, tree_attention};

use super::{
    cache::LayerCache,
    inputs::{Inputs, Projected},
    parts::{Init, Norm, Projection, Values},
    pass::Pass,
};
use crate::{
    DecoderConfig,
    config::{AttentionConfig, LayerConfig, ParameterInfo, QueryKeyNorm},
};

/// Queries, keys and values of a block, and the way back to the residual stream.
#[derive(Module, Debug)]
pub(super) struct Attention {
    inputs: Inputs,
    output: Projection,
    query_norm: Option<Norm>,
    key_norm: Option<Norm>,
    #[module(skip)]
    config: AttentionConfig,
    #[module(skip)]
    layer: LayerConfig,
}

impl Attention {
    pub(super) fn new<E>(
        config: &DecoderConfig,
        path: &str,
        layer: LayerConfig,
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Values, E>>,
    ) -> Result<Self, E> {
        let attention = config.attention;
        let widths = match attention.query_key_norm {
            QueryKeyNorm::Absent => None,
            QueryKeyNorm::EachHead => Some([attention.head_dim; 2]),
            QueryKeyNorm::AllHeads => Some([attention.query_width(), attention.key_width()]),
        };
        let inputs = Inputs::new(config, &format!("{path}.inputs"), init)?;
        let shape = [config.d_model, attention.query_width()];
        let output = Projection::new(&format!("{path}.output"), shape, attention.output_bias, init)?;
        let mut norm = |part: &str, width: Option<usize>| {
            width.map(|width| Norm::new(&format!("{path}.{part}"), width, config.norm, init)).transpose()
        };
        Ok(Self {
            inputs,
            output,
            query_norm: norm("query_norm", widths.map(|widths| widths[0]))?,
            key_norm: norm("key_norm", widths.map(|widths| widths[1]))?,
            config: attention,
            layer,
        })
    }

    /// `[n, d_model]` to the same.
    pub(super) fn forward(&self, x: Tensor<2>, layout: &Arc<TreeLayout>, pass: &Pass) -> Tensor<2> {
        match self.plain() {
            Some((weights, rope_idx)) => {
                attention_layer(x, weights, pass.rotations[rope_idx].tables(), self.spec(layout, pass))
            }
            None => self.attend(self.project(x, pass), layout, pass),
        }
    }

    /// The matrices for queries, keys, values and the output, and which rotation turns the first two, where these are all
    /// there is.
    fn plain(&self) -> Option<([Tensor<2>; 4], usize)> {
        let has_norms = self.query_norm.is_some() || self.key_norm.is_some();
        let rope_idx = self.layer.rope.filter(|_| !has_norms)?;
        let [query, key, value] = self.inputs.plain()?;
        Some(([query, key, value, self.output.plain()?], rope_idx))
    }

    /// Queries, keys and values, normed and turned.
    pub(super) fn project(&self, x: Tensor<2>, pass: &Pass) -> Projected {
        let Projected { query, key, value } = self.inputs.forward(x, &self.config, pass);
        let prepared = |x: Tensor<2>, norm: &Option<Norm>| {
            let x = match norm {
                Some(norm) => norm.forward_runs(x),
                None => x,
            };
            match self.layer.rope {
                Some(rope_idx) => pass.rotations[rope_idx].rotate(x, self.config.head_dim),
                None => x,
            }
        };
        Projected { query: prepared(query, &self.query_norm), key: prepared(key, &self.key_norm), value }
    }

    pub(super) fn attend(&self, projected: Projected, layout: &Arc<TreeLayout>, pass: &Pass) -> Tensor<2> {
        let Projected { query, key, value } = projected;
        self.output.forward(tree_attention(query, key, value, self.spec(layout, pass)), pass)
    }

    /// One query a row, `[batch, n_heads · head_dim]`, over the first `n_slots` slots of its past, or as many of the
    /// last of these as the window has.
    ///
    /// `bias`, `[batch, 1, 1, n_slots]`, is added to the scores.
    pub(super) fn attend_past(
        &self,
        query: Tensor<2>,
        past: &LayerCache,
        n_slots: usize,
        bias: Option<&Tensor<4>>,
        pass: &Pass,
    ) -> Tensor<2> {
        let AttentionConfig { n_heads, n_kv_heads, head_dim, scale, softcap, .. } = self.config;
        let [batch, width] = query.dims();
        let seen = n_slots - self.layer.window.unwrap_or(n_slots).min(n_slots)..n_slots;
        // Heads of a group lie side by side, so that they are the rows of one product with their keys.
        let query = (query * scale).reshape([batch, n_kv_heads, n_heads / n_kv_heads, head_dim]);
        let keys = past.keys.clone().slice_dim(1, seen.clone()).permute([0, 2, 3, 1]);
        let values = past.values.clone().slice_dim(1, seen.clone()).permute([0, 2, 1, 3]);
        let scores = query.matmul(keys);
        let scores = match softcap {
            Some(cap) => (scores / cap).tanh() * cap,
            None => scores,
        };
        let scores = match bias {
            Some(bias) => scores + bias.clone().slice_dim(3, seen),
            None => scores,
        };
        let attended = softmax(scores, 3).matmul(values);
        self.output.forward(attended.reshape([batch, width]), pass)
    }

    /// Its matrices with their paths below `path`.
    pub(super) fn projections(&mut self, path: &str) -> Vec<(String, &mut Projection)> {
        let mut all = self.inputs.projections(&format!("{path}.inputs"));
        all.push((format!("{path}.output"), &mut self.output));
        all
    }

    fn spec(&self, layout: &Arc<TreeLayout>, pass: &Pass) -> AttentionSpec {
        let AttentionConfig { n_heads, n_kv_heads, head_dim, scale, softcap, .. } = self.config;
        AttentionSpec {
            n_heads,
            n_kv_heads,
            head_dim,
            scale,
            softcap,
            window: self.layer.window,
            precision: pass.precision,
            layout: Arc::clone(layout),
        }
    }
}
