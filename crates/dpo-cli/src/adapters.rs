//! Adapters as a user names them on the command line: folders, each with a strength.

use std::path::Path;

use anyhow::{Context, Result};
use clap::Args;
use dpo_model::{Adapter, adapter::ADAPTER_CONFIG};

use crate::{hub::Hub, terminal::WrongUsage};

/// `--adapter FOLDER[:STRENGTH]…`
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AdapterArgs {
    /// Adapter to put on the model: a PEFT folder or a hub id; several are added up, each with its strength
    #[arg(long, value_name = "FOLDER[:STRENGTH]")]
    pub(crate) adapter: Vec<String>,
    /// Strength of the adapter, or factor of all strengths: 0 is the model without, 1 the adapter as it was trained
    #[arg(long, value_name = "X", value_parser = finite, allow_negative_numbers = true)]
    pub(crate) strength: Option<f64>,
}

fn finite(text: &str) -> Result<f64, String> {
    text.parse().ok().filter(|x: &f64| x.is_finite()).ok_or_else(|| "expected a number".to_owned())
}

impl AdapterArgs {
    /// Reads the adapters.
    pub(crate) fn read(&self, hub: &Hub) -> Result<Vec<(Adapter, f64)>> {
        if self.adapter.is_empty() && self.strength.is_some() {
            let problem = "--strength does nothing without an adapter; give --adapter FOLDER or remove it";
            return Err(WrongUsage(problem.to_owned()).into());
        }
        let factor = self.strength.unwrap_or(1.0);
        let read = |text: &String| {
            let (name, strength) = named(text);
            let folder = hub.model(name)?;
            let adapter =
                Adapter::read(&folder).with_context(|| format!("cannot read the adapter `{name}`"))?;
            Ok((adapter, strength * factor))
        };
        self.adapter.iter().map(read).collect()
    }
}

/// A name and its strength, 1 where there is none. A path may have a colon of its own.
fn named(text: &str) -> (&str, f64) {
    match text.rsplit_once(':') {
        Some((name, strength)) if !Path::new(text).exists() => {
            finite(strength).map_or((text, 1.0), |strength| (name, strength))
        }
        _ => (text, 1.0),
    }
}

/// Whether a folder holds an adapter and no model.
pub(crate) fn is_adapter(folder: &Path) -> bool {
    folder.join(ADAPTER_CONFIG).exists() && !folder.join("config.json").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strength_follows_the_last_colon() {
        assert_eq!(named("a/b:0.5"), ("a/b", 0.5));
        assert_eq!(named("a/b"), ("a/b", 1.0));
        assert_eq!(named("C:/b"), ("C:/b", 1.0));
        assert_eq!(named("C:/b:-1"), ("C:/b", -1.0));
    }
}
