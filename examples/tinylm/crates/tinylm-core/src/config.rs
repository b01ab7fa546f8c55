//! config.json: the sizes of a model.

use serde::{Deserialize, Serialize};

use crate::native::ffi::ModelShape;

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Config {
    pub model_type: String,
    pub vocab_size: u32,
    pub hidden_size: u32,
    pub num_hidden_layers: u32,
    pub num_attention_heads: u32,
    pub num_key_value_heads: u32,
    pub head_dim: u32,
    pub intermediate_size: u32,
    pub max_position_embeddings: u32,
    pub rope_theta: f32,
    pub rms_norm_eps: f32,
    pub tie_word_embeddings: bool,
    pub quantization: Quantization,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct Quantization {
    pub group_size: u32,
    pub bits: u32,
}

pub(crate) const MODEL_TYPE: &str = "tinylm";

/// The cache is allocated before the first token; a damaged config must not
/// take the machine's memory with it.
const MAX_CACHE_BYTES: u64 = 4 << 30;

impl Config {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let config: Config = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        config.check()?;
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        if self.model_type != MODEL_TYPE {
            return Err(format!(
                "model_type is {:?}, this program runs {MODEL_TYPE:?}",
                self.model_type
            ));
        }
        for (name, value, most) in [
            ("vocab_size", self.vocab_size, 1 << 20),
            ("hidden_size", self.hidden_size, 1 << 16),
            ("num_hidden_layers", self.num_hidden_layers, 1024),
            ("num_attention_heads", self.num_attention_heads, 1024),
            ("num_key_value_heads", self.num_key_value_heads, 1024),
            ("head_dim", self.head_dim, 1024),
            ("intermediate_size", self.intermediate_size, 1 << 18),
            (
                "max_position_embeddings",
                self.max_position_embeddings,
                1 << 20,
            ),
        ] {
            if value == 0 || value > most {
                return Err(format!("{name} is {value}, outside 1 to {most}"));
            }
        }
        for (name, value, most) in [
            ("rope_theta", self.rope_theta, 1e9),
            ("rms_norm_eps", self.rms_norm_eps, 1.0),
        ] {
            // Written so that a NaN fails too.
            if !(value > 0.0 && value <= most) {
                return Err(format!("{name} is {value}, outside 0 to {most}"));
            }
        }
        let Quantization { group_size, bits } = self.quantization;
        if bits != 4 || !(group_size == 32 || group_size == 64) {
            return Err(format!(
                "quantization is {bits} bits in groups of {group_size}, \
                 this program runs 4 bits in groups of 32 or 64"
            ));
        }
        for (name, value) in [
            ("hidden_size", self.hidden_size),
            ("intermediate_size", self.intermediate_size),
            ("num_attention_heads x head_dim", self.query_width()),
        ] {
            if !value.is_multiple_of(group_size) {
                return Err(format!(
                    "{name} is {value}, not a multiple of the group size {group_size}"
                ));
            }
        }
        if !self
            .num_attention_heads
            .is_multiple_of(self.num_key_value_heads)
        {
            return Err(format!(
                "num_attention_heads is {}, not a multiple of num_key_value_heads {}",
                self.num_attention_heads, self.num_key_value_heads
            ));
        }
        if !self.head_dim.is_multiple_of(2) {
            return Err(format!("head_dim is {}, an odd number", self.head_dim));
        }
        let cache = u64::from(self.num_hidden_layers)
            * u64::from(self.max_position_embeddings)
            * u64::from(self.key_width())
            * 2
            * size_of::<f32>() as u64;
        if cache > MAX_CACHE_BYTES {
            return Err(format!(
                "a context of {} tokens needs {} MiB of cache, more than {} MiB",
                self.max_position_embeddings,
                cache >> 20,
                MAX_CACHE_BYTES >> 20
            ));
        }
        Ok(())
    }

    pub(crate) fn query_width(&self) -> u32 {
        self.num_attention_heads * self.head_dim
    }

    pub(crate) fn key_width(&self) -> u32 {
        self.num_key_value_heads * self.head_dim
    }

    pub(crate) fn shape(&self) -> ModelShape {
        ModelShape {
            vocab_size: self.vocab_size,
            hidden_size: self.hidden_size,
            layers: self.num_hidden_layers,
            heads: self.num_attention_heads,
            kv_heads: self.num_key_value_heads,
            head_dim: self.head_dim,
            intermediate_size: self.intermediate_size,
            context: self.max_position_embeddings,
            group_size: self.quantization.group_size,
            rope_theta: self.rope_theta,
            rms_norm_eps: self.rms_norm_eps,
            tied: self.tie_word_embeddings,
        }
    }
}
