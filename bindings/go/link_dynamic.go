//go:build cgo && rungroup_dynamic

package rungroup

// #cgo pkg-config: rungroup
import "C"
