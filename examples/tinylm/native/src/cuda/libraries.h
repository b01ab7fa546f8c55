// The libraries of CUDA that the program is linked with.
#pragma once

namespace tinylm::cuda {

#ifdef _WIN32
// Loads them, where that was not done yet. A failure names each one that is not
// there and where it was looked for. Whoever calls into them calls this first:
// on Windows they are loaded when they are first used, and one that is missing
// then ends the program in the middle of a call.
void require_libraries();
#else
// The system's loader has found them, or the program would not run.
inline void require_libraries() {}
#endif

}  // namespace tinylm::cuda
