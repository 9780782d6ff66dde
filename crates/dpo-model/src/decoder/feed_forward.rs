//! The feed-forward part of a block.

use burn::{module::Module, tensor::Tensor};
use dpo_kernels::{FeedForwardSpec, activate, gated, gated_feed_forward, gated_lora_linear};

use super::{
    parts::{Init, Projection, Values},
    pass::Pass,
};
use crate::{
    DecoderConfig,
    config::{FeedForwardConfig, FeedForwardKind, ParameterInfo},
};

/// `down(inner(x))`, see [`FeedForwardKind`].
#[derive(Module, Debug)]
pub(super) struct FeedForward {
    inner: Inner,
    down: Projection,
    #[module(skip)]
    config: FeedForwardConfig,
}

/// The matrices that lead into it, as the checkpoint has them.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one a block, beside matrices")]
enum Inner {
    Gated(Gated),
    GatedStacked(GatedStacked),
    Plain(Plain),
}

#[derive(Module, Debug)]
struct Gated {
    gate: Projection,
    up: Projection,
}

/// All rows of the gate, then those of up.
#[derive(Module, Debug)]
struct GatedStacked {
    stacked: Projection,
}

#[derive(Module, Debug)]
struct Plain {
    up: Projection,
}

impl FeedForward {
    pub(super) fn new<E>(
        config: &DecoderConfig,
        path: &str,
        init: &mut Init<impl FnMut(&ParameterInfo) -> Result<Values, E>>,
    ) -> Result<Self, E> {
        let FeedForwardConfig { d_ff, kind, bias, .. } = config.feed_forward;
        let d_model = config.d_model;
        let mut projection =
            |part: &str, shape| Projection::new(&format!("{path}.{part}"), shape, bias, init);
        let inner = match kind {
            FeedForwardKind::Gated => Inner::Gated(Gated {
                gate: projection("inner.gate", [d_ff, d_model])?,
                up: projection("inner.up", [d_ff, d_model])?,
            }),
            FeedForwardKind::GatedStacked => Inner::GatedStacked(GatedStacked {
                stacked: projection("inner.stacked", [2 * d_ff, d_model])?,
            }),
            FeedForwardKind::Plain => Inner::Plain(Plain { up: projection("inner.up", [d_ff, d_model])? }),
        };
        let down = projection("down", [d_model, d_ff])?;
        Ok(Self { inner, down, config: config.feed_forward })
    }

    /// `[n, d_model]` to the same.
    pub(super) fn forward(&self, x: Tensor<2>, pass: &Pass) -> Tensor<2> {
        let FeedForwardConfig { d_ff, activation, .. } = self.config;
        if let Some([gate, up, down]) = self.plain_gated() {
            return gated_feed_forward(
                x,
                gate,
                up,
                down,
                FeedForwardSpec { activation, precision: pass.precision },
            );
        }
        let inner = match &self.inner {
            Inner::Gated(Gated { gate, up }) => {
                let (gate, up) = (gate.forward(x.clone(), pass), up.forward(x, pass));
                if let Some((weight, adapter, spec)) = self.down.plain_adapted(pass) {
                    return gated_lora_linear([gate, up], weight, adapter, activation, spec);
                }
                gated(gate, up, activation)
            }
            Inner::GatedStacked(GatedStacked { stacked }) => {
                let both = stacked.forward(x, pass);
                gated(both.clone().narrow(1, 0, d_ff), both.narrow(1, d_ff, d_ff), activation)
            }
            Inner::Plain(Plain { up }) => activate(up.forward(x, pass), activation),
        };
        self.down.forward(inner, pass)
    }

    /// Gate, up and down, where these are all there is.
    fn plain_gated(&self) -> Option<[Tensor<2>; 3]> {
        match &self.inner {
            Inner::Gated(Gated { gate, up }) => Some([gate.plain()?, up.plain()?, self.down.plain()?]),
            Inner::GatedStacked(_) | Inner::Plain(_) => None,
        }
    }

    /// Its matrices with their paths below `path`.
    pub(super) fn projections(&mut self, path: &str) -> Vec<(String, &mut Projection)> {
        let inner = match &mut self.inner {
            Inner::Gated(Gated { gate, up }) => vec![("inner.gate", gate), ("inner.up", up)],
            Inner::GatedStacked(GatedStacked { stacked }) => vec![("inner.stacked", stacked)],
            Inner::Plain(Plain { up }) => vec![("inner.up", up)],
        };
        let all = inner.into_iter().chain([("down", &mut self.down)]);
        all.map(|(part, projection)| (format!("{path}.{part}"), projection)).collect()
    }
}
