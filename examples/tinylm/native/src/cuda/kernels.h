// Launchers of the kernels that nvcc compiles. All pointers are to device
// memory; all work is queued on `stream`.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace tinylm::cuda {

// Matrix in device memory, laid out as in weights.h.
struct DeviceMatrix {
  const std::uint32_t* packed;
  const float* scales;
  const float* biases;
  std::uint32_t rows;
  std::uint32_t cols;
  std::uint32_t group;
};

// Fails if the current device cannot run this build's kernels.
void check_kernels();

// y = m x, or y += m x.
void matvec(const DeviceMatrix& m, const float* x, float* y, bool accumulate,
            cudaStream_t stream);

// out[0..rows) x cols = the plain values of rows [first, first + rows).
void dequantise(const DeviceMatrix& m, std::uint32_t first, std::uint32_t rows, float* out,
                cudaStream_t stream);

void rms_norm(const float* x, const float* weight, float eps, std::uint32_t count, float* out,
              cudaStream_t stream);

// Rotates `heads` heads of x in place; cosines and sines are those of the
// token's position, head_dim/2 each.
void rotate(float* x, const float* cosines, const float* sines, std::uint32_t heads,
            std::uint32_t head_dim, cudaStream_t stream);

struct AttentionSizes {
  std::uint32_t heads;
  std::uint32_t kv_heads;
  std::uint32_t head_dim;
  std::uint32_t context;
  std::uint32_t length;  // positions in the cache, the current one included
};

// keys and values are context x (kv_heads x head_dim); scores is scratch of
// heads x context.
void attention(const AttentionSizes& sizes, const float* query, const float* keys,
               const float* values, float* scores, float* out, cudaStream_t stream);

}  // namespace tinylm::cuda
