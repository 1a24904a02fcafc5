/* SPDX-License-Identifier: MIT */
/* The floor of `show`: what it costs to start and end any program that uses libc. */
int main(void)
{
    return 0;
}
