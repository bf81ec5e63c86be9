//go:build cgo && !rungroup_dynamic && rungroup_musl

package rungroup

import _ "rungroup/internal/musl" // likewise, for another C library
