// SPDX-License-Identifier: Apache-2.0
// Runs a fuzz target once over each file of the directories it is given, with any compiler: what was found once stays
// found. A directory without a file is a failure.
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    struct stat s;
    if (!f || fstat(fileno(f), &s) != 0) {
        perror(path);
        return 1;
    }
    size_t n = (size_t)s.st_size;
    uint8_t *bytes = malloc(n ? n : 1);
    if (!bytes || fread(bytes, 1, n, f) != n) {
        perror(path);
        return 1;
    }
    (void)fclose(f);
    (void)LLVMFuzzerTestOneInput(bytes, n);
    free(bytes);
    return 0;
}

static int run_directory(const char *path, unsigned *n_run)
{
    DIR *d = opendir(path);
    struct dirent *e;
    int failed = 0;
    if (!d) {
        perror(path);
        return 1;
    }
    while ((e = readdir(d))) {
        char file[4096];
        if (e->d_name[0] == '.') continue;
        (void)snprintf(file, sizeof file, "%s/%s", path, e->d_name);
        failed |= run_file(file);
        (*n_run)++;
    }
    (void)closedir(d);
    return failed;
}

int main(int argc, char **argv)
{
    unsigned n_run = 0;
    int failed = 0;
    for (int i = 1; i < argc; i++)
        failed |= run_directory(argv[i], &n_run);
    (void)printf("%u inputs\n", n_run);
    return failed || n_run == 0;
}
