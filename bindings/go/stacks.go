//go:build cgo

package rungroup

import (
	"bytes"
	"runtime"
	"strconv"
	"strings"
)

// goroutineID is the number of this goroutine in a dump of all stacks. Go has
// no call for it; it is asked for only where a stack may be wanted.
func goroutineID() uint64 {
	var buffer [64]byte
	header := buffer[:runtime.Stack(buffer[:], false)]
	header = bytes.TrimPrefix(header, []byte("goroutine "))
	digits, _, _ := bytes.Cut(header, []byte(" "))
	id, _ := strconv.ParseUint(string(digits), 10, 64)
	return id
}

// stacksOf gives the stacks of these goroutines, as they are now.
func stacksOf(wanted map[uint64]bool) map[uint64]string {
	const largest = 64 << 20
	buffer := make([]byte, 64<<10)
	for {
		length := runtime.Stack(buffer, true)
		if length < len(buffer) || len(buffer) >= largest {
			buffer = buffer[:length]
			break
		}
		buffer = make([]byte, 2*len(buffer))
	}
	found := make(map[uint64]string, len(wanted))
	for _, stack := range strings.Split(string(buffer), "\n\n") {
		rest, ok := strings.CutPrefix(stack, "goroutine ")
		if !ok {
			continue
		}
		digits, _, _ := strings.Cut(rest, " ")
		id, err := strconv.ParseUint(digits, 10, 64)
		if err == nil && wanted[id] {
			found[id] = stack
		}
	}
	return found
}

// stuckError names the stuck actors, with their stacks.
func (r *run) stuckError(report *Report) *StuckError {
	wanted := make(map[uint64]bool)
	err := &StuckError{Cause: r.cause}
	var ids [][2]uint64
	for i := range r.actors {
		stuck := report.records[i].stuck
		if stuck == 0 {
			continue
		}
		actor := StuckActor{Index: i, Name: r.name(i), Execute: stuck&1 != 0, Interrupt: stuck&2 != 0}
		var id [2]uint64
		if actor.Execute && r.executeIDs != nil {
			id[0] = r.executeIDs[i].Load()
		}
		if actor.Interrupt && r.interruptIDs != nil {
			id[1] = r.interruptIDs[i].Load()
		}
		wanted[id[0]], wanted[id[1]] = true, true
		err.Actors = append(err.Actors, actor)
		ids = append(ids, id)
	}
	delete(wanted, 0)
	stacks := stacksOf(wanted)
	for i, id := range ids {
		err.Actors[i].ExecuteStack = stacks[id[0]]
		err.Actors[i].InterruptStack = stacks[id[1]]
	}
	return err
}
