//! Self-attention with grouped queries.

use std::sync::Arc;

use burn::{
    module::Module,
    tensor::{Tensor, activation::softmax},
};
use dpo_kernels::{AttentionSpec, TreeLayout, tree_attention};

use super::{
    cache::LayerCache,
    parts::{Init, Projection},
    rotary::RotaryAngles,
};
use crate::DecoderConfig;

/// Queries, keys and values of a block, and the way back to the residual stream.
#[derive(Module, Debug)]
pub(super) struct Attention {
    q_proj: Projection,
    k_proj: Projection,
    v_proj: Projection,
    o_proj: Projection,
    n_heads: usize,
    n_kv_heads: usize,
    head_dim: usize,
}

/// Queries, keys and values, rotated: `[n, heads · head_dim]` each.
pub(super) struct Projected {
    pub(super) query: Tensor<2>,
    pub(super) key: Tensor<2>,
    pub(super) value: Tensor<2>,
}

impl Attention {
    pub(super) fn new<E>(
        config: &DecoderConfig,
        name: &str,
        init: &mut Init<impl FnMut(&str, &[usize]) -> Result<Vec<f32>, E>>,
    ) -> Result<Self, E> {
        let &DecoderConfig { d_model, n_heads, n_kv_heads, head_dim, .. } = config;
        let mut projection = |part: &str, shape| {
            Projection::new(&format!("{name}.{part}"), shape, config.attention_bias, init)
        };
        Ok(Self {
            q_proj: projection("q_proj", [n_heads * head_dim, d_model])?,
            k_proj: projection("k_proj", [n_kv_heads * head_dim, d_model])?,
            v_proj: projection("v_proj", [n_kv_heads * head_dim, d_model])?,
            o_proj: projection("o_proj", [d_model, n_heads * head_dim])?,
            n_heads,
            n_kv_heads,
            head_dim,
        })
    }

    pub(super) fn project(&self, x: Tensor<2>, angles: &RotaryAngles) -> Projected {
        Projected {
            query: angles.rotate(self.q_proj.forward(x.clone())),
            key: angles.rotate(self.k_proj.forward(x.clone())),
            value: self.v_proj.forward(x),
        }
    }

    pub(super) fn attend(&self, projected: Projected, layout: &Arc<TreeLayout>) -> Tensor<2> {
        let Projected { query, key, value } = projected;
        self.o_proj.forward(tree_attention(query, key, value, self.spec(layout)))
    }

    /// One query a row, `[batch, n_heads · head_dim]`, over the first `n_slots` slots of its past.
    ///
    /// `bias`, `[batch, 1, 1, n_slots]`, is added to the scores.
    pub(super) fn attend_past(
        &self,
        query: Tensor<2>,
        past: &LayerCache,
        n_slots: usize,
        bias: Option<&Tensor<4>>,
    ) -> Tensor<2> {
        let &Self { n_heads, n_kv_heads, head_dim, .. } = self;
        let [batch, width] = query.dims();
        // Heads of a group lie side by side, so that they are the rows of one product with their keys.
        let query = (query * self.scale()).reshape([batch, n_kv_heads, n_heads / n_kv_heads, head_dim]);
        let keys = past.keys.clone().slice_dim(1, 0..n_slots).permute([0, 2, 3, 1]);
        let values = past.values.clone().slice_dim(1, 0..n_slots).permute([0, 2, 1, 3]);
        let scores = query.matmul(keys);
        let scores = match bias {
            Some(bias) => scores + bias.clone(),
            None => scores,
        };
        let attended = softmax(scores, 3).matmul(values);
        self.o_proj.forward(attended.reshape([batch, width]))
    }

    fn scale(&self) -> f64 {
        (self.head_dim as f64).powf(-0.5)
    }

    pub(super) fn spec(&self, layout: &Arc<TreeLayout>) -> AttentionSpec {
        AttentionSpec {
            n_heads: self.n_heads,
            n_kv_heads: self.n_kv_heads,
            head_dim: self.head_dim,
            scale: self.scale(),
            layout: Arc::clone(layout),
            window: None,
            softcap: None,
        }
    }
}
