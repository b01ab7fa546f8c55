# The kernels as objects that nvcc compiles with the C++ compiler's help.
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
  message(FATAL_ERROR "CMAKE_CUDA_ARCHITECTURES is not set: name the architectures to compile for")
endif()
enable_language(CUDA)
# cudaLibraryLoadData and its companions, which launch the kernel compiled
# at run time without linking libcuda, came with 12.8.
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
  message(FATAL_ERROR "CUDA 12.8 or newer is needed, found ${CMAKE_CUDA_COMPILER_VERSION}")
endif()
# The compiler's own headers, not find_package(CUDAToolkit), which in
# CMake 3.25 stumbles over toolkits without the old nvToolsExt. Libraries
# are no concern here: cargo links them.
target_include_directories(tinylm_native SYSTEM PRIVATE ${CMAKE_CUDA_TOOLKIT_INCLUDE_DIRECTORIES})

target_sources(tinylm_native PRIVATE
  src/cuda/kernels_linked.cpp
  src/cuda/layers.cu
  src/cuda/matvec.cu)
target_compile_features(tinylm_native PRIVATE cuda_std_17)
set_target_properties(tinylm_native PROPERTIES
  CUDA_EXTENSIONS OFF
  CUDA_RUNTIME_LIBRARY Shared
  # Without relocatable device code each object is complete: cargo links
  # the library with the host linker alone, there is no device link step.
  CUDA_SEPARABLE_COMPILATION OFF)
foreach(option IN LISTS tinylm_host_options)
  target_compile_options(tinylm_native PRIVATE
    $<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=${option}>)
endforeach()
