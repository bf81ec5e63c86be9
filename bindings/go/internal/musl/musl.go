//go:build cgo && rungroup_musl

// Package musl is the library for Linux with musl, Alpine say, as package archive
// is for glibc: the go command cannot tell the two by itself.
package musl

/*
#cgo LDFLAGS: -static-libgcc -lm -ldl -lpthread
#if defined(__x86_64__) && !__has_include("rungroup_linux_amd64.syso") || \
	defined(__aarch64__) && !__has_include("rungroup_linux_arm64.syso")
_Static_assert(0, "rungroup: internal/musl has no library for this target: "
	"`make lib TARGET=x86_64-unknown-linux-musl` puts it there, or that for aarch64");
#endif
*/
import "C"
