# libhpo itself: the layers' objects together, as libhpo.so.0 (only hpo.h's symbols, versioned) and as libhpo.a
# (one relocatable object whose hidden symbols have become local, so that names like log_open or hash64 cannot meet
# those of the program that it is linked into).
set(HPO_LAYERS hpo_os hpo_wal hpo_fold hpo_samplers hpo_api)
set(HPO_OBJECTS "")
foreach(layer ${HPO_LAYERS})
    list(APPEND HPO_OBJECTS $<TARGET_OBJECTS:${layer}>)
endforeach()

add_library(hpo SHARED ${HPO_OBJECTS})
set_target_properties(hpo PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION 0 LINKER_LANGUAGE C
    LINK_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/libhpo.map)
target_link_options(hpo PRIVATE -Wl,--version-script=${CMAKE_CURRENT_SOURCE_DIR}/libhpo.map -Wl,--no-undefined-version)
if(NOT HPO_SANITIZER)
    target_link_options(hpo PRIVATE -Wl,-z,defs)
endif()
target_link_libraries(hpo PRIVATE PkgConfig::LMDB PkgConfig::XXHASH Threads::Threads)
target_include_directories(hpo INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)

set(HPO_ONE_OBJECT ${CMAKE_CURRENT_BINARY_DIR}/libhpo.o)
add_custom_command(OUTPUT ${HPO_ONE_OBJECT}
    COMMAND ${CMAKE_LINKER} -r -o ${HPO_ONE_OBJECT} ${HPO_OBJECTS}
    COMMAND ${CMAKE_OBJCOPY} --localize-hidden ${HPO_ONE_OBJECT}
    DEPENDS ${HPO_OBJECTS} COMMAND_EXPAND_LISTS VERBATIM)
set_source_files_properties(${HPO_ONE_OBJECT} PROPERTIES EXTERNAL_OBJECT TRUE GENERATED TRUE)
add_library(hpo_static STATIC ${HPO_ONE_OBJECT})
set_target_properties(hpo_static PROPERTIES OUTPUT_NAME hpo LINKER_LANGUAGE C EXPORT_NAME hpo_static)
target_include_directories(hpo_static INTERFACE $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/include>
    $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
target_link_libraries(hpo_static INTERFACE $<BUILD_INTERFACE:PkgConfig::LMDB> $<BUILD_INTERFACE:PkgConfig::XXHASH>
    $<INSTALL_INTERFACE:lmdb> $<INSTALL_INTERFACE:xxhash> Threads::Threads)

add_library(hpo::hpo ALIAS hpo)
add_library(hpo::hpo_static ALIAS hpo_static)

# -- installing --
include(CMakePackageConfigHelpers)
set(HPO_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/hpo)
install(TARGETS hpo hpo_static EXPORT hpo
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(FILES include/hpo.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT hpo NAMESPACE hpo:: FILE hpoTargets.cmake DESTINATION ${HPO_CMAKE_DIR})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/hpoConfig.cmake.in
    ${CMAKE_CURRENT_BINARY_DIR}/hpoConfig.cmake INSTALL_DESTINATION ${HPO_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/hpoConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/hpoConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/hpoConfigVersion.cmake
    DESTINATION ${HPO_CMAKE_DIR})
file(RELATIVE_PATH HPO_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(hpo.pc.in ${CMAKE_CURRENT_BINARY_DIR}/hpo.pc @ONLY)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/hpo.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
