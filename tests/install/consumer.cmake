# Installs BUILD into a scratch prefix, then configures, builds and runs the project CONSUMER against it.
cmake_minimum_required(VERSION 3.25)
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

# A program that links evenflow::detect alone and the installed program say the same of a recording.
set(evenflow ${SCRATCH}/prefix/bin/evenflow)
run(${evenflow} synth ${SCRATCH}/rails --train-velocities 100,200 --test-velocities 100 --train-distances 100
    --test-distances 100 --train-clips 2 --normal-clips 1 --anomaly-clips 1 --duration 2.5)
run(${evenflow} prepare ${SCRATCH}/rails --out ${SCRATCH}/rails.h5)
run(${evenflow} train ${SCRATCH}/rails.h5 --run ${SCRATCH}/run --epochs 1 --model.blocks 1 --model.steps 1
    --model.hidden 2 --train.validation_fraction 0)
file(GLOB recordings ${SCRATCH}/rails/test/*.wav)
foreach(recording ${recordings})
  run(${evenflow} score --model ${SCRATCH}/run/model.h5 ${recording} --out ${SCRATCH}/scores.csv --force)
  execute_process(COMMAND ${SCRATCH}/build/score_recording ${SCRATCH}/run/model.h5 ${recording}
    RESULT_VARIABLE failed OUTPUT_VARIABLE said ERROR_VARIABLE error)
  file(STRINGS ${SCRATCH}/scores.csv rows)
  list(GET rows 0 names)
  list(GET rows 1 cells)
  string(REPLACE "," ";" names "${names}")
  string(REPLACE "," ";" cells "${cells}")
  list(FIND names score at_score)
  list(FIND names decision at_decision)
  list(GET cells ${at_score} score)
  list(GET cells ${at_decision} decision)
  # As numbers: the table has the fewest digits that read back as the same.
  execute_process(COMMAND printf %.17g ${score} OUTPUT_VARIABLE score)
  if(failed OR NOT said STREQUAL "nll ${score} ${decision}\n")
    message(FATAL_ERROR "of ${recording} the program says '${score} ${decision}', the consumer '${said}' ${error}")
  endif()
endforeach()

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
