// Finds NVIDIA's DLLs in the directories of the package. They are imported with
// delay, and the hook here says where each of them lies: Windows itself looks
// beside the program only, and knows no run path.
//
// Microsoft, "Linker support for delay-loaded DLLs": the helper calls the hooks
// below, if the program defines them.
#include "libraries.h"

#define WIN32_LEAN_AND_MEAN
#define NOMINMAX
#include <windows.h>
// After windows.h, whose types it uses.
#include <delayimp.h>

#include <cstdio>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace fs = std::filesystem;

namespace tinylm::cuda {
namespace {

struct Library {
  const char* name;          // as the program imports it
  const wchar_t* directory;  // relative to the program's
};

// The build script writes them: what RELMAT_DELAY_LOAD says of the package's
// layout.
constexpr Library kLibraries[] = {
#include TINYLM_LIBRARIES
};

// The libraries that the program imports with delay, as its own headers list
// them (Microsoft, "PE Format", the delay-load directory table). The table above
// has others too, and what a linker made of an import library is not for the
// sources to say.
std::vector<const char*> delayed() {
  const char* base = reinterpret_cast<const char*>(GetModuleHandleW(nullptr));
  const auto* dos = reinterpret_cast<const IMAGE_DOS_HEADER*>(base);
  const auto* headers = reinterpret_cast<const IMAGE_NT_HEADERS*>(base + dos->e_lfanew);
  const IMAGE_DATA_DIRECTORY& directory =
      headers->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_DELAY_IMPORT];
  std::vector<const char*> names;
  if (directory.VirtualAddress == 0) return names;
  const auto* entry = reinterpret_cast<const ImgDelayDescr*>(base + directory.VirtualAddress);
  for (; entry->rvaDLLName != 0; ++entry) names.push_back(base + entry->rvaDLLName);
  return names;
}

const Library* find(const char* name) {
  for (const Library& library : kLibraries) {
    if (_stricmp(library.name, name) == 0) return &library;
  }
  return nullptr;
}

std::wstring variable(const wchar_t* name) {
  std::wstring value(GetEnvironmentVariableW(name, nullptr, 0), L'\0');
  if (value.empty()) return value;
  value.resize(GetEnvironmentVariableW(name, value.data(), static_cast<DWORD>(value.size())));
  return value;
}

fs::path program_directory() {
  std::wstring path(MAX_PATH, L'\0');
  for (;;) {
    const DWORD size = GetModuleFileNameW(nullptr, path.data(), static_cast<DWORD>(path.size()));
    if (size < path.size()) {
      path.resize(size);
      return fs::path(path).parent_path();
    }
    path.resize(2 * path.size());
  }
}

bool begins(const char* name, const char* with) {
  return _strnicmp(name, with, std::char_traits<char>::length(with)) == 0;
}

// Where a library lies: where the user says that the libraries of CUDA or
// cuDNN are, else where the package has it.
fs::path directory_of(const Library& library) {
  const std::wstring asked =
      variable(begins(library.name, "cudnn") ? L"MLX_CUDNN_BIN_DIR" : L"MLX_CUDA_BIN_DIR");
  if (!asked.empty()) return asked;
  return (program_directory() / library.directory).lexically_normal();
}

HMODULE load_file(const fs::path& path) {
  // What the library imports may lie beside it, as in a toolkit, or beside the
  // program, where a package has what is imported by others.
  return LoadLibraryExW(path.c_str(), nullptr,
                        LOAD_LIBRARY_SEARCH_DLL_LOAD_DIR | LOAD_LIBRARY_SEARCH_DEFAULT_DIRS);
}

// NVRTC opens its builtins by name, for which Windows does not look in NVRTC's
// own directory. A module that is loaded already is found by its name anywhere.
void load_builtins(const fs::path& directory) {
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(directory, ignored)) {
    const std::string name = entry.path().filename().u8string();
    if (begins(name.c_str(), "nvrtc-builtins") && name.find(".alt.") == std::string::npos) {
      load_file(entry.path());
    }
  }
}

HMODULE load(const Library& library) {
  const fs::path directory = directory_of(library);
  const HMODULE module = load_file(directory / fs::u8path(library.name));
  if (module != nullptr && begins(library.name, "nvrtc64_")) load_builtins(directory);
  return module;
}

std::string missing(const Library& library) {
  const DWORD reason = GetLastError();
  const fs::path path = directory_of(library) / fs::u8path(library.name);
  std::error_code ignored;
  if (!fs::exists(path, ignored)) {
    return std::string(library.name) + " is missing: it is not in " +
           path.parent_path().u8string() + " and not in the system's path";
  }
  return path.u8string() + " cannot be loaded (Windows error " + std::to_string(reason) +
         (reason == ERROR_MOD_NOT_FOUND ? ": a library that it needs is missing)" : ")");
}

FARPROC WINAPI notify(unsigned event, PDelayLoadInfo info) {
  if (event != dliNotePreLoadLibrary) return nullptr;
  const Library* library = find(info->szDll);
  // Null makes the helper look in Windows' own order.
  return library == nullptr ? nullptr : reinterpret_cast<FARPROC>(load(*library));
}

// Nobody is left who could catch an exception: the call goes through a stub of
// the linker's.
FARPROC WINAPI fail(unsigned event, PDelayLoadInfo info) {
  if (event == dliFailLoadLib) {
    std::fprintf(stderr, "error: %s is missing or cannot be loaded\n", info->szDll);
  } else {
    std::fprintf(stderr, "error: %s lacks a function that this program needs\n", info->szDll);
  }
  std::fflush(stderr);
  ExitProcess(1);
}

}  // namespace

void require_libraries() {
  static bool loaded = false;  // losing a race only loads them twice
  if (loaded) return;
  std::string lacks;
  for (const char* name : delayed()) {
    const Library* library = find(name);
    if (library == nullptr || load(*library) != nullptr) continue;
    const std::string why = missing(*library);
    if (LoadLibraryA(name) != nullptr) continue;
    lacks += (lacks.empty() ? "" : "; ") + why;
  }
  if (!lacks.empty()) throw std::runtime_error(lacks);
  loaded = true;
}

}  // namespace tinylm::cuda

// Microsoft's header declares them constant, MinGW's does not.
#ifdef _MSC_VER
#define TINYLM_HOOK extern "C" const PfnDliHook
#else
#define TINYLM_HOOK PfnDliHook
#endif
TINYLM_HOOK __pfnDliNotifyHook2 = tinylm::cuda::notify;
TINYLM_HOOK __pfnDliFailureHook2 = tinylm::cuda::fail;
