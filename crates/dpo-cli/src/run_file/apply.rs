//! Laying one run file over another.

use super::{
    RunFile,
    sections::{
        DataSection, EvalSection, LoraSection, LossSection, ModelSection, ReferenceSection, RunSection,
        TrainSection,
    },
};

/// The section whose fields are those of `$over`, where it sets them, else those of `$below`.
macro_rules! lay {
    ($section:ident, $over:expr, $below:expr; $($field:ident),*) => {
        $section { $($field: $over.$field.clone().or_else(|| $below.$field.clone())),* }
    };
}

impl RunFile {
    /// Lays `over` on top: what it sets wins, what it leaves open stays.
    ///
    /// Of two keys that exclude each other, the one that `over` sets takes the other's place.
    #[must_use]
    pub(crate) fn apply(&self, over: &Self) -> Self {
        Self {
            model: lay!(ModelSection, over.model, self.model; base, reference, dtype),
            data: self.data.without_alternatives_to(&over.data).apply(&over.data),
            loss: self.loss.without_alternatives_to(&over.loss).apply(&over.loss),
            reference: lay!(ReferenceSection, over.reference, self.reference; update_every, mix),
            lora: lay!(LoraSection, over.lora, self.lora;
                rank, alpha, targets, dropout, rslora, dora, base_quant, adapter),
            train: self.train.without_alternatives_to(&over.train).apply(&over.train),
            eval: lay!(EvalSection, over.eval, self.eval; eval_every, samples, sample_tokens),
            run: lay!(RunSection, over.run, self.run;
                out, resume, backend, threads, log_every, save_every, keep_checkpoints, save_dtype),
        }
    }
}

impl DataSection {
    fn apply(&self, over: &Self) -> Self {
        lay!(DataSection, over, self;
            train, eval, max_length, overlong, columns, annotators, only_group, heldout, heldout_seed, preset, pairs, stream,
            stream_buffer, stream_check, strings,
            special_text)
    }

    /// Held-out rows come from files or are a share of the training rows.
    fn without_alternatives_to(&self, over: &Self) -> Self {
        let mut kept = self.clone();
        if over.eval.is_some() {
            (kept.heldout, kept.heldout_seed) = (None, None);
        }
        if over.heldout.is_some() {
            kept.eval = None;
        }
        kept
    }
}

impl LossSection {
    fn apply(&self, over: &Self) -> Self {
        lay!(LossSection, over, self;
            kind, beta, label_smoothing, ipo_reduction, bco_delta, discopop_tau, dpop_lambda, r_dpo_alpha,
            tdpo_alpha, simpo_gamma, simpo_alpha, orpo_lambda, cpo_alpha, beta_dpo_alpha,
            beta_dpo_momentum, odpo_alpha, rpo_eta, ties, rao_kupper_a, davidson_nu, kto_desirable, kto_undesirable,
            group_robust_eta, modpo_weight, f_divergence, f_alpha, ld_alpha, sft_weight, wpo, mix)
    }

    /// There is one loss or a mixture.
    fn without_alternatives_to(&self, over: &Self) -> Self {
        let mut kept = self.clone();
        if over.kind.is_some() {
            (kept.mix, kept.ties) = (None, None);
        }
        if over.ties.is_some() {
            (kept.mix, kept.kind) = (None, None);
        }
        if over.mix.is_some() {
            (kept.kind, kept.ties) = (None, None);
        }
        kept
    }
}

impl TrainSection {
    fn apply(&self, over: &Self) -> Self {
        lay!(TrainSection, over, self;
            learning_rate, schedule, warmup_steps, warmup_ratio, epochs, max_steps, batch_size, accumulate,
            tokens_per_batch, recompute, weight_decay, adam_beta1, adam_beta2, adam_epsilon, max_grad_norm, seed,
            order, pad_gradient)
    }

    /// Takes back every setting that `over` makes in another way.
    fn without_alternatives_to(&self, over: &Self) -> Self {
        let mut kept = self.clone();
        if over.epochs.is_some() || over.max_steps.is_some() {
            (kept.epochs, kept.max_steps) = (None, None);
        }
        if over.warmup_steps.is_some() || over.warmup_ratio.is_some() {
            (kept.warmup_steps, kept.warmup_ratio) = (None, None);
        }
        if over.accumulate.is_some() || over.tokens_per_batch.is_some() {
            (kept.accumulate, kept.tokens_per_batch) = (None, None);
        }
        kept
    }
}
