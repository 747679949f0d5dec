// SPDX-License-Identifier: Apache-2.0
// A configuration file: what is taken prints as a file that is taken again and prints the same; what is refused is said
// in one line that names something.
#include "shell/config.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

// A file without a place in the file system.
static bool load(struct config *c, const void *bytes, size_t n, char why[CONFIG_WHY_SIZE])
{
    char path[64], *argv[] = {path};
    struct config_input in = {.argc = 1, .argv = argv};
    int fd = memfd_create("config", MFD_CLOEXEC);
    require(fd >= 0 && write(fd, bytes, n) == (ssize_t)n);
    (void)snprintf(path, sizeof path, "--config=/proc/self/fd/%d", fd);
    bool good = config_load(c, &in, why);
    (void)close(fd);
    return good;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c = {0};
    char why[CONFIG_WHY_SIZE] = "";
    if (size > 8192) return 0;
    if (!load(&c, data, size, why)) {
        require(why[0] && memchr(why, 0, sizeof why) && !strpbrk(why, "\r\n"));
    } else {
        struct buf shown = {0};
        (void)config_check(&c, why);
        config_print(&c, &shown);
        struct str text = buf_view(&shown);
        require(text.n > 0 && !memchr(text.p, 0, text.n));
        if (!memmem(text.p, text.n, "***", 3)) { // what is masked cannot be read back
            struct config again = {0};
            struct buf twice = {0};
            require(load(&again, text.p, text.n, why));
            config_print(&again, &twice);
            struct str second = buf_view(&twice);
            require(second.n == text.n && memcmp(second.p, text.p, text.n) == 0);
            buf_free(&twice);
            config_free(&again);
        }
        buf_free(&shown);
    }
    config_free(&c);
    return 0;
}
