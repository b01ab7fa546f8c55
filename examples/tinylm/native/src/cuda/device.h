// What the kernels and the code that launches them must agree on. Plain types
// only: it is also compiled without a C++ library.
#pragma once

#include <stddef.h>
#include <stdint.h>

namespace tinylm::cuda {

constexpr unsigned kWarp = 32;
// A block of every kernel but matvec, which has kRowsPerBlock warps.
constexpr unsigned kThreads = 256;
constexpr unsigned kRowsPerBlock = 4;

// Matrix in device memory, laid out as in weights.h.
struct DeviceMatrix {
  const uint32_t* packed;
  const float* scales;
  const float* biases;
  uint32_t rows;
  uint32_t cols;
  uint32_t group;
};

struct AttentionSizes {
  uint32_t heads;
  uint32_t kv_heads;
  uint32_t head_dim;
  uint32_t context;
  uint32_t length;  // positions in the cache, the current one included
};

}  // namespace tinylm::cuda
