//go:build cgo && !rungroup_dynamic && !rungroup_musl

package rungroup

import _ "rungroup/internal/archive" // the library, linked into the program
