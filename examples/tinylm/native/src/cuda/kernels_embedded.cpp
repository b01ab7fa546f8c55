// The kernels of a build whose C++ compiler nvcc does not take, such as MinGW's:
// nvcc makes fat binaries alone, which lie in the program as data.
#include <cstddef>

#include "cuda_check.h"
#include "kernels.h"

// The section has the name that nvcc gives it on the same system, so that tools
// find the code.
#ifdef _WIN32
#define TINYLM_SECTION ".section .nv_fatb,\"dr\"\n"
#else
#define TINYLM_SECTION ".section .nv_fatbin,\"a\"\n"
#endif
#define TINYLM_EMBED(name, file)    \
  asm(TINYLM_SECTION                \
      ".balign 16\n"                \
      ".globl " name "\n"           \
      name ":\n"                    \
      ".incbin \"" file "\"\n"      \
      ".text\n")

TINYLM_EMBED("tinylm_fatbin_matvec", TINYLM_FATBIN_MATVEC);
TINYLM_EMBED("tinylm_fatbin_layers", TINYLM_FATBIN_LAYERS);

extern "C" {
extern const unsigned char tinylm_fatbin_matvec[];
extern const unsigned char tinylm_fatbin_layers[];
}

namespace tinylm::cuda {
namespace {

cudaLibrary_t load(const unsigned char* fatbin) {
  cudaLibrary_t library = nullptr;
  check(cudaLibraryLoadData(&library, fatbin, nullptr, nullptr, 0, nullptr, nullptr, 0),
        "cudaLibraryLoadData of the kernels");
  return library;
}

const void* find(cudaLibrary_t library, const char* name) {
  cudaKernel_t kernel = nullptr;
  check(cudaLibraryGetKernel(&kernel, library, name), name);
  return reinterpret_cast<const void*>(kernel);
}

Kernels load() {
  const cudaLibrary_t products = load(tinylm_fatbin_matvec);
  const cudaLibrary_t layers = load(tinylm_fatbin_layers);
  return {
      find(products, "tinylm_matvec"),
      find(products, "tinylm_dequantise"),
      find(layers, "tinylm_rms_norm"),
      find(layers, "tinylm_rotate"),
      find(layers, "tinylm_attention"),
  };
}

}  // namespace

const Kernels& kernels() {
  // For as long as the process lives, as linked ones do. A failure is met
  // again by the next call.
  static const Kernels loaded = load();
  return loaded;
}

}  // namespace tinylm::cuda
