//go:build race

package rungroup

// raced: the race detector keeps memory of its own.
const raced = true
