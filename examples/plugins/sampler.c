/* A plugin in C: an actor that samples the process's memory and threads, and
 * writes them to an SQLite database. The argument is the database's file.
 *
 * Linked with librungroup.so.0. */
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "plugin.h"

enum { PERIOD_MS = 200 };

typedef struct sampler {
    rg_group *group;
    sqlite3 *database;
    sqlite3_stmt *insert;
    int samples;
} sampler;

/* Fails with what SQLite says; the text reaches the cause, in any language. */
static int failed(sampler *self) { return rg_fail(1, sqlite3_errmsg(self->database)); }

static int in_use(long *resident_kib, int *threads) {
    char line[256];
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        return 0;
    int found = 0;
    while (fgets(line, sizeof line, status) != NULL)
        found += sscanf(line, "VmRSS: %ld", resident_kib) == 1 ||
                 sscanf(line, "Threads: %d", threads) == 1;
    fclose(status);
    return found == 2;
}

static int sample(sampler *self) {
    long resident = 0;
    int threads = 0;
    if (!in_use(&resident, &threads))
        return rg_fail(1, "cannot read /proc/self/status");
    sqlite3_bind_int64(self->insert, 1, resident);
    sqlite3_bind_int(self->insert, 2, threads);
    if (sqlite3_step(self->insert) != SQLITE_DONE)
        return failed(self);
    sqlite3_reset(self->insert);
    self->samples++;
    return 0;
}

static int execute(void *userdata) {
    sampler *self = userdata;
    int code;
    do
        code = sample(self);
    while (code == 0 && rg_wait_stop(self->group, PERIOD_MS) == 0);
    printf("sampler: wrote %d samples\n", self->samples);
    fflush(stdout);
    return code;
}

static void release(void *userdata) {
    sampler *self = userdata;
    sqlite3_finalize(self->insert);
    sqlite3_close(self->database);
    free(self);
}

/* A database that cannot be had is found here, before anything runs. */
static int prepare(sampler *self, const char *file) {
    static const char create[] =
        "CREATE TABLE IF NOT EXISTS sample "
        "(at REAL DEFAULT (julianday('now')), resident_kib INTEGER, threads INTEGER)";
    static const char insert[] =
        "INSERT INTO sample (resident_kib, threads) VALUES (?, ?)";
    sqlite3 **database = &self->database;
    if (sqlite3_open(file, database) == SQLITE_OK &&
        sqlite3_exec(*database, create, NULL, NULL, NULL) == SQLITE_OK &&
        sqlite3_prepare_v2(*database, insert, -1, &self->insert, NULL) == SQLITE_OK)
        return 0;
    fprintf(stderr, "sampler: %s: %s\n", file, sqlite3_errmsg(*database));
    return RG_EINVAL;
}

int plugin_join(rg_group *group, const char *argument);

int plugin_join(rg_group *group, const char *argument) {
    sampler *self = calloc(1, sizeof *self);
    if (self == NULL)
        return RG_ENOMEM;
    self->group = group;
    rg_actor actor = {.size = sizeof actor,
                      .name = "sampler (C)",
                      .execute = execute,
                      .interrupt = rg_interrupt_none,
                      .userdata = self,
                      .release = release};
    int error = prepare(self, argument);
    if (error == 0)
        error = rg_add_actor(group, &actor);
    if (error != 0)
        release(self); /* still ours */
    return error;
}
