# Kernels, which tests/emulation builds as well, and calls of libraries, for which it has stand-ins.
set(EVENFLOW_CUDA_KERNELS
  actnorm.cu adam.cu affine.cu classes.cu coupling.cu fused.cu fused_backward.cu fused_forward.cu gather.cu gaussian.cu
  invconv.cu invconv_weight.cu latent.cu layered.cu linear.cu log_det.cu logmel.cu order.cu squeeze.cu train_step.cu
  variational.cu)
set(EVENFLOW_CUDA_LIBRARY_CALLS
  blas.cu dnn.cu fft.cu probe.cu sort.cu)
list(TRANSFORM EVENFLOW_CUDA_KERNELS PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
list(TRANSFORM EVENFLOW_CUDA_LIBRARY_CALLS PREPEND ${CMAKE_CURRENT_LIST_DIR}/)
