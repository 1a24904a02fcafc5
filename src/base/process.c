/* SPDX-License-Identifier: MIT */
#include "base/process.h"

#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/prctl.h>
#endif
#if defined __x86_64__ && __has_include(<sys/platform/x86.h>)
#include <sys/platform/x86.h>
#endif

#include "base/mem.h"
#include "base/signals.h"

static struct rlimit core_before;
static struct sigaction pipe_before, file_size_before, child_before;

const char *process_variable(const char *name)
{
    const char *value = getenv(name);

    return value != NULL && *value != '\0' ? value : NULL;
}

char *process_absolute_path(const char *path)
{
    char here[PATH_MAX];

    if (path[0] == '/')
        return mem_copy(path);
    return realpath(".", here) == NULL ? NULL : mem_join(here, "/", path);
}

void process_shut_out(void)
{
    struct sigaction ignore = {.sa_handler = SIG_IGN}, by_default = {.sa_handler = SIG_DFL};
    struct rlimit none = {0};

    getrlimit(RLIMIT_CORE, &core_before);
    none.rlim_max = core_before.rlim_max; /* as it was: so the soft one can be given back */
    setrlimit(RLIMIT_CORE, &none);
#ifdef __linux__
    prctl(PR_SET_DUMPABLE, 0); /* an exec ends it */
#endif
    sigaction(SIGPIPE, &ignore, &pipe_before);
    sigaction(SIGXFSZ, &ignore, &file_size_before);
    /* Ignored, as some daemons leave it, it would hide how a command ended. */
    sigaction(SIGCHLD, &by_default, &child_before);
}

void process_restore(void)
{
    setrlimit(RLIMIT_CORE, &core_before);
    signals_reset();
    sigaction(SIGPIPE, &pipe_before, NULL);
    sigaction(SIGXFSZ, &file_size_before, NULL);
    sigaction(SIGCHLD, &child_before, NULL);
}

/* glibc knows. The compiler's own way asks the processor again, some ten times before main(), and
 * in a virtual machine each is a trap: a tenth of `show`. */
#ifdef CPU_FEATURE_ACTIVE
#define CPU_HAS(glibcs, compilers) CPU_FEATURE_ACTIVE(glibcs)
#else
#define CPU_HAS(glibcs, compilers) __builtin_cpu_supports(compilers)
#endif

/* What was copied last stands in them: pieces of a token. Nothing is to come that needs them. */
static inline void wipe_vector_registers(void)
{
#if defined __x86_64__
    if (CPU_HAS(AVX, "avx"))
        __asm__ volatile("vzeroall");
    if (CPU_HAS(AVX512F, "avx512f"))
        __asm__ volatile(".irp i, 16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
                         "vpxorq %zmm\\i, %zmm\\i, %zmm\\i\n"
                         ".endr");
#elif defined __aarch64__
    __asm__ volatile(".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,"
                     "26,27,28,29,30,31\n"
                     "movi v\\i\\().2d, #0\n"
                     ".endr");
#endif
}

_Noreturn void process_end(int code)
{
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
    exit(code); /* when they report */
#else
    wipe_vector_registers();
    /* The libraries' cleaning up is for nobody, and has an exit code of its own without memory. */
    _exit(code);
#endif
}
