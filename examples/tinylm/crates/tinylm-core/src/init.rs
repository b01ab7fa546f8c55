//! Writes the sample model to a directory.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::process;

use crate::error::{Error, Result};
use crate::sample::{Sample, SEED};
use crate::{CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE};

#[derive(Debug, PartialEq)]
pub enum InitOutcome {
    /// The names and sizes of the files written.
    Written(Vec<(&'static str, usize)>),
    /// The directory holds this very model already.
    AlreadyThere,
}

/// Writes the sample model to `dir`, which may exist if it is empty or holds
/// the model already.
pub fn init_model(dir: &Path) -> Result<InitOutcome> {
    let Sample {
        config,
        weights,
        tokenizer,
    } = Sample::new(SEED);
    // The config last: a directory without it is plainly not a whole model.
    let files = [
        (WEIGHTS_FILE, weights),
        (TOKENIZER_FILE, tokenizer),
        (CONFIG_FILE, config),
    ];

    fs::create_dir_all(dir).map_err(|error| Error::file(dir, error))?;
    let mut entries = fs::read_dir(dir).map_err(|error| Error::file(dir, error))?;
    if entries.next().is_some() {
        let same = |(name, bytes): &(&str, Vec<u8>)| {
            fs::read(dir.join(name)).is_ok_and(|present| present == *bytes)
        };
        if files.iter().all(same) {
            return Ok(InitOutcome::AlreadyThere);
        }
        return Err(Error::file(
            dir,
            "the directory is not empty and does not hold this model; nothing was written",
        ));
    }
    for (name, bytes) in &files {
        write(dir, name, bytes).map_err(|error| Error::file(&dir.join(name), error))?;
    }
    Ok(InitOutcome::Written(
        files.map(|(name, bytes)| (name, bytes.len())).to_vec(),
    ))
}

/// Under a temporary name first, so that the file's own name only ever stands
/// for all of its contents.
fn write(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = dir.join(format!(".{name}.{}", process::id()));
    let written = (|| {
        let mut file = File::create_new(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, dir.join(name))
    })();
    if written.is_err() {
        // The first error is the one to report.
        let _ = fs::remove_file(&temporary);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FNV-1a, enough to notice a change.
    fn digest(bytes: &[u8]) -> u64 {
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        })
    }

    #[test]
    fn the_model_is_the_same_everywhere() {
        let sample = Sample::new(SEED);
        let digests = [&sample.config, &sample.weights, &sample.tokenizer]
            .map(|bytes| format!("{} {:016x}", bytes.len(), digest(bytes)));
        assert_eq!(
            digests,
            [
                "379 45c5816d050dfaa1",
                "449048 fd4069a9598466ca",
                "15008 736daca958b78cfb"
            ]
        );
    }

    #[test]
    fn a_directory_is_written_once_and_kept() {
        let dir = std::env::temp_dir().join(format!("tinylm-init-{}", process::id()));
        let model = dir.join("deeper/model");
        let InitOutcome::Written(files) = init_model(&model).unwrap() else {
            panic!("there was a model already");
        };
        let mut names: Vec<_> = fs::read_dir(&model)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        assert_eq!(names, [CONFIG_FILE, WEIGHTS_FILE, TOKENIZER_FILE]);
        for (name, size) in files {
            assert_eq!(fs::metadata(model.join(name)).unwrap().len(), size as u64);
        }
        assert_eq!(init_model(&model).unwrap(), InitOutcome::AlreadyThere);

        fs::write(model.join(CONFIG_FILE), "{}").unwrap();
        let error = init_model(&model).unwrap_err().to_string();
        assert!(error.contains("not empty"), "{error}");
        assert_eq!(fs::read(model.join(CONFIG_FILE)).unwrap(), b"{}");

        let file = model.join(CONFIG_FILE);
        assert!(init_model(&file).is_err(), "a file is no directory");
        fs::remove_dir_all(&dir).unwrap();
    }
}
