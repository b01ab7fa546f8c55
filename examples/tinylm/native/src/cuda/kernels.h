// Launchers of the kernels that nvcc compiles. All pointers are to device
// memory; all work is queued on `stream`.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "device.h"

namespace tinylm::cuda {

// The kernels as cudaLaunchKernel takes them.
struct Kernels {
  const void* matvec;
  const void* dequantise;
  const void* rms_norm;
  const void* rotate;
  const void* attention;
};

// Where they come from depends on the build: kernels_linked.cpp has those that
// nvcc compiled into objects, kernels_embedded.cpp loads a fat binary.
const Kernels& kernels();

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

// keys and values are context x (kv_heads x head_dim); scores is scratch of
// heads x context.
void attention(const AttentionSizes& sizes, const float* query, const float* keys,
               const float* values, float* scores, float* out, cudaStream_t stream);

}  // namespace tinylm::cuda
