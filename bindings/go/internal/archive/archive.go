//go:build cgo

// Package archive is the library itself, which `make lib` puts here, for each
// target by itself: rungroup_<os>_<arch>.syso is an object file that the go
// command links for its target. The command also notices when it changes, and go
// mod vendor copies it. For macOS, where no linker makes one object of the library,
// it is an archive. It is a package of its own since programs that are built with
// the tag rungroup_dynamic or rungroup_musl must not link it.
package archive

/*
#cgo linux LDFLAGS: -static-libgcc -lm -ldl -lpthread
#cgo freebsd LDFLAGS: -static-libgcc -lm -lpthread
#cgo darwin,amd64 LDFLAGS: ${SRCDIR}/librungroup_darwin_amd64.a
#cgo darwin,arm64 LDFLAGS: ${SRCDIR}/librungroup_darwin_arm64.a
#include "present.h"
*/
import "C"
