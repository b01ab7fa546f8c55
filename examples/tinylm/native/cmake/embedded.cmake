# The kernels as fat binaries, which any host's nvcc makes for every target.
if(NOT TINYLM_NVCC OR NOT TINYLM_GENCODE OR NOT TINYLM_CUDA_INCLUDE)
  message(FATAL_ERROR "embedded kernels need TINYLM_NVCC, TINYLM_GENCODE and TINYLM_CUDA_INCLUDE")
endif()
target_include_directories(tinylm_native SYSTEM PRIVATE "${TINYLM_CUDA_INCLUDE}")

set(fatbins)
set(definitions)
foreach(name IN ITEMS layers matvec)
  set(source "${CMAKE_CURRENT_SOURCE_DIR}/src/cuda/${name}.cu")
  set(fatbin "${CMAKE_CURRENT_BINARY_DIR}/${name}.fatbin")
  add_custom_command(
    OUTPUT "${fatbin}"
    COMMAND "${TINYLM_NVCC}" -fatbin -std=c++17 -O3 ${TINYLM_GENCODE} -o "${fatbin}" "${source}"
    DEPENDS "${source}" src/cuda/device.h
    COMMENT "nvcc -fatbin ${name}.cu"
    VERBATIM)
  list(APPEND fatbins "${fatbin}")
  string(TOUPPER ${name} upper)
  list(APPEND definitions "TINYLM_FATBIN_${upper}=\"${fatbin}\"")
endforeach()
target_sources(tinylm_native PRIVATE src/cuda/kernels_embedded.cpp)
set_source_files_properties(src/cuda/kernels_embedded.cpp PROPERTIES
  COMPILE_DEFINITIONS "${definitions}"
  OBJECT_DEPENDS "${fatbins}")
