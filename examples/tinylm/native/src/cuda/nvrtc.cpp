#include "nvrtc.h"

#include <nvrtc.h>

#include <cstdlib>
#include <filesystem>
#include <stdexcept>
#include <system_error>
#include <utility>
#include <vector>

#include "cuda_check.h"
#include "libraries.h"
#include "narrow.h"
#include "tinylm/model.h"

namespace fs = std::filesystem;

namespace tinylm {
namespace {

constexpr unsigned kThreads = 256;

// The only header it needs is the CUDA C++ standard library's, which a
// release of this program has to bring along.
constexpr char kSource[] = R"(
#include <cuda/std/tuple>

using Pair = cuda::std::tuple<float, float>;

__device__ inline Pair load(const float* gate, const float* up, unsigned i) {
  return cuda::std::make_tuple(gate[i], up[i]);
}

extern "C" __global__ void swiglu(const float* gate, const float* up, float* out,
                                  unsigned count) {
  const unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= count) return;
  const auto gated = [](float g, float u) { return g / (1.0f + expf(-g)) * u; };
  out[i] = cuda::std::apply(gated, load(gate, up, i));
}
)";

void check(nvrtcResult status, const char* call) {
  if (status != NVRTC_SUCCESS) {
    throw std::runtime_error(std::string("NVRTC: ") + call + ": " + nvrtcGetErrorString(status));
  }
}

class Program {
 public:
  Program() {
    check(nvrtcCreateProgram(&program_, kSource, "swiglu.cu", 0, nullptr, nullptr),
          "nvrtcCreateProgram");
  }
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;
  ~Program() { nvrtcDestroyProgram(&program_); }

  void compile(const std::string& header_dir, const std::string& arch) {
    const std::string arch_option = "--gpu-architecture=" + arch;
    const std::string include_option = "--include-path=" + cuda::narrow(header_dir);
    const char* options[] = {arch_option.c_str(), include_option.c_str(), "--std=c++17"};
    const nvrtcResult status = nvrtcCompileProgram(program_, 3, options);
    if (status == NVRTC_SUCCESS) return;
    std::string message = "NVRTC could not compile for " + arch + ": " +
                          nvrtcGetErrorString(status);
    if (status == NVRTC_ERROR_BUILTIN_OPERATION_FAILURE) {
      // NVRTC opens this library by name when it first compiles; its log
      // does not always say so.
      message += " (is libnvrtc-builtins of NVRTC " + nvrtc_version() +
                 " beside the NVRTC library?)";
    }
    const std::string text = log();
    if (!text.empty()) message += "\n" + text;
    throw std::runtime_error(message);
  }

  std::vector<char> cubin() const {
    std::size_t size = 0;
    check(nvrtcGetCUBINSize(program_, &size), "nvrtcGetCUBINSize");
    std::vector<char> bytes(size);
    check(nvrtcGetCUBIN(program_, bytes.data()), "nvrtcGetCUBIN");
    return bytes;
  }

 private:
  std::string log() const {
    std::size_t size = 0;  // counts the final NUL
    if (nvrtcGetProgramLogSize(program_, &size) != NVRTC_SUCCESS || size <= 1) return {};
    std::string text(size, '\0');
    if (nvrtcGetProgramLog(program_, text.data()) != NVRTC_SUCCESS) return {};
    text.resize(text.find_last_not_of(std::string("\0\n ", 3)) + 1);
    return text;
  }

  nvrtcProgram program_ = nullptr;
};

std::vector<char> compile(const std::string& header_dir, const std::string& arch) {
  Program program;
  program.compile(header_dir, arch);
  return program.cubin();
}

// "sm_80", and for Hopper "sm_90a", whose plain form leaves out the
// architecture's own instructions.
std::string device_arch() {
  int device = 0;
  int major = 0;
  int minor = 0;
  cuda::check(cudaGetDevice(&device), "cudaGetDevice");
  cuda::check(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device),
              "cudaDeviceGetAttribute");
  cuda::check(cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device),
              "cudaDeviceGetAttribute");
  std::string arch = "sm_" + std::to_string(major) + std::to_string(minor);
  if (major == 9 && minor == 0) arch += "a";
  return arch;
}

}  // namespace

std::string nvrtc_version() {
  cuda::require_libraries();
  int major = 0;
  int minor = 0;
  check(nvrtcVersion(&major, &minor), "nvrtcVersion");
  return std::to_string(major) + "." + std::to_string(minor);
}

std::string nvrtc_header_dir(const std::string& program_dir) {
  const fs::path program = fs::u8path(program_dir);
#ifdef _WIN32
  std::vector<fs::path> candidates = {program / "include" / "cccl"};
#else
  std::vector<fs::path> candidates = {program.parent_path() / "include" / "cccl"};
#endif
  std::string unset;
  for (const char* name : {"CUDA_HOME", "CUDA_PATH"}) {
    const char* value = std::getenv(name);
    if (value == nullptr || *value == '\0') {
      unset += (unset.empty() ? "" : " and ") + std::string(name);
      continue;
    }
    candidates.push_back(fs::path(value) / "include" / "cccl");
    candidates.push_back(fs::path(value) / "include");
  }
  std::string looked;
  for (const fs::path& candidate : candidates) {
    std::error_code ignored;  // an unreadable directory holds no header either
    if (fs::is_regular_file(candidate / "cuda" / "std" / "tuple", ignored)) {
      return candidate.u8string();
    }
    looked += (looked.empty() ? "" : ", ") + candidate.u8string();
  }
  throw std::runtime_error(
      "the CUDA C++ header cuda/std/tuple is missing, which run-time compilation needs: looked in " +
      looked + (unset.empty() ? "" : " (not set: " + unset + ")"));
}

std::size_t nvrtc_compile(const std::string& header_dir, const std::string& arch) {
  cuda::require_libraries();
  return compile(header_dir, arch).size();
}

namespace cuda {

SwiGlu::SwiGlu(const std::string& program_dir) {
  const std::vector<char> cubin = compile(nvrtc_header_dir(program_dir), device_arch());
  // The runtime's own library functions, not the driver's cuModule ones: the
  // program must start where there is no driver, so it cannot link libcuda.
  check(cudaLibraryLoadData(&library_, cubin.data(), nullptr, nullptr, 0, nullptr, nullptr, 0),
        "cudaLibraryLoadData");
  const cudaError_t found = cudaLibraryGetKernel(&kernel_, library_, "swiglu");
  if (found != cudaSuccess) {
    cudaLibraryUnload(library_);
    check(found, "cudaLibraryGetKernel");
  }
}

SwiGlu::~SwiGlu() { cudaLibraryUnload(library_); }

void SwiGlu::launch(const float* gate, const float* up, float* out, std::uint32_t count,
                    cudaStream_t stream) const {
  void* arguments[] = {&gate, &up, &out, &count};
  const unsigned blocks = (count + kThreads - 1) / kThreads;
  check(cudaLaunchKernel(reinterpret_cast<const void*>(kernel_), dim3(blocks), dim3(kThreads),
                         arguments, 0, stream),
        "launch of swiglu");
}

}  // namespace cuda
}  // namespace tinylm
