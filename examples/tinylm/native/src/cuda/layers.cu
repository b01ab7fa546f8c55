// The rest of a transformer layer: norm, rotary positions, attention.
#include <cmath>

#include "device.h"

namespace tinylm::cuda {
namespace {

constexpr unsigned kWarps = kThreads / kWarp;

struct Sum {
  static __device__ float combine(float a, float b) { return a + b; }
};

struct Max {
  static __device__ float combine(float a, float b) { return fmaxf(a, b); }
};

// After this every lane has the result: each adds the same pairs, only with
// sides swapped, so all lanes agree to the bit.
template <typename Op>
__device__ float reduce_warp(float value) {
#pragma unroll
  for (unsigned offset = kWarp / 2; offset > 0; offset /= 2) {
    value = Op::combine(value, __shfl_xor_sync(0xffffffffu, value, offset));
  }
  return value;
}

// Called by all kThreads threads of a block; every thread gets the result.
template <typename Op>
__device__ float reduce_block(float value) {
  __shared__ float partial[kWarps];
  value = reduce_warp<Op>(value);
  if (threadIdx.x % kWarp == 0) partial[threadIdx.x / kWarp] = value;
  __syncthreads();
  float result = partial[0];
#pragma unroll
  for (unsigned warp = 1; warp < kWarps; ++warp) result = Op::combine(result, partial[warp]);
  // Nobody may write `partial` for a next reduction while others still read.
  __syncthreads();
  return result;
}

}  // namespace

// One block.
extern "C" __global__ void __launch_bounds__(kThreads)
tinylm_rms_norm(const float* __restrict__ x, const float* __restrict__ weight, float eps,
                unsigned count, float* __restrict__ out) {
  float squares = 0.0f;
  for (unsigned i = threadIdx.x; i < count; i += kThreads) squares += x[i] * x[i];
  const float mean = reduce_block<Sum>(squares) / static_cast<float>(count);
  const float inverse = 1.0f / sqrtf(mean + eps);
  for (unsigned i = threadIdx.x; i < count; i += kThreads) out[i] = x[i] * inverse * weight[i];
}

// One thread rotates one pair.
extern "C" __global__ void __launch_bounds__(kThreads)
tinylm_rotate(float* __restrict__ x, const float* __restrict__ cosines,
              const float* __restrict__ sines, unsigned heads, unsigned half) {
  const unsigned index = blockIdx.x * kThreads + threadIdx.x;
  if (index >= heads * half) return;
  const unsigned i = index % half;
  float* pair = x + size_t{index / half} * (2 * half) + i;
  const float a = pair[0];
  const float b = pair[half];
  pair[0] = a * cosines[i] - b * sines[i];
  pair[half] = b * cosines[i] + a * sines[i];
}

// One block computes one head. Scores lie in global memory, where a context
// of any length fits; each block has its own row of them.
extern "C" __global__ void __launch_bounds__(kThreads)
tinylm_attention(AttentionSizes s, const float* __restrict__ query,
                 const float* __restrict__ keys, const float* __restrict__ values,
                 float* scores, float* __restrict__ out) {
  const unsigned head = blockIdx.x;
  const unsigned kv_head = head / (s.heads / s.kv_heads);
  const unsigned lane = threadIdx.x % kWarp;
  const unsigned warp = threadIdx.x / kWarp;
  const size_t stride = size_t{s.kv_heads} * s.head_dim;
  query += size_t{head} * s.head_dim;
  keys += size_t{kv_head} * s.head_dim;
  values += size_t{kv_head} * s.head_dim;
  scores += size_t{head} * s.context;
  out += size_t{head} * s.head_dim;

  // A warp takes a position; t is the same for all its lanes, so none of
  // them misses the shuffles.
  const float scale = 1.0f / sqrtf(static_cast<float>(s.head_dim));
  for (unsigned t = warp; t < s.length; t += kWarps) {
    float dot = 0.0f;
    for (unsigned i = lane; i < s.head_dim; i += kWarp) dot += query[i] * keys[t * stride + i];
    dot = reduce_warp<Sum>(dot);
    if (lane == 0) scores[t] = dot * scale;
  }
  __syncthreads();

  // Stays so in threads that have no position; the first one always has.
  float largest = -INFINITY;
  for (unsigned t = threadIdx.x; t < s.length; t += kThreads) largest = fmaxf(largest, scores[t]);
  largest = reduce_block<Max>(largest);

  float sum = 0.0f;
  for (unsigned t = threadIdx.x; t < s.length; t += kThreads) {
    const float weight = expf(scores[t] - largest);
    scores[t] = weight;
    sum += weight;
  }
  // Its barriers also publish the scores written just above to the block.
  sum = reduce_block<Sum>(sum);

  for (unsigned i = threadIdx.x; i < s.head_dim; i += kThreads) {
    float total = 0.0f;
    for (unsigned t = 0; t < s.length; ++t) total += scores[t] * values[t * stride + i];
    out[i] = total / sum;
  }
}

}  // namespace tinylm::cuda
