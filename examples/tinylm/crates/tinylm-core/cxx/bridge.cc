#include "tinylm-core/cxx/bridge.h"

#include <string>

#include "tinylm-core/src/native.rs.h"

namespace tinylm::bridge {

std::unique_ptr<Builder> builder(const ModelShape& s) {
  return std::make_unique<Builder>(
      Shape{s.vocab_size, s.hidden_size, s.layers, s.heads, s.kv_heads, s.head_dim,
            s.intermediate_size, s.context, s.group_size, s.rope_theta, s.rms_norm_eps, s.tied});
}

void set_matrix(Builder& builder, Slot slot, std::uint32_t layer,
                rust::Slice<const std::uint32_t> packed,
                rust::Slice<const std::uint16_t> scales,
                rust::Slice<const std::uint16_t> biases) {
  builder.set_matrix(slot, layer, packed.data(), packed.size(), scales.data(), scales.size(),
                     biases.data(), biases.size());
}

void set_norm(Builder& builder, Slot slot, std::uint32_t layer,
              rust::Slice<const float> values) {
  builder.set_norm(slot, layer, values.data(), values.size());
}

std::unique_ptr<Model> build_cpu(Builder& builder) { return builder.cpu(); }

std::unique_ptr<Model> build_cuda(Builder& builder, rust::Str program_dir) {
  return builder.cuda(std::string(program_dir));
}

void forward(Model& model, std::uint32_t token, std::uint32_t position,
             rust::Slice<float> logits) {
  model.forward(token, position, logits.data(), logits.size());
}

// Names of hardware and paths need not be valid UTF-8, which a plain
// rust::String would not take.
rust::String device(const Model& model) { return rust::String::lossy(model.device()); }
rust::String cuda_device_name() { return rust::String::lossy(tinylm::cuda_device_name()); }
rust::String nvrtc_version() { return rust::String::lossy(tinylm::nvrtc_version()); }
rust::String nvrtc_header_dir(rust::Str program_dir) {
  return rust::String::lossy(tinylm::nvrtc_header_dir(std::string(program_dir)));
}
std::size_t nvrtc_compile(rust::Str header_dir, rust::Str arch) {
  return tinylm::nvrtc_compile(std::string(header_dir), std::string(arch));
}
rust::String cublas_version() { return rust::String::lossy(tinylm::cublas_version()); }

}  // namespace tinylm::bridge
