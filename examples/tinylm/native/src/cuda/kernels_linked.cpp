// The kernels of a build in which nvcc compiles whole objects: it gives each
// kernel a host function of the same name, whose address stands for it.
#include "kernels.h"

extern "C" {
void tinylm_matvec(tinylm::cuda::DeviceMatrix, const float*, float*, bool);
void tinylm_dequantise(tinylm::cuda::DeviceMatrix, size_t, size_t, float*);
void tinylm_rms_norm(const float*, const float*, float, unsigned, float*);
void tinylm_rotate(float*, const float*, const float*, unsigned, unsigned);
void tinylm_attention(tinylm::cuda::AttentionSizes, const float*, const float*, const float*,
                      float*, float*);
}

namespace tinylm::cuda {

const Kernels& kernels() {
  static const Kernels linked = {
      reinterpret_cast<const void*>(tinylm_matvec),
      reinterpret_cast<const void*>(tinylm_dequantise),
      reinterpret_cast<const void*>(tinylm_rms_norm),
      reinterpret_cast<const void*>(tinylm_rotate),
      reinterpret_cast<const void*>(tinylm_attention),
  };
  return linked;
}

}  // namespace tinylm::cuda
