# cmake --install: the program, the rooms' libraries and public headers, and what find_package(evenflow) reads.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(_package ${CMAKE_INSTALL_LIBDIR}/cmake/evenflow)

foreach(room version kernels io frontend flow statistics detect loop)
  if(TARGET evenflow_${room})
    install(TARGETS evenflow_${room} EXPORT evenflowTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
  endif()
endforeach()
foreach(room kernels io frontend flow train/statistics train/detect train/loop)
  # The headers at the top of a room or chamber are its public ones.
  file(GLOB _headers CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${room}/*.h)
  install(FILES ${_headers} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/evenflow/${room})
endforeach()
if(TARGET evenflow)
  install(TARGETS evenflow RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()

install(EXPORT evenflowTargets NAMESPACE evenflow:: DESTINATION ${_package})
configure_package_config_file(cmake/evenflowConfig.cmake.in generated/evenflowConfig.cmake INSTALL_DESTINATION ${_package})
write_basic_package_version_file(generated/evenflowConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/generated/evenflowConfig.cmake ${PROJECT_BINARY_DIR}/generated/evenflowConfigVersion.cmake
              cmake/EvenflowLinked.cmake third_party/FindHDF5Static.cmake
        DESTINATION ${_package})
install(FILES LICENSE NOTICE DESTINATION ${CMAKE_INSTALL_DOCDIR})
