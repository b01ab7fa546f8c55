// Paths for libraries that take them as plain characters.
#pragma once

#include <string>

namespace tinylm::cuda {

#ifdef _WIN32
// A path in UTF-8 as NVRTC opens it: in the system's code page, by its short
// (8.3) name where that lacks one of its characters. Fails if there is none.
std::string narrow(const std::string& path);
#else
inline const std::string& narrow(const std::string& path) { return path; }
#endif

}  // namespace tinylm::cuda
