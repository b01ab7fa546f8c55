//! Checks that the program and the libraries it came with work together.

use std::io::Write;
use std::path::Path;

use crate::engine::{program_dir, Device, Engine};
use crate::error::{Error, Result};
use crate::native::ffi;
use crate::sample::{Sample, SEED};

pub(crate) const SMOKE_PROMPT: &str = "Hello, world.";
/// How the sample model continues the prompt, on any device.
pub(crate) const SMOKE_TOKENS: [u32; 10] = [261, 297, 310, 382, 266, 297, 310, 387, 259, 340];

/// The oldest and the newest architecture that the program is released for.
const ARCHITECTURES: [&str; 2] = ["sm_80", "sm_90a"];

/// Writes a line for each check that holds; the first that does not is the
/// error. Needs no GPU, but uses one that is there.
pub fn selfcheck(out: &mut impl Write) -> Result<()> {
    let mut tell = |line: String| {
        writeln!(out, "{line}")
            .map_err(|error| Error::Failure(format!("cannot write to stdout: {error}")))
    };
    if ffi::cuda_compiled() {
        let headers = ffi::nvrtc_header_dir(&program_dir()?)?;
        tell(format!("headers: {headers}"))?;
        let nvrtc = ffi::nvrtc_version()?;
        for arch in ARCHITECTURES {
            let size = ffi::nvrtc_compile(&headers, arch)?;
            tell(format!("nvrtc {nvrtc}: {arch}: ok ({size} bytes of cubin)"))?;
        }
        tell(format!("cublas {}: ok", ffi::cublas_version()?))?;
        match ffi::cuda_device_name() {
            Ok(_) => tell(smoke(Device::Cuda)?)?,
            Err(reason) => tell(format!("cuda: no usable device ({reason})"))?,
        }
    } else {
        tell("cuda: not compiled in".into())?;
    }
    tell(smoke(Device::Cpu)?)
}

/// Runs the sample model from memory.
fn smoke(device: Device) -> Result<String> {
    let mut engine = Engine::from_files(Path::new("sample"), &Sample::new(SEED), device)?;
    let generation = engine.generate(SMOKE_PROMPT, SMOKE_TOKENS.len(), |_| Ok(()))?;
    if generation.tokens != SMOKE_TOKENS {
        return Err(Error::Failure(format!(
            "{}: the sample model generated {:?}, not {SMOKE_TOKENS:?}",
            engine.device(),
            generation.tokens
        )));
    }
    Ok(format!(
        "{}: ok ({} tokens as expected)",
        engine.device(),
        SMOKE_TOKENS.len()
    ))
}
