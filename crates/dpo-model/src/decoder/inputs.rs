//! Queries, keys and values out of the residual stream, from three matrices or one.

use burn::{module::Module, tensor::Tensor};

use super::{
    parts::{Init, Projection, Values},
    pass::Pass,
};
use crate::{
    DecoderConfig,
    config::{AttentionConfig, AttentionInputs, ParameterInfo},
};

/// Queries, keys and values: `[n, heads · head_dim]` each.
pub(super) struct Projected {
    pub(super) query: Tensor<2>,
    pub(super) key: Tensor<2>,
    pub(super) value: Tensor<2>,
}

/// The matrices, as the checkpoint has them.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a block, beside matrices")]
pub(super) enum Inputs {
    Separate(Separate),
    Single(Single),
}

/// Three matrices.
#[derive(Module, Debug)]
pub(super) struct Separate {
    query: Projection,
    key: Projection,
    value: Projection,
}

/// One matrix; how its rows lie says [`AttentionConfig::inputs`].
#[derive(Module, Debug)]
pub(super) struct Single {
    stacked: Projection,
}

impl Inputs {
    pub(super) fn new<E>(
        config: &DecoderConfig,
        path: &str,
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Values, E>>,
    ) -> Result<Self, E> {
        let attention = &config.attention;
        let (query, key) = (attention.query_width(), attention.key_width());
        let mut projection = |part: &str, d_out| {
            Projection::new(&format!("{path}.{part}"), [d_out, config.d_model], attention.input_bias, init)
        };
        Ok(match attention.inputs {
            AttentionInputs::Separate => Self::Separate(Separate {
                query: projection("query", query)?,
                key: projection("key", key)?,
                value: projection("value", key)?,
            }),
            AttentionInputs::Stacked | AttentionInputs::Interleaved => {
                Self::Single(Single { stacked: projection("stacked", query + 2 * key)? })
            }
        })
    }

    pub(super) fn forward(&self, x: Tensor<2>, config: &AttentionConfig, pass: &Pass) -> Projected {
        match self {
            Self::Separate(Separate { query, key, value }) => Projected {
                query: query.forward(x.clone(), pass),
                key: key.forward(x.clone(), pass),
                value: value.forward(x, pass),
            },
            Self::Single(Single { stacked }) => {
                let all = stacked.forward(x, pass);
                if config.inputs == AttentionInputs::Interleaved {
                    by_head(all, config)
                } else {
                    by_part(all, config)
                }
            }
        }
    }
}

impl Inputs {
    /// The matrices for queries, keys and values, where these are all there is.
    pub(super) fn plain(&self) -> Option<[Tensor<2>; 3]> {
        match self {
            Self::Separate(Separate { query, key, value }) => {
                Some([query.plain()?, key.plain()?, value.plain()?])
            }
            Self::Single(_) => None,
        }
    }

    /// Its matrices with their paths below `path`.
    pub(super) fn projections(&mut self, path: &str) -> Vec<(String, &mut Projection)> {
        let all = match self {
            Self::Separate(Separate { query, key, value }) => {
                vec![("query", query), ("key", key), ("value", value)]
            }
            Self::Single(Single { stacked }) => vec![("stacked", stacked)],
        };
        all.into_iter().map(|(part, projection)| (format!("{path}.{part}"), projection)).collect()
    }
}

/// All queries, all keys, all values.
fn by_part(all: Tensor<2>, config: &AttentionConfig) -> Projected {
    let (query, key) = (config.query_width(), config.key_width());
    Projected {
        query: all.clone().narrow(1, 0, query),
        key: all.clone().narrow(1, query, key),
        value: all.narrow(1, query + key, key),
    }
}

/// Query, key and value of one head after another.
fn by_head(all: Tensor<2>, config: &AttentionConfig) -> Projected {
    let [n, _] = all.dims();
    let AttentionConfig { n_heads, head_dim, .. } = *config;
    let all = all.reshape([n, n_heads, 3 * head_dim]);
    let part =
        |part_idx| all.clone().narrow(2, part_idx * head_dim, head_dim).reshape([n, n_heads * head_dim]);
    Projected { query: part(0), key: part(1), value: part(2) }
}
