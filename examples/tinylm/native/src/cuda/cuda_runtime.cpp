// What the CUDA libraries and the device say about themselves.
#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <stdexcept>
#include <string>

#include "kernels.h"
#include "libraries.h"
#include "tinylm/model.h"

namespace tinylm {

bool cuda_compiled() { return true; }

std::string cuda_device_name() {
  cuda::require_libraries();
  // Only the runtime's words: the caller says what they are the reason for.
  const auto reason = [](cudaError_t status) {
    if (status != cudaSuccess) throw std::runtime_error(cudaGetErrorString(status));
  };
  int count = 0;
  reason(cudaGetDeviceCount(&count));
  if (count == 0) reason(cudaErrorNoDevice);
  reason(cudaSetDevice(0));
  cudaDeviceProp properties;
  reason(cudaGetDeviceProperties(&properties, 0));
  // A GPU older than every architecture in this build is found only here.
  cuda::check_kernels();
  return properties.name;
}

std::string cublas_version() {
  cuda::require_libraries();
  std::string version;
  for (const libraryPropertyType part : {MAJOR_VERSION, MINOR_VERSION, PATCH_LEVEL}) {
    int value = 0;
    if (cublasGetProperty(part, &value) != CUBLAS_STATUS_SUCCESS) {
      throw std::runtime_error("cuBLAS does not tell its version");
    }
    version += (version.empty() ? "" : ".") + std::to_string(value);
  }
  return version;
}

}  // namespace tinylm
