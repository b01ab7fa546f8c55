// The CPU back end. Plain loops; the inner ones keep eight partial sums, which
// the compiler turns into vector code of whatever width -march allows while
// the order of additions stays the one written here.
#include <algorithm>
#include <cmath>
#include <utility>

#include "weights.h"

namespace tinylm {
namespace {

constexpr std::uint32_t kLanes = 8;

float add_lanes(const float (&lane)[kLanes]) {
  return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
         ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

float dot(const float* a, const float* b, std::uint32_t count) {
  float lane[kLanes] = {};
  std::uint32_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (std::uint32_t l = 0; l < kLanes; ++l) lane[l] += a[i + l] * b[i + l];
  }
  float total = add_lanes(lane);
  for (; i < count; ++i) total += a[i] * b[i];
  return total;
}

void dequantise_row(const Matrix& m, std::uint32_t row, float* out) {
  const std::uint32_t* packed = &m.packed[std::size_t{row} * (m.cols / 8)];
  const std::size_t first_group = std::size_t{row} * (m.cols / m.group);
  for (std::uint32_t col = 0; col < m.cols; ++col) {
    const std::size_t group = first_group + col / m.group;
    const std::uint32_t bits = packed[col / 8] >> (4 * (col % 8)) & 15u;
    out[col] = m.scales[group] * static_cast<float>(bits) + m.biases[group];
  }
}

void rms_norm(const std::vector<float>& x, const std::vector<float>& weight, float eps,
              std::vector<float>& out) {
  const auto count = static_cast<std::uint32_t>(x.size());
  const float mean = dot(x.data(), x.data(), count) / static_cast<float>(count);
  const float inverse = 1.0f / std::sqrt(mean + eps);
  for (std::uint32_t i = 0; i < count; ++i) out[i] = x[i] * inverse * weight[i];
}

class CpuModel final : public Model {
 public:
  explicit CpuModel(std::unique_ptr<Weights> weights)
      : Model(weights->shape),
        weights_(std::move(weights)),
        rotary_(shape_),
        wide_(shape_.heads * shape_.head_dim),
        narrow_(shape_.kv_heads * shape_.head_dim),
        hidden_(shape_.hidden_size),
        normed_(shape_.hidden_size),
        query_(wide_),
        attended_(wide_),
        gate_(shape_.intermediate_size),
        up_(shape_.intermediate_size),
        scores_(shape_.context),
        group_sums_(std::max({shape_.hidden_size, wide_, shape_.intermediate_size}) /
                    shape_.group_size) {
    const std::size_t cache = std::size_t{shape_.layers} * shape_.context * narrow_;
    keys_.resize(cache);
    values_.resize(cache);
  }

  std::string device() const override { return "cpu: " + cpu_name(); }

 protected:
  void run(std::uint32_t token, std::uint32_t position, float* logits) override {
    dequantise_row(weights_->embedding, token, hidden_.data());
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      attend(layer, position);
      feed_forward(weights_->layers[layer]);
    }
    rms_norm(hidden_, weights_->final_norm, shape_.rms_norm_eps, normed_);
    matvec(weights_->lm_head(), normed_.data(), logits, false);
  }

 private:
  // y = m x, or y += m x.
  void matvec(const Matrix& m, const float* x, float* y, bool accumulate) {
    const std::uint32_t groups = m.cols / m.group;
    const std::uint32_t words = m.group / kLanes;
    // A group's bias applies to each of its inputs alike, hence to their sum,
    // which is the same for all rows.
    for (std::uint32_t g = 0; g < groups; ++g) {
      float lane[kLanes] = {};
      for (std::uint32_t i = 0; i < m.group; ++i) lane[i % kLanes] += x[g * m.group + i];
      group_sums_[g] = add_lanes(lane);
    }
    for (std::uint32_t row = 0; row < m.rows; ++row) {
      const std::uint32_t* packed = &m.packed[std::size_t{row} * groups * words];
      const float* scales = &m.scales[std::size_t{row} * groups];
      const float* biases = &m.biases[std::size_t{row} * groups];
      float total = 0;
      for (std::uint32_t g = 0; g < groups; ++g) {
        float lane[kLanes] = {};
        for (std::uint32_t w = 0; w < words; ++w) {
          const std::uint32_t bits = packed[g * words + w];
          const float* in = x + (g * words + w) * kLanes;
          for (std::uint32_t l = 0; l < kLanes; ++l) {
            lane[l] += in[l] * static_cast<float>(static_cast<int>(bits >> (4 * l) & 15u));
          }
        }
        total += scales[g] * add_lanes(lane) + biases[g] * group_sums_[g];
      }
      y[row] = accumulate ? y[row] + total : total;
    }
  }

  // Rotates each head's two halves against each other, in place.
  void rotate(float* x, std::uint32_t heads, std::uint32_t position) const {
    const std::uint32_t half = shape_.head_dim / 2;
    const float* cosines = &rotary_.cosines[std::size_t{position} * half];
    const float* sines = &rotary_.sines[std::size_t{position} * half];
    for (std::uint32_t head = 0; head < heads; ++head, x += shape_.head_dim) {
      for (std::uint32_t i = 0; i < half; ++i) {
        const float a = x[i];
        const float b = x[i + half];
        x[i] = a * cosines[i] - b * sines[i];
        x[i + half] = b * cosines[i] + a * sines[i];
      }
    }
  }

  void attend(std::uint32_t layer, std::uint32_t position) {
    const Layer& w = weights_->layers[layer];
    const std::uint32_t head_dim = shape_.head_dim;
    float* keys = &keys_[std::size_t{layer} * shape_.context * narrow_];
    float* values = &values_[std::size_t{layer} * shape_.context * narrow_];
    float* key = keys + std::size_t{position} * narrow_;

    rms_norm(hidden_, w.input_norm, shape_.rms_norm_eps, normed_);
    matvec(w.query, normed_.data(), query_.data(), false);
    matvec(w.key, normed_.data(), key, false);
    matvec(w.value, normed_.data(), values + std::size_t{position} * narrow_, false);
    rotate(query_.data(), shape_.heads, position);
    rotate(key, shape_.kv_heads, position);

    const float scale = 1.0f / std::sqrt(static_cast<float>(head_dim));
    for (std::uint32_t head = 0; head < shape_.heads; ++head) {
      const std::uint32_t kv_head = head / (shape_.heads / shape_.kv_heads);
      const float* query = &query_[head * head_dim];
      float largest = -INFINITY;
      for (std::uint32_t t = 0; t <= position; ++t) {
        const float* past = keys + std::size_t{t} * narrow_ + kv_head * head_dim;
        scores_[t] = dot(query, past, head_dim) * scale;
        largest = std::max(largest, scores_[t]);
      }
      float sum = 0;
      for (std::uint32_t t = 0; t <= position; ++t) {
        scores_[t] = std::exp(scores_[t] - largest);
        sum += scores_[t];
      }
      float* out = &attended_[head * head_dim];
      std::fill(out, out + head_dim, 0.0f);
      for (std::uint32_t t = 0; t <= position; ++t) {
        const float* past = values + std::size_t{t} * narrow_ + kv_head * head_dim;
        for (std::uint32_t i = 0; i < head_dim; ++i) out[i] += scores_[t] * past[i];
      }
      for (std::uint32_t i = 0; i < head_dim; ++i) out[i] /= sum;
    }
    matvec(w.output, attended_.data(), hidden_.data(), true);
  }

  void feed_forward(const Layer& w) {
    rms_norm(hidden_, w.post_attention_norm, shape_.rms_norm_eps, normed_);
    matvec(w.gate, normed_.data(), gate_.data(), false);
    matvec(w.up, normed_.data(), up_.data(), false);
    for (std::size_t i = 0; i < gate_.size(); ++i) {
      gate_[i] = gate_[i] / (1.0f + std::exp(-gate_[i])) * up_[i];
    }
    matvec(w.down, gate_.data(), hidden_.data(), true);
  }

  const std::unique_ptr<Weights> weights_;
  const Rotary rotary_;
  const std::uint32_t wide_;    // width of all query heads together
  const std::uint32_t narrow_;  // width of all key heads together
  std::vector<float> hidden_, normed_, query_, attended_, gate_, up_, scores_, group_sums_;
  std::vector<float> keys_, values_;  // layers x context x narrow_
};

}  // namespace

std::unique_ptr<Model> make_cpu_model(std::unique_ptr<Weights> weights) {
  return std::make_unique<CpuModel>(std::move(weights));
}

}  // namespace tinylm
