#include "narrow.h"

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>

#include <filesystem>
#include <stdexcept>

namespace tinylm::cuda {
namespace {

// Empty if the code page lacks a character of it.
std::string in_code_page(const std::wstring& text) {
  BOOL lost = FALSE;
  // A code page of UTF-8 takes no pointer to `lost`: nothing is ever lost there.
  BOOL* const tell = GetACP() == CP_UTF8 ? nullptr : &lost;
  const DWORD flags = tell == nullptr ? 0 : WC_NO_BEST_FIT_CHARS;
  const int wide = static_cast<int>(text.size());
  const int size = WideCharToMultiByte(CP_ACP, flags, text.data(), wide, nullptr, 0, nullptr, tell);
  std::string out(static_cast<std::size_t>(size), '\0');
  if (WideCharToMultiByte(CP_ACP, flags, text.data(), wide, out.data(), size, nullptr, tell) == 0 ||
      lost) {
    return {};
  }
  return out;
}

std::wstring short_name(const std::wstring& path) {
  std::wstring out(GetShortPathNameW(path.c_str(), nullptr, 0), L'\0');
  if (!out.empty()) {
    out.resize(GetShortPathNameW(path.c_str(), out.data(), static_cast<DWORD>(out.size())));
  }
  return out;
}

}  // namespace

std::string narrow(const std::string& path) {
  const std::wstring wide = std::filesystem::u8path(path).wstring();
  for (const std::wstring& name : {wide, short_name(wide)}) {
    const std::string out = in_code_page(name);
    if (!out.empty()) return out;
  }
  throw std::runtime_error("the path " + path +
                           " has characters outside of the system's code page, which NVRTC cannot "
                           "open: move the program to another directory");
}

}  // namespace tinylm::cuda
