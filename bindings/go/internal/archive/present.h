// Without its object file a program would fail to link with a screenful of
// undefined references.
#include <stdlib.h>

#if defined(__linux__) && !defined(__GLIBC__)
_Static_assert(0, "rungroup: for musl, build with -tags rungroup_musl");
#elif defined(__linux__) && defined(__x86_64__)
#define RUNGROUP_OBJECT "rungroup_linux_amd64.syso"
#elif defined(__linux__) && defined(__aarch64__)
#define RUNGROUP_OBJECT "rungroup_linux_arm64.syso"
#elif defined(__linux__) && defined(__i386__)
#define RUNGROUP_OBJECT "rungroup_linux_386.syso"
#elif defined(__APPLE__) && defined(__x86_64__)
#define RUNGROUP_OBJECT "librungroup_darwin_amd64.a"
#elif defined(__APPLE__) && defined(__aarch64__)
#define RUNGROUP_OBJECT "librungroup_darwin_arm64.a"
#elif defined(__FreeBSD__) && defined(__x86_64__)
#define RUNGROUP_OBJECT "rungroup_freebsd_amd64.syso"
#else
#define RUNGROUP_OBJECT "rungroup_<os>_<arch>.syso"
#endif

#ifdef RUNGROUP_OBJECT
#if !__has_include(RUNGROUP_OBJECT)
_Static_assert(0, "rungroup: internal/archive has no " RUNGROUP_OBJECT ", the library for this target: "
	"`make lib` puts there the one for the machine that it runs on; "
	"or link an installed one, with -tags rungroup_dynamic");
#endif
#endif
