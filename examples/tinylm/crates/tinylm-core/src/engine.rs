//! A loaded model on a device, and greedy decoding with it.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use cxx::UniquePtr;
use tokenizers::Tokenizer;

use crate::config::Config;
use crate::error::{Error, Result};
use crate::native::ffi::{self, Model};
use crate::sample::Sample;
use crate::weights;
use crate::{CONFIG_FILE, TOKENIZER_FILE, WEIGHTS_FILE};

/// Where the user wants the model to run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Device {
    /// The GPU where there is a usable one, else the CPU.
    #[default]
    Auto,
    Cpu,
    Cuda,
}

impl FromStr for Device {
    type Err = String;

    fn from_str(name: &str) -> std::result::Result<Self, String> {
        match name {
            "auto" => Ok(Device::Auto),
            "cpu" => Ok(Device::Cpu),
            "cuda" => Ok(Device::Cuda),
            _ => Err("the devices are auto, cpu and cuda".into()),
        }
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Device::Auto => "auto",
            Device::Cpu => "cpu",
            Device::Cuda => "cuda",
        })
    }
}

#[derive(Debug, PartialEq)]
pub struct Generation {
    pub text: String,
    pub tokens: Vec<u32>,
    /// The smallest lead that a chosen token had over the second best, as a
    /// part of the largest logit's magnitude.
    pub margin: f32,
}

pub struct Engine {
    tokenizer: Tokenizer,
    model: UniquePtr<Model>,
    context: usize,
    logits: Vec<f32>,
    device: String,
    notice: Option<String>,
}

impl Engine {
    /// Loads the model of a directory.
    pub fn load(dir: &Path, device: Device) -> Result<Self> {
        let read = |name| {
            let path = dir.join(name);
            let bytes = fs::read(&path).map_err(|error| Error::file(&path, error))?;
            Ok::<_, Error>(bytes)
        };
        let files = Sample {
            config: read(CONFIG_FILE)?,
            weights: read(WEIGHTS_FILE)?,
            tokenizer: read(TOKENIZER_FILE)?,
        };
        Self::from_files(dir, &files, device)
    }

    /// `dir` only gives the files their names in errors.
    pub(crate) fn from_files(dir: &Path, files: &Sample, device: Device) -> Result<Self> {
        let config = Config::parse(&files.config)
            .map_err(|problem| Error::file(&dir.join(CONFIG_FILE), problem))?;
        let mut builder = weights::load(&config, &files.weights)
            .map_err(|problem| Error::file(&dir.join(WEIGHTS_FILE), problem))?;
        let tokenizer = tokenizer(&files.tokenizer, config.vocab_size)
            .map_err(|problem| Error::file(&dir.join(TOKENIZER_FILE), problem))?;

        // The device comes last, so that a damaged model is one error and not
        // a remark about the device before it.
        let (on_gpu, notice) = choose(device)?;
        let model = if on_gpu {
            ffi::build_cuda(builder.pin_mut(), &program_dir()?)?
        } else {
            ffi::build_cpu(builder.pin_mut())?
        };
        Ok(Engine {
            tokenizer,
            device: ffi::device(&model)?,
            model,
            context: config.max_position_embeddings as usize,
            logits: vec![0.0; config.vocab_size as usize],
            notice,
        })
    }

    /// "cpu: <processor>" or "cuda: <GPU>".
    pub fn device(&self) -> &str {
        &self.device
    }

    /// Why the CPU is used, where `Device::Auto` found a GPU unusable.
    pub fn notice(&self) -> Option<&str> {
        self.notice.as_deref()
    }

    /// Continues `prompt` by exactly `count` tokens, always the most likely
    /// one. `on_text` gets the new text as it comes, in whole characters.
    pub fn generate(
        &mut self,
        prompt: &str,
        count: usize,
        mut on_text: impl FnMut(&str) -> Result<()>,
    ) -> Result<Generation> {
        let encoding = self
            .tokenizer
            .encode(prompt, false)
            .map_err(|error| Error::Request(format!("cannot encode the prompt: {error}")))?;
        let prompt = encoding.get_ids();
        if prompt.is_empty() {
            return Err(Error::Request("the prompt is empty".into()));
        }
        if count == 0 {
            return Err(Error::Request("asked for 0 tokens".into()));
        }
        if prompt.len().saturating_add(count) > self.context {
            return Err(Error::Request(format!(
                "a prompt of {} tokens and {count} to generate exceed the model's context of {}",
                prompt.len(),
                self.context
            )));
        }

        for (position, &token) in prompt.iter().enumerate() {
            self.forward(token, position)?;
        }
        let mut result = Generation {
            text: String::new(),
            tokens: Vec::with_capacity(count),
            margin: f32::INFINITY,
        };
        let mut told = 0;
        loop {
            let (token, margin) = best(&self.logits)?;
            result.tokens.push(token);
            result.margin = result.margin.min(margin);
            result.text = self
                .tokenizer
                .decode(&result.tokens, false)
                .map_err(|error| Error::Failure(format!("cannot decode: {error}")))?;
            let last = result.tokens.len() == count;
            // A character may come in several tokens; until its last one it
            // decodes to the replacement character.
            if last || !result.text.ends_with(char::REPLACEMENT_CHARACTER) {
                if let Some(new) = result.text.get(told..).filter(|new| !new.is_empty()) {
                    on_text(new)?;
                    told = result.text.len();
                }
            }
            if last {
                return Ok(result);
            }
            self.forward(token, prompt.len() + result.tokens.len() - 1)?;
        }
    }

    fn forward(&mut self, token: u32, position: usize) -> Result<()> {
        let position = u32::try_from(position).expect("within the context");
        ffi::forward(self.model.pin_mut(), token, position, &mut self.logits)?;
        Ok(())
    }
}

/// The largest logit's index, the lowest of equals, and its lead.
fn best(logits: &[f32]) -> Result<(u32, f32)> {
    let (mut token, mut first, mut second) = (0, f32::NEG_INFINITY, f32::NEG_INFINITY);
    let mut magnitude = 0f32;
    for (id, &logit) in (0u32..).zip(logits) {
        if !logit.is_finite() {
            return Err(Error::Failure(
                "the model computed a value that is not finite".into(),
            ));
        }
        magnitude = magnitude.max(logit.abs());
        if logit > first {
            (token, second, first) = (id, first, logit);
        } else {
            second = second.max(logit);
        }
    }
    Ok((token, (first - second) / magnitude))
}

fn tokenizer(bytes: &[u8], vocab_size: u32) -> std::result::Result<Tokenizer, String> {
    // The `tokenizers` crate panics where a decoder is not even JSON, or a
    // normalizer not of its kind. So JSON is checked first, and normalizers,
    // for which a byte-level vocabulary has no use, are not taken.
    let json: serde_json::Value =
        serde_json::from_slice(bytes).map_err(|error| format!("not valid JSON: {error}"))?;
    if !json["normalizer"].is_null() {
        return Err("it has a normalizer, which this program does not run".into());
    }
    let tokenizer =
        Tokenizer::from_bytes(bytes).map_err(|error| format!("not a usable tokenizer: {error}"))?;
    let vocabulary = tokenizer.get_vocab(true);
    match vocabulary.values().max() {
        None => Err("the vocabulary is empty".into()),
        Some(&largest) if largest >= vocab_size => Err(format!(
            "token {largest} is beyond vocab_size {vocab_size} of config.json"
        )),
        Some(_) => Ok(tokenizer),
    }
}

/// Whether to use the GPU, and what to tell the user about it.
fn choose(device: Device) -> Result<(bool, Option<String>)> {
    if device == Device::Cpu || (device == Device::Auto && !ffi::cuda_compiled()) {
        return Ok((false, None));
    }
    match ffi::cuda_device_name() {
        Ok(_) => Ok((true, None)),
        Err(reason) if device == Device::Auto => Ok((
            false,
            Some(format!("no usable CUDA device ({reason}): using the CPU")),
        )),
        Err(reason) if ffi::cuda_compiled() => {
            Err(Error::Failure(format!("no usable CUDA device ({reason})")))
        }
        Err(reason) => Err(reason.into()),
    }
}

/// The directory of the running program, links followed: the headers of
/// run-time compilation lie at a fixed place from it.
pub(crate) fn program_dir() -> Result<String> {
    let program = std::env::current_exe()
        .and_then(|path| path.canonicalize())
        .map_err(|error| Error::Failure(format!("cannot tell the program's path: {error}")))?;
    let dir = program.parent().map(PathBuf::from).unwrap_or_default();
    let dir = dir.to_string_lossy();
    // Windows marks canonical paths with a prefix that NVRTC does not read.
    Ok(dir.strip_prefix(r"\\?\").unwrap_or(&dir).to_owned())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::sample::SEED;
    use crate::selfcheck::{SMOKE_PROMPT, SMOKE_TOKENS};

    fn engine(seed: u64) -> Engine {
        Engine::from_files(Path::new("sample"), &Sample::new(seed), Device::Cpu).unwrap()
    }

    fn generate(engine: &mut Engine, prompt: &str, count: usize) -> Generation {
        engine.generate(prompt, count, |_| Ok(())).unwrap()
    }

    /// Prompts and how many tokens follow each, for the margin.
    const PROMPTS: [(&str, usize); 4] = [
        (SMOKE_PROMPT, 32),
        ("The wind", 32),
        ("Grüße, 世界!", 32),
        ("Once upon a time", 16),
    ];
    const MARGIN: f32 = 5e-3;
    const VARIETY: usize = 12;

    /// How many different tokens there are.
    fn variety(generation: &Generation) -> usize {
        generation.tokens.iter().collect::<HashSet<_>>().len()
    }

    #[test]
    fn the_smoke_prompt_is_continued_as_ever() {
        let generation = generate(&mut engine(SEED), SMOKE_PROMPT, SMOKE_TOKENS.len());
        assert_eq!(generation.tokens, SMOKE_TOKENS, "{:?}", generation.text);
    }

    #[test]
    fn choices_are_clear_enough_for_any_rounding() {
        let mut engine = engine(SEED);
        for (prompt, count) in PROMPTS {
            let generation = generate(&mut engine, prompt, count);
            let variety = variety(&generation);
            let Generation { text, margin, .. } = generation;
            println!("{margin:.4} {prompt:?} {text:?}");
            assert!(margin > MARGIN, "{prompt:?}: {margin} {text:?}");
            assert!(text.is_ascii(), "{prompt:?}: {text:?}");
            assert!(variety >= VARIETY.min(count / 2), "{prompt:?}: {text:?}");
        }
    }

    #[test]
    fn what_was_read_before_matters() {
        let mut engine = engine(SEED);
        let one = generate(&mut engine, "a small bird and the old house", 8);
        let other = generate(&mut engine, "the old house", 8);
        assert_ne!(one.tokens, other.tokens);
        // And nothing is left over from an earlier prompt.
        let again = generate(&mut engine, "a small bird and the old house", 8);
        assert_eq!(one, again);
    }

    #[test]
    fn text_streams_in_pieces_that_make_the_whole() {
        let mut pieces = Vec::new();
        let generation = engine(SEED)
            .generate(SMOKE_PROMPT, 20, |piece| {
                pieces.push(piece.to_owned());
                Ok(())
            })
            .unwrap();
        assert_eq!(pieces.len(), 20);
        assert_eq!(pieces.concat(), generation.text);
        assert_eq!(generation.tokens.len(), 20);
    }

    #[test]
    fn any_text_survives_the_tokenizer() {
        let engine = engine(SEED);
        for text in [
            "Hello, world.",
            " the small river follows this quiet stone.",
            "Grüße, 世界! \u{1f980}\n\ttab\u{0}nul",
            "  spaces   stay  ",
        ] {
            let ids = engine.tokenizer.encode(text, false).unwrap();
            assert_eq!(engine.tokenizer.decode(ids.get_ids(), false).unwrap(), text);
        }
        let river = engine.tokenizer.encode(" river", false).unwrap();
        assert_eq!(river.len(), 1, "a known word is one token");
    }

    #[test]
    fn impossible_requests_are_the_callers_mistake() {
        let mut engine = engine(SEED);
        for (prompt, count, expected) in [
            ("", 1, "the prompt is empty"),
            ("a", 0, "asked for 0 tokens"),
            ("a", 512, "exceed the model's context of 512"),
            ("a", usize::MAX, "exceed the model's context of 512"),
        ] {
            let error = engine.generate(prompt, count, |_| Ok(())).unwrap_err();
            assert!(matches!(error, Error::Request(_)), "{error}");
            assert!(error.to_string().contains(expected), "{error}");
        }
        // The whole context can be used.
        assert_eq!(generate(&mut engine, "a", 511).tokens.len(), 511);
    }

    #[test]
    fn equal_logits_give_the_lowest_token() {
        assert_eq!(best(&[1.0, 3.0, 3.0, -4.0]).unwrap(), (1, 0.0));
        assert_eq!(best(&[1.0, 3.0, 2.0, -4.0]).unwrap(), (1, 0.25));
        assert!(best(&[1.0, f32::NAN]).is_err());
    }

    #[test]
    fn damaged_models_are_reported_by_file() {
        type Damage = fn(&mut Sample);
        fn config(sample: &mut Sample, from: &str, to: &str) {
            let text = std::str::from_utf8(&sample.config).unwrap();
            assert!(text.contains(from), "{text}");
            sample.config = text.replacen(from, to, 1).into_bytes();
        }
        fn header(sample: &mut Sample, from: &str, to: &str) {
            assert_eq!(from.len(), to.len(), "offsets have to stay");
            let at = find(&sample.weights, from.as_bytes());
            sample.weights[at..at + to.len()].copy_from_slice(to.as_bytes());
        }
        fn find(bytes: &[u8], part: &[u8]) -> usize {
            bytes.windows(part.len()).position(|w| w == part).unwrap()
        }
        /// Sets the first element of a tensor to all ones.
        fn spoil(sample: &mut Sample, tensor: &str, bytes: usize) {
            let tensors = safetensors::SafeTensors::deserialize(&sample.weights).unwrap();
            let data = tensors.tensor(tensor).unwrap().data().as_ptr() as usize;
            let at = data - sample.weights.as_ptr() as usize;
            sample.weights[at..at + bytes].fill(0xff);
        }

        let cases: &[(&str, &str, Damage)] = &[
            ("config.json", "EOF", |s| s.config.truncate(40)),
            ("config.json", "expected ident", |s| {
                s.config = b"no".to_vec()
            }),
            ("config.json", "EOF", |s| s.config.clear()),
            ("config.json", "missing field", |s| {
                config(s, "\"vocab_size\"", "\"vocab\"")
            }),
            ("config.json", "model_type", |s| {
                config(s, "\"tinylm\"", "\"llama\"")
            }),
            ("config.json", "hidden_size is 0", |s| {
                config(s, "\"hidden_size\": 128", "\"hidden_size\": 0")
            }),
            ("config.json", "hidden_size is 4294967295", |s| {
                config(s, "\"hidden_size\": 128", "\"hidden_size\": 4294967295")
            }),
            ("config.json", "invalid value", |s| {
                config(s, "\"hidden_size\": 128", "\"hidden_size\": -128")
            }),
            ("config.json", "group size", |s| {
                config(s, "\"hidden_size\": 128", "\"hidden_size\": 100")
            }),
            ("config.json", "invalid type", |s| {
                config(s, "\"head_dim\": 32", "\"head_dim\": 32.5")
            }),
            ("config.json", "expected", |s| {
                config(s, "\"rope_theta\": 10000.0", "\"rope_theta\": NaN")
            }),
            ("config.json", "rope_theta is inf", |s| {
                config(s, "\"rope_theta\": 10000.0", "\"rope_theta\": 1e300")
            }),
            ("config.json", "number out of range", |s| {
                config(s, "\"rope_theta\": 10000.0", "\"rope_theta\": 1e999")
            }),
            ("config.json", "rms_norm_eps is -1", |s| {
                config(s, "\"rms_norm_eps\": 0.00001", "\"rms_norm_eps\": -1")
            }),
            ("config.json", "num_key_value_heads", |s| {
                config(
                    s,
                    "\"num_key_value_heads\": 2",
                    "\"num_key_value_heads\": 3",
                )
            }),
            ("config.json", "odd", |s| {
                config(
                    s,
                    "\"num_attention_heads\": 4",
                    "\"num_attention_heads\": 32",
                );
                config(s, "\"head_dim\": 32", "\"head_dim\": 3")
            }),
            ("config.json", "8 bits", |s| {
                config(s, "\"bits\": 4", "\"bits\": 8")
            }),
            ("config.json", "MiB of cache", |s| {
                let large = "\"max_position_embeddings\": 1048576";
                config(s, "\"max_position_embeddings\": 512", large);
                config(s, "\"head_dim\": 32", "\"head_dim\": 256")
            }),
            ("model.safetensors", "config.json asks for", |s| {
                config(s, "\"hidden_size\": 128", "\"hidden_size\": 64")
            }),
            ("model.safetensors", "has no place", |s| {
                config(s, "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 3")
            }),
            ("model.safetensors", "is missing", |s| {
                config(s, "\"num_hidden_layers\": 4", "\"num_hidden_layers\": 5")
            }),
            ("model.safetensors", "tensor lm_head", |s| {
                config(
                    s,
                    "\"tie_word_embeddings\": false",
                    "\"tie_word_embeddings\": true",
                )
            }),
            ("model.safetensors", "not a readable", |s| s.weights.clear()),
            ("model.safetensors", "not a readable", |s| {
                s.weights.truncate(7)
            }),
            ("model.safetensors", "not a readable", |s| {
                s.weights.truncate(900)
            }),
            ("model.safetensors", "not a readable", |s| {
                s.weights.truncate(s.weights.len() - 1)
            }),
            ("model.safetensors", "not a readable", |s| s.weights.push(0)),
            ("model.safetensors", "not a readable", |s| {
                s.weights[..8].fill(0xff)
            }),
            ("model.safetensors", "model.norm.weight is missing", |s| {
                header(s, "\"model.norm.weight\"", "\"model.norm.wEight\"")
            }),
            ("model.safetensors", "F16", |s| {
                header(s, "\"F16\"", "\"I16\"")
            }),
            ("model.safetensors", "q_proj.scales holds", |s| {
                spoil(s, "model.layers.2.self_attn.q_proj.scales", 2)
            }),
            ("model.safetensors", "lm_head.biases holds", |s| {
                spoil(s, "lm_head.biases", 2)
            }),
            ("model.safetensors", "model.norm.weight holds", |s| {
                spoil(s, "model.norm.weight", 4)
            }),
            ("tokenizer.json", "not valid JSON", |s| {
                s.tokenizer.truncate(3000)
            }),
            ("tokenizer.json", "not valid JSON", |s| s.tokenizer.clear()),
            ("tokenizer.json", "not a usable", |s| {
                s.tokenizer = b"{}".to_vec()
            }),
            ("tokenizer.json", "normalizer", |s| {
                let text = String::from_utf8(s.tokenizer.clone()).unwrap();
                let from = "\"normalizer\": null";
                let to = "\"normalizer\": {\"type\": \"Precompiled\"}";
                s.tokenizer = text.replacen(from, to, 1).into_bytes();
            }),
            ("tokenizer.json", "beyond vocab_size", |s| {
                let text = String::from_utf8(s.tokenizer.clone()).unwrap();
                s.tokenizer = text.replacen(": 300,", ": 999999,", 1).into_bytes();
            }),
        ];
        for (index, (file, expected, damage)) in cases.iter().enumerate() {
            let mut sample = Sample::new(SEED);
            damage(&mut sample);
            let message = match Engine::from_files(Path::new("dir"), &sample, Device::Cpu) {
                Ok(_) => panic!("case {index}, {expected:?}: loaded"),
                Err(error) => error.to_string(),
            };
            let named = Path::new("dir").join(file).display().to_string();
            assert!(
                message.starts_with(&named) && message.contains(expected),
                "case {index}, {file} {expected:?}: {message}"
            );
            assert!(!message.contains('\n'), "case {index}: {message}");
        }
    }

    #[test]
    fn missing_files_are_named() {
        let dir = Path::new("no-such-directory");
        let error = Engine::load(dir, Device::Cpu).err().unwrap().to_string();
        let named = dir.join(CONFIG_FILE).display().to_string();
        assert!(error.starts_with(&named), "{error}");
    }

    #[test]
    fn no_change_of_a_byte_makes_a_model_panic() {
        let mut random = crate::Random::new(7);
        for round in 0..300 {
            let mut sample = Sample::new(SEED);
            let file = match round % 3 {
                0 => &mut sample.config,
                1 => &mut sample.weights,
                _ => &mut sample.tokenizer,
            };
            // The header is the part of the weights where a byte matters.
            let reach = file.len().min(8192) as u32;
            for _ in 0..1 + random.below(3) {
                let at = random.below(reach) as usize;
                file[at] = random.below(256) as u8;
            }
            if let Ok(mut engine) = Engine::from_files(Path::new("dir"), &sample, Device::Cpu) {
                // Either outcome will do, as long as there is one.
                let _ = engine.generate("Hello", 2, |_| Ok(()));
            }
        }
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_so() {
        let sample = Sample::new(SEED);
        let load = |device| Engine::from_files(Path::new("dir"), &sample, device);
        let error = load(Device::Cuda).err().unwrap();
        assert_eq!(error.to_string(), "this build has no CUDA support");
        let engine = load(Device::Auto).unwrap();
        assert!(engine.device().starts_with("cpu: "));
        assert_eq!(engine.notice(), None);
    }
}
