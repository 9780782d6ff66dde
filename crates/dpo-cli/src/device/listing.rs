//! `dpo devices`: what can compute here.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::{ALL, Adapter, adapters, is_built_in, mib, name, resolved};
use crate::{run_file::choices::Backend, table::aligned, terminal::print};

/// Flags of `dpo devices`.
#[derive(Debug, Args)]
pub(crate) struct DevicesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What was found.
#[derive(Debug, Serialize)]
struct Devices {
    /// What `--backend auto` takes.
    auto: &'static str,
    adapters: Vec<Adapter>,
    /// Backends of this program that cannot be used here.
    unusable: Vec<Unusable>,
    /// Backends that this program was built without.
    not_built_in: Vec<&'static str>,
}

#[derive(Debug, Serialize)]
struct Unusable {
    backend: &'static str,
    reason: String,
}

/// Runs the command.
pub(crate) fn run(args: &DevicesArgs) -> Result<ExitCode> {
    let devices = Devices::found();
    let text = if args.json { serde_json::to_string_pretty(&devices)? + "\n" } else { devices.to_string() };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

impl Devices {
    fn found() -> Self {
        let (mut there, mut unusable) = (Vec::new(), Vec::new());
        for backend in ALL.into_iter().rev().filter(|backend| is_built_in(*backend)) {
            match adapters(backend) {
                Ok(adapters) => there.extend(adapters),
                Err(reason) => unusable.push(Unusable { backend: name(backend), reason }),
            }
        }
        let not_built_in = ALL.into_iter().rev().filter(|backend| !is_built_in(*backend)).map(name).collect();
        Self { auto: name(resolved(Backend::Auto)), adapters: there, unusable, not_built_in }
    }
}

impl std::fmt::Display for Devices {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = |bytes: Option<u64>| bytes.map_or_else(|| "—".to_owned(), mib);
        let titles = ["", "memory", "free", "largest buffer", "driver"];
        let mut grid = vec![titles.map(str::to_owned).to_vec()];
        for adapter in &self.adapters {
            let software = if adapter.is_software { " (software)" } else { "" };
            grid.push(vec![
                format!("{}: {}{software}", adapter.backend, adapter.name),
                size(adapter.memory),
                size(adapter.free_memory),
                size(adapter.largest_buffer),
                adapter.driver.clone(),
            ]);
        }
        write!(f, "{}", aligned(&grid))?;
        for Unusable { backend, reason } in &self.unusable {
            writeln!(f, "{backend} cannot be used: {reason}")?;
        }
        if !self.not_built_in.is_empty() {
            let names = self.not_built_in.join(", ");
            writeln!(f, "not in this program: {names} (`cargo xtask train --backend …` builds one in)")?;
        }
        writeln!(f, "`--backend auto` takes {}", self.auto)
    }
}
