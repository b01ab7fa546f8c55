// The kernel that is compiled where the program runs.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <string>

namespace tinylm::cuda {

// out[i] = silu(gate[i]) * up[i], compiled by NVRTC for the current device.
class SwiGlu {
 public:
  explicit SwiGlu(const std::string& program_dir);
  SwiGlu(const SwiGlu&) = delete;
  SwiGlu& operator=(const SwiGlu&) = delete;
  ~SwiGlu();

  void launch(const float* gate, const float* up, float* out, std::uint32_t count,
              cudaStream_t stream) const;

 private:
  cudaLibrary_t library_ = nullptr;
  cudaKernel_t kernel_ = nullptr;
};

}  // namespace tinylm::cuda
