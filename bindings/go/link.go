//go:build cgo

package rungroup

// #cgo !rungroup_dynamic LDFLAGS: ${SRCDIR}/lib/librungroup.a -lgcc_s -lm -ldl -lpthread
// #cgo rungroup_dynamic pkg-config: rungroup
import "C"
