# find_package(Bulkhead) for CMake 3.10 and later: bulkhead::bulkhead is the shared library, bulkhead::static the other one.
# Installed as <prefix>/lib/cmake/Bulkhead/BulkheadConfig.cmake.
get_filename_component(_bulkhead_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
find_package(Threads REQUIRED)

if(NOT TARGET bulkhead::bulkhead)
  add_library(bulkhead::bulkhead SHARED IMPORTED)
  set_target_properties(bulkhead::bulkhead PROPERTIES
    IMPORTED_LOCATION "${_bulkhead_prefix}/lib/libbulkhead.so"
    IMPORTED_SONAME libbulkhead.so.@ABI@
    INTERFACE_INCLUDE_DIRECTORIES "${_bulkhead_prefix}/include")

  add_library(bulkhead::static STATIC IMPORTED)
  set_target_properties(bulkhead::static PROPERTIES
    IMPORTED_LOCATION "${_bulkhead_prefix}/lib/libbulkhead.a"
    INTERFACE_INCLUDE_DIRECTORIES "${_bulkhead_prefix}/include"
    INTERFACE_LINK_LIBRARIES "Threads::Threads;${CMAKE_DL_LIBS};m")
endif()
unset(_bulkhead_prefix)
