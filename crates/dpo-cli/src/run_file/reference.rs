//! `[reference]`: a reference that follows the policy.

use std::num::NonZeroU64;

use dpo_core::{LossKind, Objective};
use dpo_train::ReferenceUpdates;

use super::{
    check::Check,
    config::{ModelConfig, Tuning},
    sections::ReferenceSection,
};

const EVERY: &str = "reference.update_every";
const MIX: &str = "reference.mix";

/// Checks the section against what it would change.
pub(super) fn updates(
    section: &ReferenceSection,
    (loss, model, tuning): (&Objective, &ModelConfig, &Tuning),
    check: &mut Check,
) -> Option<ReferenceUpdates> {
    let mix =
        check.number(MIX, section.mix, 0.6, "a number above 0 and at most 1", |mix| mix > 0.0 && mix <= 1.0);
    let Some(every) = section.update_every else {
        if section.mix.is_some() {
            check.problem(MIX, format!("is set, but the reference stays what it is; set `{EVERY}`"));
        }
        return None;
    };
    if let Some(reason) = unsound(loss, model, tuning) {
        check.problem(EVERY, format!("is set, but {reason}; remove it"));
    }
    let every = NonZeroU64::new(check.count(EVERY, Some(every), 1, 1) as u64)?;
    Some(ReferenceUpdates { every, mix })
}

/// Why a reference cannot follow.
fn unsound(loss: &Objective, model: &ModelConfig, tuning: &Tuning) -> Option<String> {
    let name = loss.name();
    if !loss.needs_reference() {
        return Some(format!("the loss `{name}` has no reference that could follow"));
    }
    let has = |kind| loss.parts().iter().any(|part| part.loss.kind() == kind);
    if has(LossKind::BetaDpo) {
        return Some(
            "`beta_dpo` compares a step's margins with those of the steps before, which were held against another reference"
                .to_owned(),
        );
    }
    if has(LossKind::GroupRobust) {
        return Some(
            "`group_robust` weighs groups by their losses of all steps before, which were held against another reference"
                .to_owned(),
        );
    }
    let is_adapter = !matches!(tuning, Tuning::Weights);
    (is_adapter && model.reference.is_some()).then(|| {
        "with an adapter only the adapter is mixed, and `model.reference` is another model below it"
            .to_owned()
    })
}

/// What a run file says to get these.
pub(super) fn section(updates: Option<ReferenceUpdates>) -> ReferenceSection {
    updates.map_or_else(ReferenceSection::default, |updates| ReferenceSection {
        update_every: Some(updates.every.get() as u32),
        mix: Some(updates.mix),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::run_file::parse::parse;

    fn init(text: &str) -> Result<crate::run_file::RunConfig, String> {
        let text = format!("[model]\nbase = \"m\"\n[data]\ntrain = \"d.jsonl\"\n{text}");
        parse("run.toml", &text).unwrap().file.init().map_err(|error| error.to_string())
    }

    #[test]
    fn a_moving_reference_comes_to_itself() {
        for (text, expected) in [
            ("update_every = 512\n", Some((512, 0.6))),
            ("update_every = 1\nmix = 1.0\n", Some((1, 1.0))),
            ("", None),
        ] {
            let config = init(&format!("[reference]\n{text}")).unwrap();
            assert_eq!(config.reference_updates.map(|u| (u.every.get(), u.mix)), expected);
            let again = parse("run.toml", &config.to_toml()).unwrap().file.init().unwrap();
            assert_eq!(again, config);
        }
    }

    #[test]
    fn what_cannot_follow_is_refused_with_a_reason() {
        let moving = "[reference]\nupdate_every = 8\n";
        for (text, expected) in [
            (
                "[reference]\nmix = 0.5\n".to_owned(),
                "`reference.mix` is set, but the reference stays what it is",
            ),
            (
                "[reference]\nupdate_every = 0\n".to_owned(),
                "`reference.update_every` is 0; expected at least 1",
            ),
            (
                format!("{moving}mix = 1.5\n"),
                "`reference.mix` is 1.5; expected a number above 0 and at most 1",
            ),
            (format!("{moving}mix = 0.0\n"), "`reference.mix` is 0; expected a number above 0 and at most 1"),
            (
                format!("{moving}[loss]\nkind = \"simpo\"\n"),
                "the loss `simpo` has no reference that could follow",
            ),
            (
                format!("{moving}[loss]\nkind = \"sft\"\n"),
                "the loss `sft` has no reference that could follow",
            ),
            (format!("{moving}[loss]\nkind = \"beta_dpo\"\n"), "`beta_dpo` compares a step's margins"),
            (
                format!("{moving}[loss]\nkind = \"group_robust\"\n"),
                "`group_robust` weighs groups by their losses",
            ),
        ] {
            let said = init(&text).unwrap_err();
            assert!(said.contains(expected), "{said}");
        }
        let text = "[reference]\nupdate_every = 8\n[lora]\nrank = 4\n[model]\nbase = \"m\"\nreference = \"r\"\n[data]\ntrain = \"d\"\n";
        let said = parse("run.toml", text).unwrap().file.init().unwrap_err().to_string();
        assert!(said.contains("with an adapter only the adapter is mixed"), "{said}");
    }
}
