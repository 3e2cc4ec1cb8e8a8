# HDF5's C library as evenflow::hdf5, linked statically where possible: the shared one pulls in 33 others (curl, ldap, ...).
find_path(HDF5Static_INCLUDE_DIR hdf5.h PATH_SUFFIXES hdf5/serial)
if(EVENFLOW_PYTHON)
  # The distribution's static one cannot be part of a shared library: it is not position-independent.
  find_library(HDF5Static_LIBRARY NAMES hdf5_serial hdf5)
else()
  find_library(HDF5Static_LIBRARY NAMES libhdf5_serial.a libhdf5.a hdf5_serial hdf5)
endif()
find_library(HDF5Static_SZ NAMES libsz.a sz)
find_library(HDF5Static_AEC NAMES libaec.a aec)
find_library(HDF5Static_Z NAMES libz.a z)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(HDF5Static REQUIRED_VARS HDF5Static_LIBRARY HDF5Static_INCLUDE_DIR HDF5Static_SZ HDF5Static_AEC HDF5Static_Z)
mark_as_advanced(HDF5Static_INCLUDE_DIR HDF5Static_LIBRARY HDF5Static_SZ HDF5Static_AEC HDF5Static_Z)
if(HDF5Static_FOUND AND NOT TARGET evenflow::hdf5)
  find_package(Threads REQUIRED)
  # Imported, so that an installed evenflow names it and finds it again with this module.
  add_library(evenflow::hdf5 INTERFACE IMPORTED)
  set(_libraries ${HDF5Static_LIBRARY})
  if(NOT EVENFLOW_PYTHON)
    list(APPEND _libraries ${HDF5Static_SZ} ${HDF5Static_AEC} ${HDF5Static_Z})
  endif()
  list(APPEND _libraries ${CMAKE_DL_LIBS} Threads::Threads m)
  set_target_properties(evenflow::hdf5 PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES ${HDF5Static_INCLUDE_DIR}
    INTERFACE_LINK_LIBRARIES "${_libraries}")
endif()
