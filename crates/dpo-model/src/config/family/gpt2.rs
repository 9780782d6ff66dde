//! GPT-2: learnt positions, layer norms, a plain feed-forward part, matrices that lie `[d_in, d_out]`.

use super::{
    Definition, Family,
    common::{
        Defaults, MAX_LAYERS, MAX_POSITIONS, MAX_WIDTH, Tokens, activation, refuse_quantised, weight_dtype,
    },
};
use crate::config::{
    AttentionConfig, AttentionInputs, DecoderConfig, FeedForwardConfig, FeedForwardKind, LayerConfig,
    Multipliers, NormConfig, NormKind, NormPlaces, QueryKeyNorm, Residual, StoredAs, TensorNames,
    fields::Fields,
};
use crate::error::ModelError;

pub(super) static FAMILY: Definition = Definition { model_type: "gpt2", parse, names: &NAMES };

static NAMES: TensorNames = TensorNames {
    embedding: "transformer.wte",
    position_table: "transformer.wpe",
    block: "transformer.h",
    parts: &[
        ("attention.inputs.stacked", "attn.c_attn"),
        ("attention.output", "attn.c_proj"),
        ("feed_forward.inner.up", "mlp.c_fc"),
        ("feed_forward.down", "mlp.c_proj"),
    ],
    norms: &[("attention_norm", "ln_1"), ("feed_forward_norm", "ln_2")],
    norm: "transformer.ln_f",
    head: "lm_head",
    prefix: "transformer.",
    matrices: StoredAs::InOut,
};

fn parse(fields: &Fields) -> Result<DecoderConfig, ModelError> {
    refuse_quantised(fields)?;
    refuse_other_mathematics(fields)?;
    let d_model = fields.required_count("n_embd", 1..=MAX_WIDTH)?;
    let n_heads = fields.required_count("n_head", 1..=MAX_WIDTH)?;
    if !d_model.is_multiple_of(n_heads) {
        return Err(fields.wrong("n_embd", format!("a multiple of `n_head`, {n_heads}")));
    }
    let head_dim = d_model / n_heads;
    let tokens =
        Tokens::parse(fields, Defaults { bos: Some(50_256), eos: Some(50_256), ..Defaults::default() })?;
    Ok(DecoderConfig {
        family: Family(&FAMILY),
        vocab_size: tokens.vocab_size,
        d_model,
        layers: vec![
            LayerConfig { window: None, rope: None };
            fields.required_count("n_layer", 1..=MAX_LAYERS)?
        ],
        attention: AttentionConfig {
            n_heads,
            n_kv_heads: n_heads,
            head_dim,
            scale: (head_dim as f64).powf(-0.5),
            softcap: None,
            inputs: AttentionInputs::Stacked,
            input_bias: true,
            output_bias: true,
            query_key_norm: QueryKeyNorm::Absent,
        },
        feed_forward: FeedForwardConfig {
            d_ff: fields.count("n_inner", 1..=MAX_WIDTH)?.unwrap_or(4 * d_model),
            kind: FeedForwardKind::Plain,
            activation: activation(fields, "activation_function", "gelu_new")?,
            bias: true,
        },
        norm: NormConfig {
            kind: NormKind::Layer,
            epsilon: fields.positive("layer_norm_epsilon")?.unwrap_or(1e-5),
            places: NormPlaces::Before,
        },
        residual: Residual::Sequential,
        ropes: Vec::new(),
        position_table: true,
        multipliers: Multipliers::default(),
        logit_softcap: None,
        tie_word_embeddings: fields.flag("tie_word_embeddings", true)?,
        max_position_embeddings: fields.count("n_positions", 1..=MAX_POSITIONS)?.unwrap_or(1024),
        bos_token_id: tokens.bos,
        eos_token_ids: tokens.eos,
        pad_token_id: tokens.pad,
        weight_dtype: weight_dtype(fields)?,
    })
}

fn refuse_other_mathematics(fields: &Fields) -> Result<(), ModelError> {
    for (key, usual) in [
        ("scale_attn_weights", true),
        ("scale_attn_by_inverse_layer_idx", false),
        ("add_cross_attention", false),
    ] {
        if fields.flag(key, usual)? != usual {
            return Err(fields.wrong(key, usual.to_string()));
        }
    }
    Ok(())
}
