/* SPDX-License-Identifier: MIT */
/* Linked into the program for `make coverage`, with the linker's --wrap: counts are written at
 * exit(), and it also ends by _exit() and by the signal that it caught. */
#include <signal.h>
#include <unistd.h>

/* The names are gcc's and the linker's. */
/* NOLINTBEGIN(bugprone-reserved-identifier) */
void __gcov_dump(void);
int __real_kill(pid_t pid, int number);
int __wrap_kill(pid_t pid, int number);
_Noreturn void __real__exit(int status);
_Noreturn void __wrap__exit(int status);

int __wrap_kill(pid_t pid, int number)
{
    if (pid == getpid())
        __gcov_dump();
    return __real_kill(pid, number);
}

void __wrap__exit(int status)
{
    __gcov_dump();
    __real__exit(status);
}
/* NOLINTEND(bugprone-reserved-identifier) */
