# evenflow::version, a library of two functions (io/version.h): the release and the commit it was built from.
# The commit is asked for at every build, not at configuration: a stamp in a model file must not name an older commit.
set(_stamp ${CMAKE_CURRENT_BINARY_DIR}/generated/version.cpp)
add_custom_target(evenflow_stamp
  COMMAND ${CMAKE_COMMAND} -DSOURCE_DIR=${PROJECT_SOURCE_DIR} -DVERSION=${PROJECT_VERSION}
          -DTEMPLATE=${PROJECT_SOURCE_DIR}/io/version.cpp.in -DOUTPUT=${_stamp}
          -P ${PROJECT_SOURCE_DIR}/cmake/stamp.cmake
  BYPRODUCTS ${_stamp}
  COMMENT "Stamping the commit")
add_library(evenflow_version STATIC ${_stamp})
add_library(evenflow::version ALIAS evenflow_version)
add_dependencies(evenflow_version evenflow_stamp)
set_target_properties(evenflow_version PROPERTIES EXPORT_NAME version POSITION_INDEPENDENT_CODE ON)
target_include_directories(evenflow_version PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include/evenflow>)
target_compile_features(evenflow_version PUBLIC cxx_std_20)
target_link_libraries(evenflow_version PRIVATE $<BUILD_INTERFACE:evenflow::options>)
