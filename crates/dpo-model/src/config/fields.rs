//! Keys of a JSON object, read with their bounds and blamed by name.

use crate::error::ModelError;
use serde_json::{Map, Value};
use std::ops::RangeInclusive;
use std::path::Path;

/// A JSON object together with what an error has to say about it.
pub(super) struct Fields<'a> {
    pub(super) path: &'a Path,
    /// Put before a key in messages: empty, or the name of the outer key and a dot.
    pub(super) prefix: &'static str,
    pub(super) map: &'a Map<String, Value>,
}

impl<'a> Fields<'a> {
    /// The value of `key`; `null` counts as absent, as it does in Python's `dict.get(key)`.
    pub(super) fn value(&self, key: &str) -> Option<&'a Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    pub(super) fn wrong(&self, key: &str, expected: impl Into<String>) -> ModelError {
        let found = self.map.get(key).map_or("absent".to_owned(), shorten);
        let (path, key) = (self.path.to_path_buf(), format!("{}{key}", self.prefix));
        ModelError::Config { path, key, found, expected: expected.into() }
    }

    pub(super) fn count(&self, key: &str, range: RangeInclusive<usize>) -> Result<Option<usize>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        // Python writes `8192.0` where a number was computed.
        let whole = value.as_u64().or_else(|| value.as_f64().filter(|x| whole(*x)).map(|x| x as u64));
        let count = whole.and_then(|n| usize::try_from(n).ok()).filter(|n| range.contains(n));
        let (low, high) = (range.start(), range.end());
        count.map(Some).ok_or_else(|| self.wrong(key, format!("a whole number from {low} to {high}")))
    }

    pub(super) fn required_count(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
    ) -> Result<usize, ModelError> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.count(key, range)?.ok_or_else(|| self.wrong(key, expected))
    }

    /// A finite number above 0 that stays one in `f32`.
    pub(super) fn positive(&self, key: &str) -> Result<Option<f64>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let number = value.as_f64().filter(|x| (*x as f32).is_finite() && *x as f32 > 0.0);
        number.map(Some).ok_or_else(|| self.wrong(key, "a finite number above 0"))
    }

    pub(super) fn required_positive(&self, key: &str) -> Result<f64, ModelError> {
        self.positive(key)?.ok_or_else(|| self.wrong(key, "a finite number above 0"))
    }

    /// A list of numbers above 0.
    pub(super) fn positives(&self, key: &str) -> Result<Option<Vec<f64>>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        let above_0 = |value: &Value| value.as_f64().filter(|x| (*x as f32).is_finite() && *x as f32 > 0.0);
        let numbers =
            value.as_array().and_then(|list| list.iter().map(above_0).collect::<Option<Vec<f64>>>());
        numbers.map(Some).ok_or_else(|| self.wrong(key, "a list of numbers above 0"))
    }

    /// As [`positive`](Self::positive); a key that is absent has the default, one that is `null` has none.
    pub(super) fn optional(&self, key: &str, default: Option<f64>) -> Result<Option<f64>, ModelError> {
        if self.map.contains_key(key) { self.positive(key) } else { Ok(default) }
    }

    /// As [`count`](Self::count); a key that is absent has the default, one that is `null` has none.
    pub(super) fn optional_count(
        &self,
        key: &str,
        range: RangeInclusive<usize>,
        default: Option<usize>,
    ) -> Result<Option<usize>, ModelError> {
        if self.map.contains_key(key) { self.count(key, range) } else { Ok(default) }
    }

    pub(super) fn flag(&self, key: &str, default: bool) -> Result<bool, ModelError> {
        let Some(value) = self.value(key) else { return Ok(default) };
        value.as_bool().ok_or_else(|| self.wrong(key, "true or false"))
    }

    pub(super) fn text(&self, key: &str) -> Result<Option<&'a str>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_str().map(Some).ok_or_else(|| self.wrong(key, "a string"))
    }

    pub(super) fn object(&self, key: &str) -> Result<Option<&'a Map<String, Value>>, ModelError> {
        let Some(value) = self.value(key) else { return Ok(None) };
        value.as_object().map(Some).ok_or_else(|| self.wrong(key, "an object"))
    }
}

fn whole(x: f64) -> bool {
    x.fract() == 0.0 && (0.0..9.0e15).contains(&x)
}

/// A value as an error shows it: the JSON text, cut.
fn shorten(value: &Value) -> String {
    let text = match value {
        Value::Array(items) => return format!("a list of {}", items.len()),
        Value::Object(map) => return format!("an object with {} keys", map.len()),
        other => other.to_string(),
    };
    let cut: String = text.chars().take(60).collect();
    if cut.len() < text.len() { format!("{cut}…") } else { cut }
}
