/* SPDX-License-Identifier: MIT */
/* Preloaded: writes what stands in the vector registers when the program ends into the file
 * REGISTERS_FILE. */
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

void _exit(int code) __attribute__((noreturn));

void _exit(int code)
{
    static char registers[32 * 64];
    const char *path;
    int fd;

#if defined __x86_64__
    if (__builtin_cpu_supports("avx512f"))
        __asm__ volatile(".irp n, "
                         "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,"
                         "27,28,29,30,31\n"
                         "vmovdqu64 %%zmm\\n, 64*\\n(%0)\n"
                         ".endr" ::"r"(registers)
                         : "memory");
    else if (__builtin_cpu_supports("avx"))
        __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                         "vmovdqu %%ymm\\n, 64*\\n(%0)\n"
                         ".endr" ::"r"(registers)
                         : "memory");
    else
        __asm__ volatile(".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15\n"
                         "movdqu %%xmm\\n, 64*\\n(%0)\n"
                         ".endr" ::"r"(registers)
                         : "memory");
#elif defined __aarch64__
    __asm__ volatile(
        ".irp n, "
        "0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31\n"
        "str q\\n, [%0, #64*\\n]\n"
        ".endr" ::"r"(registers)
        : "memory");
#endif
    path = getenv("REGISTERS_FILE");
    fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd >= 0 && write(fd, registers, sizeof registers) < 0)
        code = 99;
    syscall(SYS_exit_group, code);
    __builtin_unreachable();
}
