//! The model that `tinylm init-model` writes: a transformer of the real
//! architecture, generated, not trained. Only integers decide its values, so
//! that every platform writes the same bytes.
//!
//! It speaks in the order of a sentence because its embedding and its output
//! projection are made from a few *class* vectors: a word's embedding carries
//! the vector of its class, and an output row carries the vectors of the
//! classes its word may follow. Which word of a class is said is up to the
//! random rest of the weights, hence to everything the model has read.

use std::collections::HashMap;

use safetensors::tensor::TensorView;
use safetensors::Dtype;
use serde::ser::Serializer;
use serde::Serialize;

use crate::config::{Config, Quantization, MODEL_TYPE};
use crate::native::ffi::Slot;
use crate::weights::{layout, Entry, Kind};
use crate::Random;

/// Chosen so that the best token is far ahead of the second at every step of
/// some prompts (see the tests): CPU and GPU, which round differently, then
/// say the same.
pub(crate) const SEED: u64 = 856;

const HIDDEN: usize = 128;
const GROUP: usize = 32;

/// A class of words and the classes that its words may follow.
struct Class {
    words: &'static [&'static str],
    follows: &'static [usize],
}

const OTHER: usize = 0;
const ARTICLE: usize = 1;
const ADJECTIVE: usize = 2;
const NOUN: usize = 3;
const VERB: usize = 4;
const PREPOSITION: usize = 5;
const STOP: usize = 6;

/// Indexed by the constants above. The model says words of these classes
/// only; everything else that a prompt may hold is `OTHER`.
const CLASSES: [Class; 7] = [
    Class {
        words: &[],
        follows: &[],
    },
    Class {
        words: &[" the", " a", " this", " every"],
        follows: &[OTHER, VERB, PREPOSITION, STOP],
    },
    Class {
        words: &[
            " small", " quiet", " old", " warm", " bright", " green", " slow", " early",
        ],
        follows: &[ARTICLE],
    },
    Class {
        words: &[
            " river", " stone", " garden", " house", " bird", " wind", " world", " morning",
            " road", " light",
        ],
        follows: &[ARTICLE, ADJECTIVE],
    },
    Class {
        words: &[
            " follows", " finds", " carries", " knows", " crosses", " hears", " keeps", " watches",
        ],
        follows: &[NOUN],
    },
    Class {
        words: &[" near", " under", " over", " beyond", " behind", " with"],
        follows: &[NOUN],
    },
    Class {
        words: &["."],
        follows: &[NOUN],
    },
];

/// The contents of a model's three files.
pub(crate) struct Sample {
    pub config: Vec<u8>,
    pub weights: Vec<u8>,
    pub tokenizer: Vec<u8>,
}

impl Sample {
    pub(crate) fn new(seed: u64) -> Self {
        let vocabulary = Vocabulary::new();
        let config = Config {
            model_type: MODEL_TYPE.into(),
            vocab_size: vocabulary.tokens.len() as u32,
            hidden_size: HIDDEN as u32,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            head_dim: 32,
            intermediate_size: 256,
            max_position_embeddings: 512,
            rope_theta: 10000.0,
            rms_norm_eps: 1e-5,
            tie_word_embeddings: false,
            quantization: Quantization {
                group_size: GROUP as u32,
                bits: 4,
            },
        };
        let tokenizer = text(&vocabulary.tokenizer());
        Sample {
            weights: weights(&config, &vocabulary, &mut Random::new(seed)),
            tokenizer,
            config: text(&config),
        }
    }
}

fn text(value: &impl Serialize) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(value).expect("plain data serialises");
    text.push(b'\n');
    text
}

/// A byte-level vocabulary: all bytes, the words, and the words' beginnings,
/// through which byte-pair merges reach them.
struct Vocabulary {
    tokens: Vec<String>,
    merges: Vec<(String, String)>,
    /// Class of each token.
    classes: Vec<usize>,
}

impl Vocabulary {
    fn new() -> Self {
        let mut tokens: Vec<String> = (0..=255).map(|byte| byte_letter(byte).into()).collect();
        let mut merges = Vec::new();
        for word in CLASSES.iter().flat_map(|class| class.words) {
            let mut beginning = String::new();
            for byte in word.bytes() {
                let letter = String::from(byte_letter(byte));
                let longer = format!("{beginning}{letter}");
                if !tokens.contains(&longer) {
                    merges.push((beginning, letter));
                    tokens.push(longer.clone());
                }
                beginning = longer;
            }
        }
        let spelled = |word: &str| word.bytes().map(byte_letter).collect::<String>();
        let class_of = |token: &String| {
            let has = |class: &Class| class.words.iter().any(|word| spelled(word) == *token);
            CLASSES.iter().position(has).unwrap_or(OTHER)
        };
        let classes = tokens.iter().map(class_of).collect();
        Vocabulary {
            tokens,
            merges,
            classes,
        }
    }

    fn tokenizer(&self) -> impl Serialize + '_ {
        /// In the order of ids, as people read it; a map would sort by text.
        struct Ids<'a>(&'a [String]);
        impl Serialize for Ids<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.iter().zip(0u32..))
            }
        }
        #[derive(Serialize)]
        struct Model<'a> {
            r#type: &'a str,
            dropout: Option<f32>,
            unk_token: Option<&'a str>,
            continuing_subword_prefix: Option<&'a str>,
            end_of_word_suffix: Option<&'a str>,
            fuse_unk: bool,
            byte_fallback: bool,
            ignore_merges: bool,
            vocab: Ids<'a>,
            merges: &'a [(String, String)],
        }
        #[derive(Serialize)]
        struct ByteLevel {
            r#type: &'static str,
            add_prefix_space: bool,
            trim_offsets: bool,
            use_regex: bool,
        }
        #[derive(Serialize)]
        struct Tokenizer<'a> {
            version: &'a str,
            truncation: Option<()>,
            padding: Option<()>,
            added_tokens: [(); 0],
            normalizer: Option<()>,
            pre_tokenizer: ByteLevel,
            post_processor: Option<()>,
            decoder: ByteLevel,
            model: Model<'a>,
        }
        const BYTE_LEVEL: ByteLevel = ByteLevel {
            r#type: "ByteLevel",
            add_prefix_space: false,
            trim_offsets: true,
            use_regex: true,
        };
        Tokenizer {
            version: "1.0",
            truncation: None,
            padding: None,
            added_tokens: [],
            normalizer: None,
            pre_tokenizer: BYTE_LEVEL,
            post_processor: None,
            decoder: BYTE_LEVEL,
            model: Model {
                r#type: "BPE",
                dropout: None,
                unk_token: None,
                continuing_subword_prefix: None,
                end_of_word_suffix: None,
                fuse_unk: false,
                byte_fallback: false,
                ignore_merges: false,
                vocab: Ids(&self.tokens),
                merges: &self.merges,
            },
        }
    }
}

/// The letter that stands for a byte in byte-level vocabularies: itself where
/// it prints, else one from U+0100 on, in order.
fn byte_letter(byte: u8) -> char {
    let prints = |byte: u8| matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if prints(byte) {
        return char::from(byte);
    }
    let before = (0..byte).filter(|&other| !prints(other)).count() as u32;
    char::from_u32(0x100 + before).expect("below the surrogates")
}

/// A value of a matrix before quantisation, an integer that [`quantise`]
/// brings into -15 to 15.
type Rough = i32;

fn weights(config: &Config, vocabulary: &Vocabulary, random: &mut Random) -> Vec<u8> {
    let mut vectors = [[0; HIDDEN]; CLASSES.len()];
    for value in vectors.iter_mut().flatten() {
        *value = centred(random, 9);
    }
    let embedding = |random: &mut Random| -> Vec<Rough> {
        let classes = vocabulary.classes.iter();
        let vectors = classes.flat_map(|&class| &vectors[class]);
        vectors.map(|value| value + centred(random, 9)).collect()
    };
    let head = |random: &mut Random| -> Vec<Rough> {
        let mut values = Vec::new();
        for &class in &vocabulary.classes {
            values.extend((0..HIDDEN).map(|i| {
                let follows = CLASSES[class].follows.iter();
                let sum: Rough = follows.map(|&before| vectors[before][i]).sum();
                let own = centred(random, 10);
                if class == OTHER {
                    0
                } else {
                    sum + own
                }
            }));
        }
        values
    };

    let mut data: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for Entry {
        name, slot, kind, ..
    } in layout(config)
    {
        match kind {
            Kind::Norm => {
                // Multiples of 1/64 from 3/4 to 5/4, which are exact.
                let values = (0..HIDDEN).map(|_| (64 + centred(random, 16)) as f32 / 64.0);
                let bytes = values.flat_map(f32::to_le_bytes).collect();
                data.push((format!("{name}.weight"), Dtype::F32, vec![HIDDEN], bytes));
            }
            Kind::Matrix { rows, cols } => {
                let (rows, cols) = (rows as usize, cols as usize);
                // Scales are 2^-exponent to twice that. The embedding is to
                // outweigh what the layers add to it, but not by much.
                let (rough, exponent) = match slot {
                    Slot::Embedding => (embedding(random), 2),
                    Slot::Head => (head(random), 6),
                    _ => {
                        let values = (0..rows * cols).map(|_| centred(random, 15));
                        (values.collect(), 6)
                    }
                };
                let packed = rough.chunks_exact(8).flat_map(|eight| {
                    let word = eight
                        .iter()
                        .rev()
                        .fold(0u32, |word, &value| word << 4 | quantise(value));
                    word.to_le_bytes()
                });
                let shape = vec![rows, cols / 8];
                data.push((
                    format!("{name}.weight"),
                    Dtype::U32,
                    shape,
                    packed.collect(),
                ));
                let mut scales = Vec::new();
                let mut biases = Vec::new();
                for group in 0..rows * cols / GROUP {
                    let eighths = 8 + random.below(8);
                    scales.extend(half(eighths, exponent + 3).to_le_bytes());
                    // -7.5 scales: the sixteen values lie evenly around zero.
                    // But -7 for what is read and never said, single bytes
                    // among it: its output rows become zero.
                    let class = vocabulary.classes.get(group * GROUP / cols);
                    let unsaid = slot == Slot::Head && class == Some(&OTHER);
                    let halves = if unsaid { 14 } else { 15 };
                    let bias = half(halves * eighths, exponent + 4) | 0x8000;
                    biases.extend(bias.to_le_bytes());
                }
                let shape = vec![rows, cols / GROUP];
                data.push((format!("{name}.scales"), Dtype::F16, shape.clone(), scales));
                data.push((format!("{name}.biases"), Dtype::F16, shape, biases));
            }
        }
    }
    let views = data.iter().map(|(name, dtype, shape, bytes)| {
        let view = TensorView::new(*dtype, shape.clone(), bytes).expect("sizes match");
        (name, view)
    });
    // One entry at most: a map of several would be written in any order.
    let about = HashMap::from([("format".to_owned(), "mlx".to_owned())]);
    safetensors::serialize(views, Some(about)).expect("names and sizes are valid")
}

/// An integer from -reach to reach.
fn centred(random: &mut Random, reach: u32) -> Rough {
    random.below(2 * reach + 1) as Rough - reach as Rough
}

/// The four bits for a value; they stand for the odd numbers -15 to 15.
fn quantise(value: Rough) -> u32 {
    (value.clamp(-15, 15) + 15) as u32 / 2
}

/// number * 2^-exponent as a half float; exact for 1 <= number < 2048 and
/// results that are normal.
fn half(number: u32, exponent: u32) -> u16 {
    let highest = 31 - number.leading_zeros();
    let mantissa = (number << (10 - highest)) & 0x3ff;
    ((15 + highest - exponent) << 10 | mantissa) as u16
}
