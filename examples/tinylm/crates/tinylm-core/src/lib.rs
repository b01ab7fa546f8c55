//! A miniature language model: its files, its tokenizer and its native
//! compute on the CPU and, with the feature `cuda`, on an NVIDIA GPU.

mod config;
mod engine;
mod error;
mod init;
mod native;
mod sample;
mod selfcheck;
mod weights;

pub use engine::{Device, Engine, Generation};
pub use error::{Error, Result};
pub use init::{init_model, InitOutcome};
pub use selfcheck::selfcheck;

/// The files of a model's directory.
pub(crate) const CONFIG_FILE: &str = "config.json";
pub(crate) const WEIGHTS_FILE: &str = "model.safetensors";
pub(crate) const TOKENIZER_FILE: &str = "tokenizer.json";

/// A small generator with the same sequence everywhere (splitmix64).
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// An integer in `0..bound`; the high bits are the best ones.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        (((self.next() >> 32) * u64::from(bound)) >> 32) as u32
    }
}
