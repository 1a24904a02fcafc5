/* SPDX-License-Identifier: MIT */
/* The floor of `refresh --all`: of each file in the directory its token is sent, and the answer, as
 * it came, made durable in its place. No lock, no room reserved, nothing checked or understood.
 *
 *     renew_floor DIRECTORY PORT JOBS
 *
 * Plain http on loopback; each job has its own thread and one connection. */
#include <dirent.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define JOBS_MAX 64
#define TEXT_SIZE 4096 /* the bench's files and answers are far smaller */

static const char *directory;
static struct sockaddr_in service = {.sin_family = AF_INET};
static struct dirent **entries;
static int count;
static atomic_int next;

static void need(int works, const char *what)
{
    if (!works) {
        perror(what);
        exit(1);
    }
}

/* What a service that sends headers and body at once has answered. */
static size_t ask(int fd, const char *token, char *answer)
{
    char request[TEXT_SIZE];
    int len = snprintf(request, sizeof request,
                       "POST /v1/auth/refresh HTTP/1.1\r\nHost: localhost\r\nAccept: "
                       "application/json\r\nAuthorization: %s\r\nContent-Length: 0\r\n\r\n",
                       token);
    ssize_t got;

    need(send(fd, request, (size_t)len, MSG_NOSIGNAL) == len, "send");
    got = recv(fd, answer, TEXT_SIZE, 0);
    need(got > 0, "recv");
    return (size_t)got;
}

static void renew(int connection, const char *name)
{
    char path[TEXT_SIZE], temp[TEXT_SIZE], text[TEXT_SIZE] = "", *token;
    int fd, dir;
    size_t len;

    snprintf(path, sizeof path, "%s/%s", directory, name);
    snprintf(temp, sizeof temp, "%s/.%s.tmp", directory, name);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    need(fd >= 0 && read(fd, text, sizeof text - 1) > 0 && close(fd) == 0, path);
    token = strstr(text, "eyJ");
    need(token != NULL, path);
    token[strcspn(token, "\"")] = '\0';
    len = ask(connection, token, text);
    fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    need(fd >= 0 && write(fd, text, len) == (ssize_t)len && fsync(fd) == 0, temp);
    need(rename(temp, path) == 0 && close(fd) == 0, path);
    dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    need(dir >= 0 && fsync(dir) == 0 && close(dir) == 0, directory);
}

static void *work(void *unused)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), i;

    need(connect(fd, (struct sockaddr *)&service, sizeof service) == 0, "connect");
    while ((i = atomic_fetch_add(&next, 1)) < count)
        renew(fd, entries[i]->d_name);
    close(fd);
    return unused;
}

static int is_cache(const struct dirent *entry)
{
    return entry->d_name[0] != '.' && strstr(entry->d_name, ".json") != NULL;
}

int main(int argc, char **argv)
{
    pthread_t threads[JOBS_MAX];
    int jobs = argc == 4 ? atoi(argv[3]) : 0;

    if (jobs < 1 || jobs > JOBS_MAX)
        return 2;
    directory = argv[1];
    service.sin_port = htons((uint16_t)atoi(argv[2]));
    service.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    count = scandir(directory, &entries, is_cache, alphasort);
    for (int i = 0; i < jobs; i++)
        need(pthread_create(&threads[i], NULL, work, NULL) == 0, "pthread_create");
    for (int i = 0; i < jobs; i++)
        pthread_join(threads[i], NULL);
    return count > 0 ? 0 : 1;
}
