//go:build !cgo

package rungroup

// The rules are in a C library (written in Rust). Build with CGO_ENABLED=1 and a
// C compiler; a cross build needs CC set to one for the target.
var _ = rungroup_needs_cgo_build_with_CGO_ENABLED_1_and_a_C_compiler
