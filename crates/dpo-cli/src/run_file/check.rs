//! Checks of single values; each problem is kept, so that all can be said together.

use super::problem::Problem;

/// The problems met so far.
#[derive(Default)]
pub(super) struct Check {
    pub(super) problems: Vec<Problem>,
}

impl Check {
    /// Notes that `key` is as `text` says.
    pub(super) fn problem(&mut self, key: &str, text: String) {
        self.problems.push(Problem::of(key, text));
    }

    /// Notes that `key` has to be given; the empty text stands in for it.
    pub(super) fn missing(&mut self, key: &str, expected: &str) -> String {
        self.problem(key, format!("is missing; give {expected}"));
        String::new()
    }

    /// A text that is not blank.
    pub(super) fn text(&mut self, key: &str, value: Option<&String>) -> Option<String> {
        if value.is_some_and(|text| text.trim().is_empty()) {
            self.problem(key, "is empty; give it a value or remove it".to_owned());
        }
        value.cloned()
    }

    /// A finite number for which `holds`.
    pub(super) fn number(
        &mut self,
        key: &str,
        value: Option<f64>,
        default: f64,
        expected: &str,
        holds: impl Fn(f64) -> bool,
    ) -> f64 {
        let value = value.unwrap_or(default);
        if !(value.is_finite() && holds(value)) {
            self.problem(key, format!("is {value}; expected {expected}"));
        }
        value
    }

    /// A number of things, at least `least`.
    pub(super) fn count(&mut self, key: &str, value: Option<u32>, default: u32, least: u32) -> usize {
        let value = value.unwrap_or(default);
        if value < least {
            self.problem(key, format!("is {value}; expected at least {least}"));
        }
        value as usize
    }

    /// Refuses a setting that the loss of this name would ignore.
    pub(super) fn unread(&mut self, key: &str, is_set: bool, loss: &str) {
        if is_set {
            let text = format!("is set, but the loss `{loss}` does not read it; remove it");
            self.problem(key, text);
        }
    }

    /// Refuses two settings that say the same thing differently.
    pub(super) fn exclusive(&mut self, (key, is_set): (&str, bool), (other, other_is_set): (&str, bool)) {
        if is_set && other_is_set {
            self.problem(key, format!("and `{other}` are both set; remove one of them"));
        }
    }
}
