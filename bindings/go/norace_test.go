//go:build !race

package rungroup

const raced = false
