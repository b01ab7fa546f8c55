// Gives the native interface the shapes cxx can call.
#pragma once

#include <cstdint>
#include <memory>

#include "rust/cxx.h"
#include "tinylm/model.h"

namespace tinylm::bridge {

struct ModelShape;  // generated from src/native.rs

std::unique_ptr<Builder> builder(const ModelShape& shape);
void set_matrix(Builder& builder, Slot slot, std::uint32_t layer,
                rust::Slice<const std::uint32_t> packed,
                rust::Slice<const std::uint16_t> scales,
                rust::Slice<const std::uint16_t> biases);
void set_norm(Builder& builder, Slot slot, std::uint32_t layer,
              rust::Slice<const float> values);
std::unique_ptr<Model> build_cpu(Builder& builder);
std::unique_ptr<Model> build_cuda(Builder& builder, rust::Str program_dir);
void forward(Model& model, std::uint32_t token, std::uint32_t position,
             rust::Slice<float> logits);
rust::String device(const Model& model);

rust::String cuda_device_name();
rust::String nvrtc_version();
rust::String nvrtc_header_dir(rust::Str program_dir);
std::size_t nvrtc_compile(rust::Str header_dir, rust::Str arch);
rust::String cublas_version();

}  // namespace tinylm::bridge
