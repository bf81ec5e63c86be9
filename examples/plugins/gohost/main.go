// A host in Go: runs the actors that plugins bring, in one group with its own.
//
//	gohost PLUGIN.so ARGUMENT [PLUGIN.so ARGUMENT ...]
//
// A process can hold one Go runtime only, so the plugins are in other languages.
package main

/*
#cgo LDFLAGS: -ldl
#include <dlfcn.h>
#include <stdlib.h>

// -1: it could not be loaded, and dlerror says why.
static int load_and_join(const char *path, void *group, const char *argument) {
	void *plugin = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	if (plugin == NULL)
		return -1;
	int (*join)(void *, const char *) = dlsym(plugin, "plugin_join");
	return join == NULL ? -1 : join(group, argument);
}
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
	"unsafe"

	"rungroup"
)

// load loads a plugin, for good, and lets it add its actors.
func load(group unsafe.Pointer, path, argument string) error {
	file, text := C.CString(path), C.CString(argument)
	defer C.free(unsafe.Pointer(file))
	defer C.free(unsafe.Pointer(text))
	switch code := C.load_and_join(file, group, text); {
	case code == -1:
		return errors.New(C.GoString(C.dlerror()))
	case code != 0:
		return fmt.Errorf("%s: %w", path, rungroup.Error(code))
	}
	return nil
}

// beat is the host's own component: says now and then that all is well.
func beat(ctx context.Context) error {
	for beats := 1; ; beats++ {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Second):
			fmt.Println("host: beat", beats)
		}
	}
}

func main() {
	group := rungroup.New(rungroup.WithGrace(5*time.Second), rungroup.WithOrder(rungroup.OrderStaged))
	group.AddContext(context.Background(), "heart (Go)", beat)
	for i := 1; i+1 < len(os.Args); i += 2 {
		err := group.AddNative(func(handle unsafe.Pointer) error { return load(handle, os.Args[i], os.Args[i+1]) })
		if err != nil {
			fmt.Fprintln(os.Stderr, "host:", err)
			os.Exit(1)
		}
	}
	group.AddSignals()
	err := group.Run()
	fmt.Print(group.Report())
	os.Exit(exitCode(err))
}

// exitCode is what a shell shows for a process that the signal killed.
func exitCode(err error) int {
	var coded interface{ Code() int }
	switch {
	case err == nil:
		return 0
	case errors.As(err, &coded):
		return coded.Code() & 0xff
	}
	return 1
}
