# Kernels, which tests/emulation builds as well, and calls of libraries, for which it has stand-ins.
set(EVENFLOW_CUDA_LIBRARY_CALLS
  blas.cu dnn.cu fft.cu nccl.cu probe.cu runtime.cu sort.cu)
list(TRANSFORM EVENFLOW_CUDA_LIBRARY_CALLS PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
file(GLOB EVENFLOW_CUDA_KERNELS CONFIGURE_DEPENDS ${CMAKE_CURRENT_LIST_DIR}/*.cu)
list(REMOVE_ITEM EVENFLOW_CUDA_KERNELS ${EVENFLOW_CUDA_LIBRARY_CALLS})
