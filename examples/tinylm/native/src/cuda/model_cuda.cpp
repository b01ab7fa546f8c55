// The CUDA back end: 4-bit products in our own kernels, the output projection
// in cuBLAS, the gated activation in a kernel compiled at run time.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <utility>
#include <vector>

#include "cuda_check.h"
#include "kernels.h"
#include "libraries.h"
#include "nvrtc.h"
#include "weights.h"

namespace tinylm {
namespace cuda {
namespace {

constexpr int kDevice = 0;

void check(cublasStatus_t status, const char* call) {
  if (status != CUBLAS_STATUS_SUCCESS) {
    throw std::runtime_error(std::string("cuBLAS: ") + call + ": " +
                             cublasGetStatusString(status));
  }
}
using cuda::check;

class Cublas {
 public:
  explicit Cublas(cudaStream_t stream) {
    check(cublasCreate(&handle_), "cublasCreate");
    try {
      check(cublasSetStream(handle_, stream), "cublasSetStream");
      // Full single precision: TF32 would move logits by a thousandth.
      check(cublasSetMathMode(handle_, CUBLAS_PEDANTIC_MATH), "cublasSetMathMode");
    } catch (...) {
      cublasDestroy(handle_);
      throw;
    }
  }
  Cublas(const Cublas&) = delete;
  Cublas& operator=(const Cublas&) = delete;
  ~Cublas() { cublasDestroy(handle_); }

  // y = a x for a row-major rows x cols matrix, which to cuBLAS, counting by
  // columns, is a cols x rows matrix to transpose.
  void matvec(const float* a, std::uint32_t rows, std::uint32_t cols, const float* x,
              float* y) const {
    const float one = 1.0f;
    const float zero = 0.0f;
    const int m = static_cast<int>(cols);
    const int n = static_cast<int>(rows);
    check(cublasSgemv(handle_, CUBLAS_OP_T, m, n, &one, a, m, x, 1, &zero, y, 1), "cublasSgemv");
  }

 private:
  cublasHandle_t handle_ = nullptr;
};

class OwnedMatrix {
 public:
  explicit OwnedMatrix(const Matrix& m)
      : packed_(m.packed), scales_(m.scales), biases_(m.biases),
        rows_(m.rows), cols_(m.cols), group_(m.group) {}

  DeviceMatrix view() const {
    return {packed_.get(), scales_.get(), biases_.get(), rows_, cols_, group_};
  }

 private:
  Buffer<std::uint32_t> packed_;
  Buffer<float> scales_, biases_;
  std::uint32_t rows_, cols_, group_;
};

struct OwnedLayer {
  explicit OwnedLayer(const Layer& w)
      : input_norm(w.input_norm), post_attention_norm(w.post_attention_norm),
        query(w.query), key(w.key), value(w.value), output(w.output),
        gate(w.gate), up(w.up), down(w.down) {}

  Buffer<float> input_norm, post_attention_norm;
  OwnedMatrix query, key, value, output, gate, up, down;
};

// Makes the device current before any member of CudaModel allocates on it.
struct CurrentDevice {
  CurrentDevice() { select(); }
  void select() const { check(cudaSetDevice(kDevice), "cudaSetDevice"); }
};

class CudaModel final : public Model {
 public:
  CudaModel(const Weights& w, const Rotary& rotary, const std::string& program_dir)
      : Model(w.shape),
        swiglu_(program_dir),
        cublas_(stream_.get()),
        wide_(shape_.heads * shape_.head_dim),
        narrow_(shape_.kv_heads * shape_.head_dim),
        embedding_(w.embedding),
        final_norm_(w.final_norm),
        cosines_(rotary.cosines),
        sines_(rotary.sines),
        head_(std::size_t{shape_.vocab_size} * shape_.hidden_size),
        keys_(std::size_t{shape_.layers} * shape_.context * narrow_),
        values_(keys_.size()),
        scores_(std::size_t{shape_.heads} * shape_.context),
        hidden_(shape_.hidden_size),
        normed_(shape_.hidden_size),
        query_(wide_),
        attended_(wide_),
        gate_(shape_.intermediate_size),
        up_(shape_.intermediate_size),
        logits_(shape_.vocab_size) {
    layers_.reserve(w.layers.size());
    for (const Layer& layer : w.layers) layers_.emplace_back(layer);
    // cuBLAS has no 4-bit product, so the output projection is unpacked once.
    // The packed form goes away when this ends, after the kernel has read it.
    const OwnedMatrix packed_head(w.lm_head());
    // Uploads from pageable memory may return before they arrive, and our
    // stream does not wait for the default stream that carries them.
    check(cudaDeviceSynchronize(), "uploading the model");
    dequantise(packed_head.view(), 0, shape_.vocab_size, head_.get(), stream_.get());
    check(cudaStreamSynchronize(stream_.get()), "loading the model");
  }

  std::string device() const override { return "cuda: " + cuda_device_name(); }

 protected:
  void run(std::uint32_t token, std::uint32_t position, float* logits) override {
    device_.select();  // the current device belongs to the thread, which may be another
    const cudaStream_t stream = stream_.get();
    dequantise(embedding_.view(), token, 1, hidden_.get(), stream);
    for (std::uint32_t layer = 0; layer < shape_.layers; ++layer) {
      attend(layer, position, stream);
      feed_forward(layers_[layer], stream);
    }
    rms_norm(hidden_.get(), final_norm_.get(), shape_.rms_norm_eps, shape_.hidden_size,
             normed_.get(), stream);
    cublas_.matvec(head_.get(), shape_.vocab_size, shape_.hidden_size, normed_.get(),
                   logits_.get());
    check(cudaMemcpyAsync(logits, logits_.get(), logits_.size() * sizeof(float),
                          cudaMemcpyDeviceToHost, stream),
          "cudaMemcpyAsync of the logits");
    // Errors of all the kernels above arrive here at the latest.
    check(cudaStreamSynchronize(stream), "running the model");
  }

 private:
  void attend(std::uint32_t layer, std::uint32_t position, cudaStream_t stream) const {
    const OwnedLayer& w = layers_[layer];
    const std::size_t cache = std::size_t{layer} * shape_.context * narrow_;
    const std::size_t angles = std::size_t{position} * (shape_.head_dim / 2);
    const std::size_t slot = cache + std::size_t{position} * narrow_;
    float* key = keys_.get() + slot;
    float* value = values_.get() + slot;
    const float* cosines = cosines_.get() + angles;
    const float* sines = sines_.get() + angles;

    rms_norm(hidden_.get(), w.input_norm.get(), shape_.rms_norm_eps, shape_.hidden_size,
             normed_.get(), stream);
    matvec(w.query.view(), normed_.get(), query_.get(), false, stream);
    matvec(w.key.view(), normed_.get(), key, false, stream);
    matvec(w.value.view(), normed_.get(), value, false, stream);
    rotate(query_.get(), cosines, sines, shape_.heads, shape_.head_dim, stream);
    rotate(key, cosines, sines, shape_.kv_heads, shape_.head_dim, stream);
    attention({shape_.heads, shape_.kv_heads, shape_.head_dim, shape_.context, position + 1},
              query_.get(), keys_.get() + cache, values_.get() + cache, scores_.get(),
              attended_.get(), stream);
    matvec(w.output.view(), attended_.get(), hidden_.get(), true, stream);
  }

  void feed_forward(const OwnedLayer& w, cudaStream_t stream) const {
    rms_norm(hidden_.get(), w.post_attention_norm.get(), shape_.rms_norm_eps,
             shape_.hidden_size, normed_.get(), stream);
    matvec(w.gate.view(), normed_.get(), gate_.get(), false, stream);
    matvec(w.up.view(), normed_.get(), up_.get(), false, stream);
    swiglu_.launch(gate_.get(), up_.get(), gate_.get(), shape_.intermediate_size, stream);
    matvec(w.down.view(), gate_.get(), hidden_.get(), true, stream);
  }

  // In this order: each needs those before it while it lives.
  CurrentDevice device_;
  Stream stream_;
  SwiGlu swiglu_;
  Cublas cublas_;

  std::uint32_t wide_;    // width of all query heads together
  std::uint32_t narrow_;  // width of all key heads together
  OwnedMatrix embedding_;
  std::vector<OwnedLayer> layers_;
  Buffer<float> final_norm_, cosines_, sines_;
  Buffer<float> head_;           // vocab_size x hidden_size, unpacked
  Buffer<float> keys_, values_;  // layers x context x narrow_
  Buffer<float> scores_;         // heads x context
  Buffer<float> hidden_, normed_, query_, attended_, gate_, up_, logits_;
};

}  // namespace
}  // namespace cuda

std::unique_ptr<Model> Builder::cuda(const std::string& program_dir) {
  cuda::require_libraries();
  const std::unique_ptr<Weights> weights = finish();
  return std::make_unique<cuda::CudaModel>(*weights, Rotary(weights->shape), program_dir);
}

}  // namespace tinylm
