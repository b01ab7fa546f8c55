//! model.safetensors: which tensors a model has, and their way to the native
//! side. Everything is checked here, where an error can name the tensor.

use std::collections::HashSet;

use cxx::UniquePtr;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};

use crate::config::Config;
use crate::native::ffi::{self, Builder, Slot};

/// A tensor, or for a matrix the three tensors that share its name, and its
/// place in the model.
pub(crate) struct Entry {
    pub name: String,
    pub slot: Slot,
    pub layer: u32,
    pub kind: Kind,
}

pub(crate) enum Kind {
    Matrix { rows: u32, cols: u32 },
    Norm,
}

/// Everything that a model of this config consists of, in a fixed order.
pub(crate) fn layout(config: &Config) -> Vec<Entry> {
    let hidden = config.hidden_size;
    let inner = config.intermediate_size;
    let (wide, narrow) = (config.query_width(), config.key_width());
    let vocabulary = Kind::Matrix {
        rows: config.vocab_size,
        cols: hidden,
    };
    let mut entries = vec![Entry {
        name: "model.embed_tokens".into(),
        slot: Slot::Embedding,
        layer: 0,
        kind: vocabulary,
    }];
    for layer in 0..config.num_hidden_layers {
        let mut add = |name: &str, slot, kind| {
            entries.push(Entry {
                name: format!("model.layers.{layer}.{name}"),
                slot,
                layer,
                kind,
            });
        };
        let matrix = |rows, cols| Kind::Matrix { rows, cols };
        add("input_layernorm", Slot::InputNorm, Kind::Norm);
        add("self_attn.q_proj", Slot::Query, matrix(wide, hidden));
        add("self_attn.k_proj", Slot::Key, matrix(narrow, hidden));
        add("self_attn.v_proj", Slot::Value, matrix(narrow, hidden));
        add("self_attn.o_proj", Slot::Output, matrix(hidden, wide));
        add(
            "post_attention_layernorm",
            Slot::PostAttentionNorm,
            Kind::Norm,
        );
        add("mlp.gate_proj", Slot::Gate, matrix(inner, hidden));
        add("mlp.up_proj", Slot::Up, matrix(inner, hidden));
        add("mlp.down_proj", Slot::Down, matrix(hidden, inner));
    }
    entries.push(Entry {
        name: "model.norm".into(),
        slot: Slot::FinalNorm,
        layer: 0,
        kind: Kind::Norm,
    });
    if !config.tie_word_embeddings {
        entries.push(Entry {
            name: "lm_head".into(),
            slot: Slot::Head,
            layer: 0,
            kind: Kind::Matrix {
                rows: config.vocab_size,
                cols: hidden,
            },
        });
    }
    entries
}

/// Hands the tensors of a safetensors file to a native builder.
pub(crate) fn load(config: &Config, bytes: &[u8]) -> Result<UniquePtr<Builder>, String> {
    let tensors = SafeTensors::deserialize(bytes)
        .map_err(|error| format!("not a readable safetensors file: {error}"))?;
    let mut builder = ffi::builder(&config.shape()).map_err(|error| error.to_string())?;
    let mut unused: HashSet<&str> = tensors.names().into_iter().collect();
    let mut take = |name: String, dtype: Dtype, shape: &[u32]| {
        let tensor = find(&tensors, &name, dtype, shape)?;
        unused.remove(name.as_str());
        Ok::<_, String>(tensor)
    };
    let group = config.quantization.group_size;

    for Entry {
        name,
        slot,
        layer,
        kind,
    } in layout(config)
    {
        match kind {
            Kind::Matrix { rows, cols } => {
                let packed = take(format!("{name}.weight"), Dtype::U32, &[rows, cols / 8])?;
                let groups = [rows, cols / group];
                let scales = halves(take(format!("{name}.scales"), Dtype::F16, &groups)?);
                let biases = halves(take(format!("{name}.biases"), Dtype::F16, &groups)?);
                for (part, values) in [("scales", &scales), ("biases", &biases)] {
                    if !values.iter().all(|&half| half_is_finite(half)) {
                        return Err(format!(
                            "tensor {name}.{part} holds a value that is not finite"
                        ));
                    }
                }
                let packed = words(packed);
                ffi::set_matrix(builder.pin_mut(), slot, layer, &packed, &scales, &biases)
            }
            Kind::Norm => {
                let values = take(format!("{name}.weight"), Dtype::F32, &[config.hidden_size])?;
                let values: Vec<f32> = words(values).into_iter().map(f32::from_bits).collect();
                if !values.iter().all(|value| value.is_finite()) {
                    return Err(format!(
                        "tensor {name}.weight holds a value that is not finite"
                    ));
                }
                ffi::set_norm(builder.pin_mut(), slot, layer, &values)
            }
        }
        .map_err(|error| format!("tensor {name}: {error}"))?;
    }
    // A config of fewer layers than the file would otherwise load and talk
    // nonsense.
    if let Some(name) = unused.into_iter().min() {
        return Err(format!(
            "tensor {name} has no place in the model that config.json describes"
        ));
    }
    Ok(builder)
}

fn find<'a>(
    tensors: &SafeTensors<'a>,
    name: &str,
    dtype: Dtype,
    shape: &[u32],
) -> Result<TensorView<'a>, String> {
    let tensor = tensors
        .tensor(name)
        .map_err(|_| format!("tensor {name} is missing"))?;
    let shape: Vec<usize> = shape.iter().map(|&size| size as usize).collect();
    if tensor.dtype() != dtype || tensor.shape() != shape {
        return Err(format!(
            "tensor {name} is {:?} {:?}, config.json asks for {dtype:?} {shape:?}",
            tensor.dtype(),
            tensor.shape()
        ));
    }
    Ok(tensor)
}

// The file's data is little-endian and not aligned, so values are copied out.

fn words(tensor: TensorView<'_>) -> Vec<u32> {
    let bytes = tensor.data().chunks_exact(4);
    bytes
        .map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]))
        .collect()
}

fn halves(tensor: TensorView<'_>) -> Vec<u16> {
    let bytes = tensor.data().chunks_exact(2);
    bytes.map(|b| u16::from_le_bytes([b[0], b[1]])).collect()
}

fn half_is_finite(half: u16) -> bool {
    half & 0x7c00 != 0x7c00
}
