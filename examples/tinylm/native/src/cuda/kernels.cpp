#include "kernels.h"

#include "cuda_check.h"

namespace tinylm::cuda {
namespace {

// The arguments must have exactly the types of the kernel's parameters: all
// that it is given is where each of them lies.
template <typename... Arguments>
void launch(const void* kernel, const char* what, dim3 blocks, dim3 threads, cudaStream_t stream,
            Arguments... arguments) {
  void* pointers[] = {&arguments...};
  check(cudaLaunchKernel(kernel, blocks, threads, pointers, 0, stream), what);
}

unsigned blocks_of(std::size_t count, unsigned size) {
  return static_cast<unsigned>((count + size - 1) / size);
}

}  // namespace

void check_kernels() {
  cudaFuncAttributes attributes;
  check(cudaFuncGetAttributes(&attributes, kernels().matvec), "cudaFuncGetAttributes");
}

void matvec(const DeviceMatrix& m, const float* x, float* y, bool accumulate,
            cudaStream_t stream) {
  launch(kernels().matvec, "launch of matvec", dim3(blocks_of(m.rows, kRowsPerBlock)),
         dim3(kWarp, kRowsPerBlock), stream, m, x, y, accumulate);
}

void dequantise(const DeviceMatrix& m, std::uint32_t first, std::uint32_t rows, float* out,
                cudaStream_t stream) {
  const std::size_t words_per_row = m.cols / 8;
  const std::size_t count = rows * words_per_row;
  const std::size_t first_word = first * words_per_row;
  launch(kernels().dequantise, "launch of dequantise", dim3(blocks_of(count, kThreads)),
         dim3(kThreads), stream, m, first_word, count, out);
}

void rms_norm(const float* x, const float* weight, float eps, std::uint32_t count, float* out,
              cudaStream_t stream) {
  launch(kernels().rms_norm, "launch of rms_norm", dim3(1), dim3(kThreads), stream, x, weight, eps,
         count, out);
}

void rotate(float* x, const float* cosines, const float* sines, std::uint32_t heads,
            std::uint32_t head_dim, cudaStream_t stream) {
  const std::uint32_t half = head_dim / 2;
  launch(kernels().rotate, "launch of rotate", dim3(blocks_of(heads * half, kThreads)),
         dim3(kThreads), stream, x, cosines, sines, heads, half);
}

void attention(const AttentionSizes& sizes, const float* query, const float* keys,
               const float* values, float* scores, float* out, cudaStream_t stream) {
  launch(kernels().attention, "launch of attention", dim3(sizes.heads), dim3(kThreads), stream,
         sizes, query, keys, values, scores, out);
}

}  // namespace tinylm::cuda
