//! `report.html`: one page, complete in itself, that shows what a run did.
//!
//! It loads nothing, runs no script, and escapes everything it was given.

pub(crate) mod axis;
mod chart;
mod curves;
mod headline;
pub(crate) mod histogram;
pub(crate) mod html;
mod input;
pub(crate) mod rows;
mod series;
mod tables;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use html::escape;
use input::Run;
pub(crate) use series::{quantile, sorted};

/// Writes `report.html` into `run_dir` from what lies there, and gives its path.
///
/// Read are `config.toml`, `metrics.jsonl`, `eval.jsonl`, `run.json`, `data_report.json`, `samples.jsonl` and
/// `margins.json`; of what is missing or broken the page says so. An earlier report is replaced in one move.
pub(crate) fn write_report(run_dir: &Path) -> anyhow::Result<PathBuf> {
    let path = run_dir.join("report.html");
    write_page(&path, &page(&Run::read(run_dir)))?;
    Ok(path)
}

/// Writes a page in one move.
pub(crate) fn write_page(path: &Path, page: &str) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || {
        let mut file = tempfile::NamedTempFile::new_in(folder)?;
        file.write_all(page.as_bytes())?;
        file.as_file().sync_all()?;
        readable_by_all(file.as_file())?;
        file.persist(path)?;
        std::io::Result::Ok(())
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// A temporary file is its owner's alone; a report is as readable as its neighbours.
fn readable_by_all(file: &std::fs::File) -> std::io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        file.set_permissions(std::fs::Permissions::from_mode(0o644))?;
    }
    #[cfg(not(unix))]
    let _ = file;
    Ok(())
}

impl Run {
    /// The names of the held-out sets, each once.
    fn sets(&self) -> Vec<String> {
        let mut sets: Vec<String> = self.evals.iter().map(|evaluation| evaluation.set.clone()).collect();
        sets.sort_unstable();
        sets.dedup();
        sets
    }
}

fn page(run: &Run) -> String {
    let body = [
        headline::html(run),
        tables::warnings(run),
        section("Course of training", &course(run), "metrics.jsonl has no steps."),
        section(
            "Margins",
            &histogram::html(&run.margins_before, &run.margins_after),
            "margins.json has no margins.",
        ),
        section("Samples", &tables::samples(run), "samples.jsonl has no samples."),
        section("Data", &rows::html(run), "data_report.json says nothing of rows."),
        section("Check", &rows::check_html(run), "data_report.json says nothing of a check."),
        section("Cost", &tables::cost(run), "run.json says nothing of cost."),
        section(
            "To do it again",
            &format!("{}{}", tables::reproducibility(run), config(run)),
            "run.json and config.toml are missing.",
        ),
        notes(run),
    ];
    html::page(&headline::title(run), "", &body.concat())
}

/// A part of the page, or a line that says why it is empty.
pub(crate) fn section(title: &str, content: &str, otherwise: &str) -> String {
    if content.is_empty() {
        return format!("<section><h2>{title}</h2><p class=\"quiet\">{otherwise}</p></section>\n");
    }
    format!("<section><h2>{title}</h2>\n{content}</section>\n")
}

fn course(run: &Run) -> String {
    let charts = curves::html(run);
    if charts.is_empty() {
        return charts;
    }
    let point = match run.stride {
        1 => "a logged step".to_owned(),
        n => format!("the mean of {n} logged steps"),
    };
    format!(
        "{charts}<p class=\"quiet\">Over optimizer steps. A point is {point}; where a line is noisy, \
         the strong one is its moving average.</p>"
    )
}

fn config(run: &Run) -> String {
    let fold = |text: &String| {
        format!("<details><summary>config.toml</summary><pre>{}</pre></details>", escape(text))
    };
    run.config_text.as_ref().map(fold).unwrap_or_default()
}

fn notes(run: &Run) -> String {
    if run.notes.is_empty() {
        return String::new();
    }
    format!("<footer>This report is not complete: {}.</footer>\n", escape(&run.notes.join("; ")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;
