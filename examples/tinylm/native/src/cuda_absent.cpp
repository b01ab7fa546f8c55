// Stands in for src/cuda in a build without CUDA.
#include <stdexcept>

#include "weights.h"

namespace tinylm {
namespace {

[[noreturn]] void absent() {
  throw std::runtime_error("this build has no CUDA support");
}

}  // namespace

bool cuda_compiled() { return false; }
std::unique_ptr<Model> Builder::cuda(const std::string&) { absent(); }
std::string cuda_device_name() { absent(); }
std::string nvrtc_version() { absent(); }
std::string nvrtc_header_dir(const std::string&) { absent(); }
std::size_t nvrtc_compile(const std::string&, const std::string&) { absent(); }
std::string cublas_version() { absent(); }

}  // namespace tinylm
