# The tests of what the commands need no store for, included by tests/unit/CMakeLists.txt.
foreach(module number searchspace algorithm placeholder result outcome writer compare workdir text)
    hpo_unit(${module} hpo_tool_parts m)
endforeach()
