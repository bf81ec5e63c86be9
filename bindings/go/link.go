//go:build cgo && !rungroup_dynamic

package rungroup

import _ "rungroup/internal/archive" // the library, linked into the program
