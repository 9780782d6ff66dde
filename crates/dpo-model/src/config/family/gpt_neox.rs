//! GPT-NeoX and Pythia: parallel parts, partly turned heads, layer norms.

use super::{
    Definition,
    common::{Defaults, llama_like},
};
use crate::config::{
    AttentionInputs, DecoderConfig, FeedForwardKind, NormKind, Residual, StoredAs, TensorNames,
    fields::Fields, rope_settings::RopeKeys,
};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "gpt_neox", parse, names: &NAMES };

static NAMES: TensorNames = TensorNames {
    embedding: "gpt_neox.embed_in",
    position_table: "",
    block: "gpt_neox.layers",
    parts: &[
        ("attention.inputs.stacked", "attention.query_key_value"),
        ("attention.output", "attention.dense"),
        ("feed_forward.inner.up", "mlp.dense_h_to_4h"),
        ("feed_forward.down", "mlp.dense_4h_to_h"),
    ],
    norms: &[("attention_norm", "input_layernorm"), ("feed_forward_norm", "post_attention_layernorm")],
    norm: "gpt_neox.final_layer_norm",
    head: "embed_out",
    prefix: "gpt_neox.",
    matrices: StoredAs::OutIn,
};

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    let rope =
        RopeKeys { theta: "rotary_emb_base", share: Some(("rotary_pct", 0.25)), ..RopeKeys::default() };
    let defaults = Defaults { activation: ("hidden_act", "gelu"), bos: Some(0), rope, ..Defaults::default() };
    let mut config = llama_like(&FAMILY, fields, defaults)?;
    config.attention.inputs = AttentionInputs::Interleaved;
    let has_bias = fields.flag("attention_bias", true)?;
    (config.attention.input_bias, config.attention.output_bias) = (has_bias, has_bias);
    (config.feed_forward.kind, config.feed_forward.bias) = (FeedForwardKind::Plain, true);
    config.norm.kind = NormKind::Layer;
    config.norm.epsilon = fields.positive("layer_norm_eps")?.unwrap_or(1e-5);
    if fields.flag("use_parallel_residual", true)? {
        config.residual = Residual::Parallel;
    }
    Ok(config)
}
