//go:build cgo

// Package archive is the library itself: rungroup_<os>_<arch>.syso, which `make
// lib` puts here, is an object file that the go command links for its target.
// The command also notices when it changes, and go mod vendor copies it. It is a
// package of its own since programs that are built with the tag rungroup_dynamic
// must not link it.
package archive

/*
#cgo LDFLAGS: -static-libgcc -lm -ldl -lpthread
#include "present.h"
*/
import "C"
