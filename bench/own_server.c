// SPDX-License-Identifier: Apache-2.0
#include "own_server.h"
#include "load.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_TRIES 200
#define STOP_TRIES  200
#define TRY_US      50000

static unsigned free_port(void)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && bind(fd, (struct sockaddr *)&a, n) == 0 && getsockname(fd, (struct sockaddr *)&a, &n) == 0;
    if (fd >= 0) close(fd);
    return ok ? ntohs(a.sin_port) : 0;
}

static void become_server(const struct own_server *s)
{
    char listen[32], data[80];
    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", s->port);
    (void)snprintf(data, sizeof data, "%s/data", s->dir);
    int null = open("/dev/null", O_WRONLY);
    if (null >= 0) (void)dup2(null, STDOUT_FILENO);
    execl("/proc/self/exe", "till", "dev", "--listen", listen, "--sandbox-listen", "127.0.0.1:0", "--data", data,
          "--log.level", "warn", (char *)NULL);
    _exit(127);
}

static bool is_ready(const struct own_server *s)
{
    struct buf body = {0};
    int status = 0;
    bool ok = load_once("127.0.0.1", s->port, STR("GET /readyz HTTP/1.1\r\nHost: till\r\n\r\n"), &status, &body);
    buf_free(&body);
    return ok && status == 200;
}

bool own_server_start(struct own_server *s, char why[200])
{
    *s = (struct own_server){.port = free_port()};
    (void)snprintf(s->dir, sizeof s->dir, "./till-bench-XXXXXX");
    if (s->port == 0 || !mkdtemp(s->dir)) {
        (void)snprintf(why, 200, "cannot make a directory here: %s", strerror(errno));
        return false;
    }
    s->pid = fork();
    if (s->pid == 0) become_server(s);
    for (unsigned i = 0; s->pid > 0 && i < START_TRIES; i++) {
        if (is_ready(s)) return true;
        usleep(TRY_US);
    }
    (void)snprintf(why, 200, "the benchmark's own server did not start");
    own_server_stop(s);
    return false;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

void dir_remove(const char *dir)
{
    (void)nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

void own_server_stop(struct own_server *s)
{
    int status;
    bool ended = s->pid <= 0;
    if (!ended) (void)kill(s->pid, SIGTERM);
    for (unsigned i = 0; !ended && i < STOP_TRIES; i++) {
        ended = waitpid(s->pid, &status, WNOHANG) == s->pid;
        if (!ended) usleep(TRY_US);
    }
    if (!ended) {
        (void)kill(s->pid, SIGKILL);
        (void)waitpid(s->pid, &status, 0);
    }
    dir_remove(s->dir);
}
