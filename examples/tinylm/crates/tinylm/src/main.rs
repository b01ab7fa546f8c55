//! The command line: makes the sample model, generates text, checks itself.

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use clap::{Parser, Subcommand};
use tinylm_core::{init_model, selfcheck, Device, Engine, Error, InitOutcome, Result};

/// A miniature language model
#[derive(Parser)]
#[command(name = "tinylm", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Write the sample model to a directory
    InitModel {
        /// New or empty directory
        dir: PathBuf,
    },
    /// Continue a prompt
    Generate {
        /// Directory of the model
        #[arg(short, long)]
        model: PathBuf,
        /// Text to continue
        #[arg(short, long)]
        prompt: String,
        /// Number of tokens to generate
        #[arg(short = 'n', long = "tokens", default_value_t = 32)]
        count: usize,
        /// auto, cpu or cuda
        #[arg(long, default_value_t)]
        device: Device,
    },
    /// Check that the program and its libraries work, with or without a GPU
    Selfcheck,
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::InitModel { dir } => init(&dir),
        Command::Generate {
            model,
            prompt,
            count,
            device,
        } => generate(&model, &prompt, count, device),
        Command::Selfcheck => selfcheck(&mut io::stdout().lock()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn init(dir: &std::path::Path) -> Result<()> {
    let mut out = io::stdout().lock();
    match init_model(dir)? {
        InitOutcome::AlreadyThere => {
            writeln!(out, "{}: holds this model already", dir.display()).map_err(stdout_failed)
        }
        InitOutcome::Written(files) => files.into_iter().try_for_each(|(name, size)| {
            writeln!(out, "wrote {} ({size} bytes)", dir.join(name).display())
                .map_err(stdout_failed)
        }),
    }
}

fn generate(model: &std::path::Path, prompt: &str, count: usize, device: Device) -> Result<()> {
    let mut engine = Engine::load(model, device)?;
    if let Some(notice) = engine.notice() {
        eprintln!("{notice}");
    }
    let mut out = io::stdout().lock();
    let mut say = |text: &str| {
        out.write_all(text.as_bytes())
            .and_then(|()| out.flush())
            .map_err(stdout_failed)
    };
    let start = Instant::now();
    engine.generate(prompt, count, &mut say)?;
    let seconds = start.elapsed().as_secs_f64();
    say("\n")?;
    eprintln!(
        "generated {count} tokens in {seconds:.3} s ({:.1} tokens/s) on {}",
        count as f64 / seconds,
        engine.device()
    );
    Ok(())
}

fn stdout_failed(error: io::Error) -> Error {
    Error::Failure(format!("cannot write to stdout: {error}"))
}
