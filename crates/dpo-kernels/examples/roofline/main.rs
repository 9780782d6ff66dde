//! How near each operation comes to what the machine can do, at the sizes of SmolLM2-135M.
//!
//! ```console
//! cargo xtask bench kernels [--only PART] [--tokens N] [--runs N] [--threads N] [--out F.json]
//! ```
//!
//! An operation can take no less time than its arithmetic does at the processor's best rate, nor less than its inputs and
//! outputs take through memory, each once: the larger of the two is its limit (the roofline,
//! <https://doi.org/10.1145/1498765.1498785>). Both rates are measured in this process.
mod args;
mod kernels;
mod limits;
mod table;
mod timing;

use std::{error::Error, process::ExitCode};

use args::{Args, HELP};
use kernels::Sizes;
use limits::Limits;
use timing::Bench;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Args::parse(std::env::args().skip(1)) {
        Ok(None) => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        Ok(Some(args)) => match run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::FAILURE
            }
        },
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> Result<(), Box<dyn Error>> {
    rayon::ThreadPoolBuilder::new().num_threads(args.threads).build_global()?;
    let before = Limits::measured();
    let mut bench = Bench::new(args.only.clone(), args.runs);
    kernels::measure(&mut bench, &Sizes::new(args.tokens));
    let measured = bench.measured;
    if measured.is_empty() {
        return Err(format!("no kernel has `{}` in its name", args.only).into());
    }
    eprintln!();
    let limits = before.or_better(Limits::measured(), &measured);
    print!("{}", table::text(&limits, &measured));
    if let Some(path) = &args.out {
        let json = serde_json::to_vec_pretty(&table::json(args, &limits, &measured))?;
        std::fs::write(path, json).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}
