# Each tests/<room>/fuzz_*.cpp is a libFuzzer program of the same name (./dev fuzz).
if(NOT CMAKE_CXX_COMPILER_ID MATCHES Clang)
  message(FATAL_ERROR "EVENFLOW_FUZZ needs clang, for libFuzzer: cmake --preset fuzz")
endif()
# The rooms that read files tell libFuzzer which of their edges an input reaches; unmerged, those of the files a reader
# needs.
foreach(room io frontend statistics detect loop profile)
  # The depth of the stack depends on its address, and would make each run differ.
  target_compile_options(evenflow_${room} PRIVATE -fsanitize=fuzzer-no-link -fno-sanitize-coverage=stack-depth)
  set_target_properties(evenflow_${room} PROPERTIES UNITY_BUILD OFF)
endforeach()
# The kernels read none: plain, they compile in a fraction of the time.
get_target_property(sources evenflow_kernels SOURCES)
list(TRANSFORM sources PREPEND ${PROJECT_SOURCE_DIR}/kernels/)
set_source_files_properties(${sources} TARGET_DIRECTORY evenflow_kernels
  PROPERTIES COMPILE_OPTIONS "-fno-sanitize=all;-O0")
# What every fuzzer is made of. -no-pie: a check of the undefined sanitizer branches on the addresses of virtual tables.
add_library(evenflow_fuzzer OBJECT ${PROJECT_SOURCE_DIR}/tests/support/fuzzer.cpp ${PROJECT_SOURCE_DIR}/tests/io/hdf5_edits.cpp)
target_include_directories(evenflow_fuzzer PUBLIC ${PROJECT_SOURCE_DIR})
target_link_libraries(evenflow_fuzzer PUBLIC evenflow::options evenflow::io)
target_link_options(evenflow_fuzzer INTERFACE -fsanitize=fuzzer -no-pie)
set(evenflow_fuzz_link_experiments evenflow::profile)
set(evenflow_fuzz_link_train evenflow::loop)
add_custom_target(evenflow_fuzz)
file(GLOB _fuzzers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/tests/*/fuzz_*.cpp)
foreach(source ${_fuzzers})
  cmake_path(GET source STEM name)
  cmake_path(GET source PARENT_PATH folder)
  cmake_path(GET folder FILENAME room)
  if(NOT DEFINED evenflow_fuzz_link_${room})
    set(evenflow_fuzz_link_${room} evenflow::${room})
  endif()
  add_executable(${name} ${source})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzzers)
  target_link_libraries(${name} PRIVATE evenflow_fuzzer ${evenflow_fuzz_link_${room}})
  add_dependencies(evenflow_fuzz ${name})
endforeach()
