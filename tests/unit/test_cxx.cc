// cxx: hpo.h is a C++ header too: it compiles as C++11, its names have C linkage, its structs are
// plain.
#include "hpo.h"

#include <criterion/criterion.h>
#include <cstdlib>
#include <cstring>
#include <string>
#include <type_traits>
#include <unistd.h>

static_assert(std::is_standard_layout<hpo_options>::value, "options are plain structs");
static_assert(std::is_trivial<hpo_trial_info>::value, "infos are plain structs");
static_assert(HPO_COMPLETE == 1 && HPO_NO_MORE == 1, "enumerators are usable as integers");

Test(cxx, the_header_serves_cplusplus)
{
    const char *base = std::getenv("TMPDIR");
    std::string root = std::string(base ? base : "/tmp") + "/hpo-cxx-XXXXXX";
    cr_assert(mkdtemp(&root[0]) != nullptr);
    std::string path = root + "/s.hpo";
    hpo_options options = {};
    options.size = sizeof(options);
    options.program = "c++";
    hpo_store *store = nullptr;
    hpo_study *study = nullptr;
    hpo_trial *trial = nullptr;
    double value = 0;
    std::int64_t depth = 0;

    cr_assert(hpo_open(path.c_str(), &options, &store) == 0);
    cr_assert(hpo_study_create(store, "s", nullptr, &study) == 0);
    cr_assert(hpo_ask(study, nullptr, &trial) == 0);
    cr_assert(hpo_suggest_float(trial, "x", 0, 1, HPO_LINEAR, &value) == 0);
    cr_assert(hpo_suggest_int(trial, "n", 2, 4, HPO_LINEAR, &depth) == 0);
    cr_assert(hpo_tell(trial, HPO_COMPLETE, &value, 1) == 0);
    cr_assert(std::strcmp(hpo_version(), "0.1.0") == 0);
    cr_assert(hpo_close(store) == 0);
    cr_assert(std::system(("rm -rf '" + root + "'").c_str()) == 0);
}
