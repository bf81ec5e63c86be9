/* A host that reloads a plugin with a static copy of the library, more often than a
 * process has keys for thread-specific data: each load is a file of its own, as after
 * an update, and takes nothing with it when it is unloaded.
 *
 *     link_reload PLUGIN [TIMES]    the plugin is link_plugin.c's */
#include "check.h"

#include <dlfcn.h>

static const char *plugin;
static int times = 1100;
static unsigned char *bytes;
static size_t length;

static void read_plugin(void) {
    FILE *from = fopen(plugin, "rb");
    CHECK(from != NULL);
    CHECK_INT(fseek(from, 0, SEEK_END), 0);
    length = (size_t)ftell(from);
    rewind(from);
    bytes = malloc(length);
    CHECK(bytes != NULL);
    CHECK_INT(fread(bytes, 1, length, from), length);
    fclose(from);
}

static void *load_copy(void) {
    char path[] = "/tmp/rungroup-plugin-XXXXXX";
    int fd = mkstemp(path);
    CHECK(fd >= 0);
    FILE *to = fdopen(fd, "wb");
    CHECK(to != NULL);
    CHECK_INT(fwrite(bytes, 1, length, to), length);
    CHECK_INT(fclose(to), 0);
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL)
        fprintf(stderr, "%s\n", dlerror());
    CHECK(handle != NULL);
    unlink(path);
    return handle;
}

/* On a thread that ends: what the copy keeps for a thread is gone when it is unloaded. */
static void *run_plugin(void *handle) {
    int (*run)(void);
    void *address = dlsym(handle, "plugin_run");
    CHECK(address != NULL);
    memcpy(&run, &address, sizeof address);
    CHECK_INT(run(), 7);
    return NULL;
}

static int keys_left(void) {
    static pthread_key_t keys[2048];
    int count = 0;
    while (count < 2048 && pthread_key_create(&keys[count], NULL) == 0)
        count++;
    for (int i = 0; i < count; i++)
        pthread_key_delete(keys[i]);
    return count;
}

static void reloaded(void) {
    int before = 0;
    for (int i = 0; i < times; i++) {
        void *handle = load_copy();
        pthread_t thread;
        CHECK_INT(pthread_create(&thread, NULL, run_plugin, handle), 0);
        CHECK_INT(pthread_join(thread, NULL), 0);
        CHECK_INT(dlclose(handle), 0);
        if (i == 10)
            before = keys_left();
    }
    CHECK(keys_left() >= before);
}

int main(int count, char **arguments) {
    CHECK(count > 1);
    plugin = arguments[1];
    if (count > 2)
        times = atoi(arguments[2]);
    watchdog(240);
    read_plugin();
    CASE(reloaded);
    free(bytes);
    return finish("reload");
}
