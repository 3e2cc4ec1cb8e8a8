# Installs BUILD into a scratch prefix, then configures, builds and runs the project CONSUMER against it.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE failed OUTPUT_VARIABLE output ERROR_VARIABLE output)
  message("${output}")
  set(output "${output}" PARENT_SCOPE)
  if(failed)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed: ${command}")
  endif()
endfunction()

file(REMOVE_RECURSE ${SCRATCH})
run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix)
run(${CMAKE_COMMAND} -S ${CONSUMER} -B ${SCRATCH}/build -G Ninja -DCMAKE_PREFIX_PATH=${SCRATCH}/prefix -DVERSION=${VERSION}
    -DCMAKE_CXX_COMPILER=${COMPILER} "-DCMAKE_EXE_LINKER_FLAGS=${LINK_FLAGS}")
run(${CMAKE_COMMAND} --build ${SCRATCH}/build)
run(${SCRATCH}/build/consumer)
run(${SCRATCH}/prefix/bin/evenflow --version)
if(NOT output MATCHES "^evenflow ${VERSION} ")
  message(FATAL_ERROR "expected version ${VERSION} of the installed program, got: ${output}")
endif()

# The installed program finds, or misses, the CUDA backend's library by itself.
find_library(driver NAMES libcuda.so.1)
if(NOT driver)
  execute_process(
    COMMAND ${SCRATCH}/prefix/bin/evenflow prepare ${SCRATCH}/none.csv --out ${SCRATCH}/none.h5 --device cuda:0
    RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(code EQUAL 0 OR NOT output MATCHES "${WHY_NO_CUDA}")
    message(FATAL_ERROR "expected '${WHY_NO_CUDA}' of the installed program, got ${code}: ${output}")
  endif()
endif()
file(REMOVE_RECURSE ${SCRATCH})
