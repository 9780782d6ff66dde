//! What a person sees while a run goes on.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use anyhow::{Context, Result};
use dpo_train::{Evaluation, Observer, StepMetrics, StepTimes, Warning};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

pub(crate) use crate::terminal::note;

/// Set by SIGINT and SIGTERM; a second one ends the program at once.
#[derive(Debug, Clone)]
pub(crate) struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Begins to listen.
    pub(crate) fn install() -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // In this order: the first signal finds the flag unset and only sets it.
            flag::register_conditional_shutdown(signal, 130, Arc::clone(&stop))
                .context("cannot listen for signals")?;
            flag::register(signal, Arc::clone(&stop)).context("cannot listen for signals")?;
        }
        Ok(Self(stop))
    }

    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A bar for work of known size, drawn on a terminal only.
pub(crate) struct Bar {
    bar: ProgressBar,
    what: String,
}

impl Bar {
    /// Appears with the first progress.
    pub(crate) fn hidden_until_used(what: &str, unit: &str) -> Self {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden());
        let style = format!("  {{bar:30}} {{pos}}/{{len}} {unit}, {{eta}} left  {{msg}}");
        bar.set_style(ProgressStyle::with_template(&style).unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, what: what.to_owned() }
    }

    pub(crate) fn set(&self, done: usize, of: usize) {
        if self.bar.is_hidden() {
            self.bar.set_draw_target(ProgressDrawTarget::stderr());
            self.bar.set_message(self.what.clone());
        }
        self.bar.set_length(of as u64);
        self.bar.set_position(done as u64);
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The observer of a run at a terminal: a bar on a terminal, a line now and then elsewhere.
pub(crate) struct TerminalObserver {
    /// What its lines begin with, where there are several runs.
    pub(crate) label: String,
    bar: ProgressBar,
    is_terminal: bool,
    stop: StopFlag,
    total_steps: u64,
    /// Steps made before this sitting, and when it began.
    done: u64,
    start: Instant,
    last_line: Instant,
    /// Per-row numbers of the first and of the latest evaluation of each set.
    pub(crate) evaluations: Vec<Evaluation>,
    /// Sum of the times of all steps.
    pub(crate) times: StepTimes,
}

impl TerminalObserver {
    /// Its bar is drawn among `bars`, those of other runs.
    pub(crate) fn new(total_steps: u64, done: u64, stop: StopFlag, bars: &MultiProgress) -> Self {
        let bar = bars.add(ProgressBar::with_draw_target(Some(total_steps), ProgressDrawTarget::hidden()));
        let style = ProgressStyle::with_template("  {bar:30} {pos}/{len} {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        bar.set_position(done);
        let is_terminal = !bar.is_hidden();
        let now = Instant::now();
        Self {
            label: String::new(),
            bar,
            is_terminal,
            stop,
            total_steps,
            done,
            start: now,
            last_line: now,
            evaluations: Vec::new(),
            times: StepTimes::default(),
        }
    }

    /// Takes the bar away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }

    fn say(&self, line: &str) {
        self.bar.suspend(|| note(&format!("{}{line}", self.label)));
    }
}

/// Loss, accuracy, margin and speed of a step.
fn step_line(step: &StepMetrics) -> String {
    let pairs = step.pairs.as_ref().map_or_else(String::new, |pairs| {
        format!("  accuracy {:3.0} %  margin {:+.3}", 100.0 * pairs.rewards_accuracies, pairs.rewards_margins)
    });
    format!("loss {:.4}{pairs}  {:.0} tokens/s", step.loss, step.tokens_per_second)
}

impl Observer for TerminalObserver {
    fn stepped(&mut self, step: &StepMetrics, times: &StepTimes) {
        self.times.passes.forward += times.passes.forward;
        self.times.passes.backward += times.passes.backward;
        self.times.optimizer += times.optimizer;
        self.bar.set_position(step.step);
        let per_step = self.start.elapsed().as_secs_f64() / step.step.saturating_sub(self.done).max(1) as f64;
        let left = per_step * (self.total_steps - step.step) as f64;
        let line = step_line(step);
        self.bar.set_message(format!("{}{line}  {} left", self.label, duration(left)));
        if !self.is_terminal && (self.last_line.elapsed().as_secs() >= 5 || step.step == self.total_steps) {
            self.last_line = Instant::now();
            self.say(&format!("step {}/{}  {line}  {} left", step.step, self.total_steps, duration(left)));
        }
    }

    fn evaluated(&mut self, evaluation: &Evaluation) {
        let metrics = &evaluation.metrics;
        let name = if metrics.set.is_empty() { String::new() } else { format!(" on {}", metrics.set) };
        let pairs = metrics.pairs.as_ref().map_or_else(String::new, |pairs| {
            if pairs.rewards_margins == 0.0 {
                return ", no preference yet".to_owned();
            }
            format!(
                ", accuracy {:.1} %, margin {:+.3}",
                100.0 * pairs.rewards_accuracies,
                pairs.rewards_margins
            )
        });
        self.say(&format!("step {}: held-out loss{name} {:.4}{pairs}", metrics.step, metrics.loss));
        self.evaluations.push(evaluation.clone());
    }

    fn saved(&mut self, step: u64, path: &Path) {
        self.say(&format!("step {step}: checkpoint {}", path.display()));
    }

    fn warned(&mut self, warning: &Warning) {
        self.say(&format!("warning, step {}: {}", warning.step, warning.message));
    }

    fn stop_requested(&self) -> bool {
        self.stop.is_set()
    }
}

/// Seconds as a person says them.
pub(crate) fn duration(seconds: f64) -> String {
    let seconds = seconds.round() as u64;
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, s) => format!("{s} s"),
        (0, m, s) => format!("{m} min {s:02} s"),
        (h, m, _) => format!("{h} h {m:02} min"),
    }
}
