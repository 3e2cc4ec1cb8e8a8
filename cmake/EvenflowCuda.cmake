# The CUDA backend: nvcc as a language, and the toolkit's libraries. Included with EVENFLOW_CUDA=ON only.
find_package(CUDAToolkit QUIET)
if(NOT CUDAToolkit_FOUND)
  message(FATAL_ERROR "EVENFLOW_CUDA is ON but no CUDA toolkit was found: install one and put its nvcc on PATH "
                      "(or set CUDAToolkit_ROOT), or configure with EVENFLOW_CUDA=OFF.")
endif()
message(STATUS "CUDA toolkit ${CUDAToolkit_VERSION} (${CUDAToolkit_BIN_DIR})")

if(NOT CMAKE_CUDA_COMPILER)
  set(CMAKE_CUDA_COMPILER ${CUDAToolkit_NVCC_EXECUTABLE})
endif()
if(NOT CMAKE_CUDA_ARCHITECTURES)
  # Machine code for Ampere and Hopper, and Hopper's PTX for what comes after (Blackwell: 10.0 and 12.0), which only a
  # driver as new as the toolkit translates. kernels/cuda/check_code.py holds a build to it.
  set(CMAKE_CUDA_ARCHITECTURES 80-real 90)
endif()
if(EVENFLOW_CCACHE AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${EVENFLOW_CCACHE})
endif()
enable_language(CUDA)
# CMake 3.25 does not know that nvcc 12 and later take -std=c++20.
if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
# Where the program and the tests look for the backend's library: the build's folder, then the installation's.
list(APPEND CMAKE_BUILD_RPATH ${PROJECT_BINARY_DIR}/kernels/cuda)
include(GNUInstallDirs)
list(APPEND CMAKE_INSTALL_RPATH $ORIGIN/../${CMAKE_INSTALL_LIBDIR})
