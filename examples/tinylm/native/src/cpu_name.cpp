#include <cstring>

#include "tinylm/model.h"

#if defined(_M_X64) || defined(_M_IX86)
#include <intrin.h>
#elif defined(__x86_64__) || defined(__i386__)
#include <cpuid.h>
#elif defined(__APPLE__)
#include <sys/sysctl.h>
#endif

namespace tinylm {
namespace {

#if defined(_M_X64) || defined(_M_IX86)
#define TINYLM_HAS_CPUID
void cpuid(unsigned leaf, unsigned (&out)[4]) {
  int registers[4];
  __cpuid(registers, static_cast<int>(leaf));
  std::memcpy(out, registers, sizeof out);
}
#elif defined(__x86_64__) || defined(__i386__)
#define TINYLM_HAS_CPUID
void cpuid(unsigned leaf, unsigned (&out)[4]) {
  __cpuid(leaf, out[0], out[1], out[2], out[3]);
}
#endif

std::string raw_name() {
#if defined(TINYLM_HAS_CPUID)
  // Three leaves of sixteen bytes hold the "brand string".
  unsigned out[4];
  cpuid(0x80000000u, out);
  if (out[0] < 0x80000004u) return {};
  char name[49] = {};
  for (unsigned leaf = 0; leaf < 3; ++leaf) {
    cpuid(0x80000002u + leaf, out);
    std::memcpy(name + 16 * leaf, out, 16);
  }
  return name;
#elif defined(__APPLE__)
  char name[128] = {};
  std::size_t size = sizeof name - 1;
  return sysctlbyname("machdep.cpu.brand_string", name, &size, nullptr, 0) == 0 ? name : "";
#elif defined(__aarch64__) || defined(_M_ARM64)
  return "64-bit Arm processor";
#else
  return {};
#endif
}

}  // namespace

std::string cpu_name() {
  const std::string name = raw_name();
  const char* blank = " \t\n";
  const std::size_t first = name.find_first_not_of(blank);
  if (first == std::string::npos) return "unknown processor";
  return name.substr(first, name.find_last_not_of(blank) - first + 1);
}

}  // namespace tinylm
