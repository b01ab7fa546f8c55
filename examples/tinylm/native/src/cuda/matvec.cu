// Kernels over 4-bit matrices.
#include "device.h"

namespace tinylm::cuda {

// One warp computes one row: its lanes take every 32nd packed word, so that
// neighbouring lanes read neighbouring words. A word's eight values lie in
// one group, because a group is a whole number of words.
extern "C" __global__ void __launch_bounds__(kWarp * kRowsPerBlock)
tinylm_matvec(DeviceMatrix m, const float* __restrict__ x, float* y, bool accumulate) {
  const unsigned lane = threadIdx.x;
  const unsigned row = blockIdx.x * kRowsPerBlock + threadIdx.y;
  // The row is the same for a whole warp, so warps leave as one and the
  // shuffles below always have all 32 lanes.
  if (row >= m.rows) return;

  const unsigned words = m.cols / 8;
  const unsigned words_per_group = m.group / 8;
  const size_t groups = m.cols / m.group;
  const uint32_t* packed = m.packed + size_t{row} * words;
  const float* scales = m.scales + row * groups;
  const float* biases = m.biases + row * groups;

  float total = 0.0f;
  for (unsigned word = lane; word < words; word += kWarp) {
    const uint32_t bits = packed[word];
    const float* in = x + size_t{word} * 8;
    float dot = 0.0f;
    float sum = 0.0f;
#pragma unroll
    for (unsigned i = 0; i < 8; ++i) {
      dot += in[i] * static_cast<float>(bits >> (4 * i) & 15u);
      sum += in[i];
    }
    const unsigned group = word / words_per_group;
    total += scales[group] * dot + biases[group] * sum;
  }
#pragma unroll
  for (unsigned offset = kWarp / 2; offset > 0; offset /= 2) {
    total += __shfl_down_sync(0xffffffffu, total, offset);
  }
  if (lane == 0) y[row] = accumulate ? y[row] + total : total;
}

// One thread unpacks one word. `count` is the number of words.
extern "C" __global__ void __launch_bounds__(kThreads)
tinylm_dequantise(DeviceMatrix m, size_t first_word, size_t count, float* __restrict__ out) {
  const size_t index = size_t{blockIdx.x} * kThreads + threadIdx.x;
  if (index >= count) return;
  const size_t word = first_word + index;
  // Groups divide rows and words divide groups, so both can be counted
  // through the whole matrix.
  const size_t group = word / (m.group / 8);
  const uint32_t bits = m.packed[word];
  const float scale = m.scales[group];
  const float bias = m.biases[group];
#pragma unroll
  for (unsigned i = 0; i < 8; ++i) {
    out[index * 8 + i] = scale * static_cast<float>(bits >> (4 * i) & 15u) + bias;
  }
}

}  // namespace tinylm::cuda
