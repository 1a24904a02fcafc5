/* SPDX-License-Identifier: MIT */
/* peak PROGRAM [ARG]...: runs it and writes its peak memory, in kB, as the last line of stderr.
 *
 * Not getrusage in Python: a process inherits the peak of the one that it was forked from, so
 * whoever measures must be smaller than what is measured. */
#include <stdio.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    struct rusage usage;
    int status;
    pid_t pid;

    if (argc < 2)
        return 2;
    pid = fork();
    if (pid == 0) {
        execvp(argv[1], argv + 1);
        _exit(127);
    }
    if (pid < 0 || wait4(pid, &status, 0, &usage) != pid)
        return 2;
    dprintf(STDERR_FILENO, "%ld\n", usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 2;
}
