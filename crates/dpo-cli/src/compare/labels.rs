//! Short names that tell models apart.

use std::path::{Component, Path};

use crate::terminal::WrongUsage;

/// For each model the last parts of its path, as few as are no other model's; two models or more.
pub(super) fn of(models: &[String]) -> Result<Vec<String>, WrongUsage> {
    if models.len() < 2 {
        return Err(WrongUsage("one model compares with nothing; give --model twice or more".to_owned()));
    }
    if let Some(twice) = models.iter().enumerate().find(|(idx, model)| models[..*idx].contains(model)) {
        let problem = format!("--model {} is there twice, and would answer the same; remove one", twice.1);
        return Err(WrongUsage(problem));
    }
    let short = |(idx, model): (usize, &String)| {
        let n_parts = parts(model).len();
        let is_unique = |label: &Option<String>| {
            let others = models.iter().enumerate().filter(|(other, _)| *other != idx);
            label.as_ref().is_some_and(|label| {
                let n = parts(label).len();
                others.map(|(_, other)| ending(other, n)).all(|other| other.as_ref() != Some(label))
            })
        };
        let label = (1..=n_parts).map(|n| ending(model, n)).find(is_unique).flatten();
        label.unwrap_or_else(|| model.clone())
    };
    Ok(models.iter().enumerate().map(short).collect())
}

/// The last `n` parts of a path; `None` where it has fewer.
fn ending(model: &str, n: usize) -> Option<String> {
    let parts = parts(model);
    parts.len().checked_sub(n).map(|start| parts[start..].join("/"))
}

/// The names in a path.
fn parts(model: &str) -> Vec<String> {
    let name = |part: Component| match part {
        Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
        _ => None,
    };
    Path::new(model).components().filter_map(name).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn labels(models: &[&str]) -> Vec<String> {
        of(&models.iter().map(|model| (*model).to_owned()).collect::<Vec<_>>()).unwrap()
    }

    #[test]
    fn labels_are_as_short_as_they_can_be() {
        assert_eq!(labels(&["/models/base", "runs/a/model"]), ["base", "model"]);
        assert_eq!(labels(&["runs/a/model", "runs/b/model/"]), ["a/model", "b/model"]);
        assert_eq!(
            labels(&["org/base.gguf", "x/a/model", "y/a/model"]),
            ["base.gguf", "x/a/model", "y/a/model"]
        );
    }

    /// A path may be the end of another one, and two paths may be one folder.
    #[test]
    fn labels_are_always_different() {
        assert_eq!(labels(&["model", "runs/model"]), ["model", "runs/model"]);
        assert_eq!(labels(&["model", "./model"]), ["model", "./model"]);
        assert_eq!(labels(&[".", ".."]), [".", ".."]);
    }

    #[test]
    fn nothing_to_compare_is_refused() {
        let said =
            |models: &[&str]| of(&models.iter().map(|m| (*m).to_owned()).collect::<Vec<_>>()).unwrap_err().0;
        assert!(said(&["a"]).contains("give --model twice or more"));
        assert!(said(&["a", "b", "a"]).contains("--model a is there twice"));
    }
}
