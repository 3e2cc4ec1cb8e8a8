# How a room of the house becomes a library, a program or a test.

add_library(evenflow_options INTERFACE)
add_library(evenflow::options ALIAS evenflow_options)
target_compile_options(evenflow_options INTERFACE $<BUILD_INTERFACE:-Wall -Wextra -Wpedantic -Wconversion -Wno-sign-conversion -Werror>)
if(CMAKE_UNITY_BUILD)
  # Without warnings that take a file's neighbours for its own, or for a header.
  set(file_warnings -Wno-unknown-warning-option -Wno-subobject-linkage -Wshadow=local)
else()
  set(file_warnings -Wshadow)
endif()
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  list(APPEND file_warnings -Wno-restrict) # false ones of text + std::string: gcc's bug 105651, in some builds only
endif()
target_compile_options(evenflow_options INTERFACE $<BUILD_INTERFACE:${file_warnings}>)
if(EVENFLOW_SANITIZE)
  target_compile_options(evenflow_options INTERFACE -fsanitize=${EVENFLOW_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  # Without three checks of every access to memory. AddressSanitizer and the processor stop at what they would find (a null
  # pointer, an object that is gone, an aligned load of what is not), and the convolutions compile seven times as fast.
  # A fuzzer's edges are counted with them.
  if(NOT EVENFLOW_FUZZ)
    target_compile_options(evenflow_options INTERFACE -fno-sanitize=null,vptr,alignment)
  endif()
  target_link_options(evenflow_options INTERFACE -fsanitize=${EVENFLOW_SANITIZE})
endif()

# evenflow_room(NAME SOURCES ... PUBLIC ... PRIVATE ...): static library evenflow_NAME, alias evenflow::NAME.
function(evenflow_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(evenflow_${name} STATIC ${ROOM_SOURCES})
  add_library(evenflow::${name} ALIAS evenflow_${name})
  # The Python module is a shared library of the rooms. One way to compile them serves it and the programs, whose calls
  # within a room are as direct as they were.
  set_target_properties(evenflow_${name} PROPERTIES EXPORT_NAME ${name} POSITION_INDEPENDENT_CODE ON)
  target_compile_options(evenflow_${name} PRIVATE -fno-semantic-interposition)
  target_include_directories(evenflow_${name} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/evenflow>)
  target_compile_features(evenflow_${name} PUBLIC cxx_std_20)
  target_link_libraries(evenflow_${name} PUBLIC ${ROOM_PUBLIC} PRIVATE $<BUILD_INTERFACE:evenflow::options> ${ROOM_PRIVATE})
endfunction()

# What test programs and the headers they share are compiled with.
function(evenflow_test_options name)
  # What is tested is optimised; GoogleTest's matchers would take longer to optimise than to run.
  target_compile_options(${name} PRIVATE $<IF:$<CONFIG:Debug>,-O0,-O1> $<$<CXX_COMPILER_ID:GNU>:-fpch-preprocess>)
  target_link_libraries(${name} PRIVATE evenflow::options GTest::gmock GTest::gtest_main)
endfunction()

# evenflow_test_parts(NAME ROOM): the cases of program NAME in a few processes. Under a sanitizer a process costs more
# than most cases. tests/summary.py counts the cases in what each part leaves.
function(evenflow_test_parts name room)
  set(parts 4)
  foreach(part RANGE 1 ${parts})
    math(EXPR index "${part} - 1")
    add_test(NAME ${name}.part${part} COMMAND ${name} --gtest_output=xml:${PROJECT_BINARY_DIR}/cases/${name}.part${part}.xml)
    set_tests_properties(${name}.part${part} PROPERTIES LABELS ${room} TIMEOUT 1800
      ENVIRONMENT "GTEST_TOTAL_SHARDS=${parts};GTEST_SHARD_INDEX=${index}")
  endforeach()
endfunction()

add_custom_target(evenflow_tests)  # all test programs
# evenflow_test(NAME ROOM SOURCES ... LINK ...): GoogleTest program NAME, its cases registered under label ROOM.
function(evenflow_test name room)
  cmake_parse_arguments(TEST "" "" "SOURCES;LINK" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  target_include_directories(${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name} PRIVATE EVENFLOW_GOLDEN_DIR="${PROJECT_SOURCE_DIR}/tests/golden")
  target_link_libraries(${name} PRIVATE ${TEST_LINK})
  evenflow_test_options(${name})
  target_precompile_headers(${name} REUSE_FROM evenflow_test_headers)
  add_dependencies(evenflow_tests ${name})
  if(EVENFLOW_SANITIZE)
    evenflow_test_parts(${name} ${room})
  else()
    gtest_discover_tests(${name} PROPERTIES LABELS ${room} TIMEOUT 600 DISCOVERY_TIMEOUT 60 NO_PRETTY_VALUES)
  endif()
endfunction()
