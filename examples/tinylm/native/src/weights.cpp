#include "weights.h"

#include <cmath>
#include <cstring>
#include <stdexcept>
#include <string>
#include <utility>

namespace tinylm {
namespace {

float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = static_cast<std::uint32_t>(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu;
  const std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24
    const float magnitude = std::ldexp(static_cast<float>(mantissa), -24);
    return sign ? -magnitude : magnitude;
  }
  const std::uint32_t bits = exponent == 0x1fu
      ? sign | 0x7f800000u | (mantissa << 13)
      : sign | ((exponent + 112u) << 23) | (mantissa << 13);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::vector<float> halves_to_floats(const std::uint16_t* halves, std::size_t count) {
  std::vector<float> floats(count);
  for (std::size_t i = 0; i < count; ++i) {
    floats[i] = half_to_float(halves[i]);
    if (!std::isfinite(floats[i])) {
      throw std::invalid_argument("a quantisation scale or bias is not a finite number");
    }
  }
  return floats;
}

void require(bool condition, const char* what) {
  if (!condition) throw std::invalid_argument(std::string("invalid model shape: ") + what);
}

void check(const Shape& s) {
  require(s.vocab_size > 0 && s.hidden_size > 0 && s.layers > 0 && s.heads > 0 &&
              s.kv_heads > 0 && s.head_dim > 0 && s.intermediate_size > 0 && s.context > 0,
          "every size must be positive");
  // Far above any model this program is for; products of three sizes then
  // stay far below 2^63.
  require(s.vocab_size <= 1u << 20 && s.hidden_size <= 1u << 16 && s.layers <= 1024 &&
              s.heads <= 1024 && s.head_dim <= 1024 && s.intermediate_size <= 1u << 18 &&
              s.context <= 1u << 20,
          "a size is too large");
  require(s.group_size == 32 || s.group_size == 64, "group_size must be 32 or 64");
  require(s.hidden_size % s.group_size == 0, "hidden_size must be a multiple of group_size");
  require(s.intermediate_size % s.group_size == 0,
          "intermediate_size must be a multiple of group_size");
  require(s.heads * s.head_dim % s.group_size == 0,
          "heads x head_dim must be a multiple of group_size");
  require(s.heads % s.kv_heads == 0, "heads must be a multiple of kv_heads");
  require(s.head_dim % 2 == 0, "head_dim must be even");
  require(std::isfinite(s.rope_theta) && s.rope_theta > 0, "rope_theta must be positive");
  require(std::isfinite(s.rms_norm_eps) && s.rms_norm_eps > 0, "rms_norm_eps must be positive");
}

Layer& layer_at(Weights& weights, std::uint32_t layer) {
  if (layer >= weights.layers.size()) throw std::out_of_range("layer out of range");
  return weights.layers[layer];
}

// The place for a matrix, with the size it must have.
Matrix& matrix_at(Weights& weights, Slot slot, std::uint32_t layer) {
  const Shape& s = weights.shape;
  const std::uint32_t wide = s.heads * s.head_dim;
  const std::uint32_t narrow = s.kv_heads * s.head_dim;
  const auto sized = [](Matrix& m, std::uint32_t rows, std::uint32_t cols) -> Matrix& {
    m.rows = rows;
    m.cols = cols;
    return m;
  };
  switch (slot) {
    case Slot::Embedding: return sized(weights.embedding, s.vocab_size, s.hidden_size);
    case Slot::Head:
      if (s.tied) throw std::invalid_argument("a tied model has no separate output projection");
      return sized(weights.head, s.vocab_size, s.hidden_size);
    case Slot::Query: return sized(layer_at(weights, layer).query, wide, s.hidden_size);
    case Slot::Key: return sized(layer_at(weights, layer).key, narrow, s.hidden_size);
    case Slot::Value: return sized(layer_at(weights, layer).value, narrow, s.hidden_size);
    case Slot::Output: return sized(layer_at(weights, layer).output, s.hidden_size, wide);
    case Slot::Gate:
      return sized(layer_at(weights, layer).gate, s.intermediate_size, s.hidden_size);
    case Slot::Up: return sized(layer_at(weights, layer).up, s.intermediate_size, s.hidden_size);
    case Slot::Down:
      return sized(layer_at(weights, layer).down, s.hidden_size, s.intermediate_size);
    default: throw std::invalid_argument("this slot holds no matrix");
  }
}

}  // namespace

Rotary::Rotary(const Shape& s) {
  const std::uint32_t half = s.head_dim / 2;
  cosines.resize(std::size_t{s.context} * half);
  sines.resize(cosines.size());
  for (std::uint32_t i = 0; i < half; ++i) {
    const double frequency = std::pow(static_cast<double>(s.rope_theta), -2.0 * i / s.head_dim);
    for (std::uint32_t position = 0; position < s.context; ++position) {
      const std::size_t at = std::size_t{position} * half + i;
      cosines[at] = static_cast<float>(std::cos(position * frequency));
      sines[at] = static_cast<float>(std::sin(position * frequency));
    }
  }
}

Builder::Builder(const Shape& shape) {
  check(shape);
  weights_ = std::make_unique<Weights>();
  weights_->shape = shape;
  weights_->layers.resize(shape.layers);
}

Builder::~Builder() = default;

void Builder::set_matrix(Slot slot, std::uint32_t layer,
                         const std::uint32_t* packed, std::size_t packed_count,
                         const std::uint16_t* scales, std::size_t scales_count,
                         const std::uint16_t* biases, std::size_t biases_count) {
  if (!weights_) throw std::logic_error("the model has been built already");
  Matrix& matrix = matrix_at(*weights_, slot, layer);
  matrix.group = weights_->shape.group_size;
  const std::size_t values = std::size_t{matrix.rows} * matrix.cols;
  if (packed_count != values / 8 || scales_count != values / matrix.group ||
      biases_count != values / matrix.group) {
    throw std::invalid_argument("a tensor does not have the size its place in the model asks for");
  }
  matrix.scales = halves_to_floats(scales, scales_count);
  matrix.biases = halves_to_floats(biases, biases_count);
  matrix.packed.assign(packed, packed + packed_count);
}

void Builder::set_norm(Slot slot, std::uint32_t layer, const float* values, std::size_t count) {
  if (!weights_) throw std::logic_error("the model has been built already");
  std::vector<float>* place = nullptr;
  switch (slot) {
    case Slot::FinalNorm: place = &weights_->final_norm; break;
    case Slot::InputNorm: place = &layer_at(*weights_, layer).input_norm; break;
    case Slot::PostAttentionNorm: place = &layer_at(*weights_, layer).post_attention_norm; break;
    default: throw std::invalid_argument("this slot holds no norm");
  }
  if (count != weights_->shape.hidden_size) {
    throw std::invalid_argument("a norm does not have hidden_size values");
  }
  for (std::size_t i = 0; i < count; ++i) {
    if (!std::isfinite(values[i])) throw std::invalid_argument("a norm is not finite");
  }
  place->assign(values, values + count);
}

std::unique_ptr<Weights> Builder::finish() {
  if (!weights_) throw std::logic_error("the model has been built already");
  bool complete = !weights_->embedding.packed.empty() && !weights_->lm_head().packed.empty() &&
                  !weights_->final_norm.empty();
  for (const Layer& layer : weights_->layers) {
    for (const Matrix* matrix : {&layer.query, &layer.key, &layer.value, &layer.output,
                                 &layer.gate, &layer.up, &layer.down}) {
      complete = complete && !matrix->packed.empty();
    }
    complete = complete && !layer.input_norm.empty() && !layer.post_attention_norm.empty();
  }
  if (!complete) throw std::logic_error("not every tensor of the model has been set");
  return std::move(weights_);
}

std::unique_ptr<Model> Builder::cpu() { return make_cpu_model(finish()); }

void Model::forward(std::uint32_t token, std::uint32_t position, float* logits,
                    std::size_t count) {
  if (token >= shape_.vocab_size) throw std::out_of_range("token outside the vocabulary");
  if (position >= shape_.context) throw std::out_of_range("position beyond the model's context");
  if (position > filled_) throw std::out_of_range("positions have to be run in order");
  if (count != shape_.vocab_size) throw std::invalid_argument("logits must hold vocab_size values");
  // Set only afterwards: a position whose run failed is not in the cache.
  filled_ = position;
  run(token, position, logits);
  filled_ = position + 1;
}

}  // namespace tinylm
