// Weights as the back ends read them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "tinylm/model.h"

namespace tinylm {

struct Matrix {
  std::uint32_t rows = 0;
  std::uint32_t cols = 0;
  std::uint32_t group = 0;
  std::vector<std::uint32_t> packed;  // rows x cols/8
  std::vector<float> scales;          // rows x cols/group
  std::vector<float> biases;          // rows x cols/group
};

struct Layer {
  std::vector<float> input_norm;
  std::vector<float> post_attention_norm;
  Matrix query, key, value, output;
  Matrix gate, up, down;
};

struct Weights {
  Shape shape;
  Matrix embedding;
  Matrix head;  // empty when tied
  std::vector<float> final_norm;
  std::vector<Layer> layers;

  const Matrix& lm_head() const { return shape.tied ? embedding : head; }
};

// Rotary angles for every position: cosines and sines, context x head_dim/2
// each. Both back ends use these, so they cannot disagree about them.
struct Rotary {
  explicit Rotary(const Shape& shape);
  std::vector<float> cosines;
  std::vector<float> sines;
};

std::unique_ptr<Model> make_cpu_model(std::unique_ptr<Weights> weights);

}  // namespace tinylm
