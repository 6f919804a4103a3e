/*
 * command: the list of sub-commands. Each stands in a file of its own name and gets its own argv,
 * argv[0] being "hpo NAME"; it returns the exit code.
 */
#ifndef HPO_TOOLS_COMMAND_H
#define HPO_TOOLS_COMMAND_H

int command_run(int argc, char **argv);
int command_create(int argc, char **argv);
int command_ask(int argc, char **argv);
int command_tell(int argc, char **argv);
int command_abandon(int argc, char **argv);
int command_enqueue(int argc, char **argv);
int command_studies(int argc, char **argv);
int command_show(int argc, char **argv);
int command_trials(int argc, char **argv);
int command_trial(int argc, char **argv);
int command_best(int argc, char **argv);
int command_log(int argc, char **argv);
int command_stat(int argc, char **argv);
int command_diff(int argc, char **argv);

#endif
