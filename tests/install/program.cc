// hpo.h from C++11: options by assignment, since designated initialisers are C.
#include <hpo.h>

#include <cstdio>
#include <string>
#include <vector>

int main(int argc, char **argv)
{
    if (argc != 2)
        return 2;

    hpo_store *store = nullptr;
    if (hpo_open(argv[1], nullptr, &store) < 0)
        return 1;

    hpo_param lr = {};
    lr.name = "lr";
    lr.distribution.kind = HPO_FLOAT;
    lr.distribution.flags = HPO_LOG;
    lr.distribution.low = 1e-5;
    lr.distribution.high = 1e-1;
    std::vector<hpo_param> space{lr};
    hpo_study_options options = {};
    options.size = sizeof(options);
    options.params = space.data();
    options.param_count = space.size();

    hpo_study *study = nullptr;
    if (hpo_study_create(store, "c++", &options, &study) < 0)
        return 1;
    hpo_ask_options until = {};
    until.size = sizeof(until);
    until.total = 5;
    hpo_trial *trial = nullptr;
    while (hpo_ask(study, &until, &trial) == 0) {
        double value = 0;
        if (hpo_suggest_float(trial, "lr", 1e-5, 1e-1, HPO_LOG, &value) < 0 ||
            hpo_tell(trial, HPO_COMPLETE, &value, 1) < 0)
            return 1;
        hpo_trial_free(trial);
    }

    hpo_cursor *cursor = nullptr;
    const hpo_trial_info *info = nullptr;
    unsigned complete = 0;
    if (hpo_trial_list(study, 1u << HPO_COMPLETE, &cursor) < 0)
        return 1;
    while (hpo_cursor_next_trial(cursor, &info) == 0)
        complete += std::string(info->params[0].name) == "lr";
    hpo_cursor_free(cursor);
    return hpo_close(store) == 0 && complete == 5 ? 0 : 1;
}
