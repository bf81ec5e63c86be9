//go:build cgo

package rungroup

import (
	"bytes"
	"context"
	"path"
	"reflect"
	"runtime/pprof"
	"strconv"
	"strings"
)

// label is the label of the goroutines of actors in a run with a grace: the
// actor's number, which no other actor of the process has, and its name, as in
// "7.0 http". By the number actorStacks knows them, by the name whoever looks at a
// profile. Goroutines that an actor starts inherit it.
const label = "rungroup_actor"

// labelled is a context with an actor's label.
func (g *group) labelled(index int) context.Context {
	return pprof.WithLabels(context.Background(), pprof.Labels(label, g.number(index)+" "+g.actors[index].name))
}

func (g *group) number(index int) string {
	return strconv.FormatInt(g.id, 10) + "." + strconv.Itoa(index)
}

// stuckError names the stuck actors. Without any, an actor has returned that code
// itself. With the lock.
func (g *group) stuckError() error {
	stuck := &StuckError{Cause: g.cause}
	for _, actor := range g.actorReports() {
		if actor.StuckExecute || actor.StuckInterrupt || actor.StuckThread {
			stuck.Actors = append(stuck.Actors, actor)
		}
	}
	if stuck.Actors == nil {
		return g.cause
	}
	return stuck
}

// actorStacks are the stacks of all labelled goroutines, in the form of a panic's, by
// function and number: "execute 7.0". It takes a profile: a dump of all stacks would stop
// the program. In its text an empty line parts goroutines of different stack or label:
//
//	1 @ 0x47a1ce 0x40b38c
//	# labels: {"rungroup_actor":"7.0 http"}
//	#	0x4f1de6	main.(*server).serve+0x26	/src/main.go:52
func actorStacks() map[string]string {
	stacks := make(map[string]string)
	var profile bytes.Buffer
	_ = pprof.Lookup("goroutine").WriteTo(&profile, 1) // a Buffer has no errors
	// What this package's methods begin with, under whatever path it is published.
	methods := reflect.TypeOf((*group)(nil)).Elem().PkgPath() + ".(*"
	for _, goroutine := range strings.Split(profile.String(), "\n\n") {
		_, value, _ := strings.Cut(goroutine, `"`+label+`":"`)
		number, _, labelled := strings.Cut(value, " ")
		if !labelled {
			continue
		}
		stack := ""
		for _, line := range strings.Split(goroutine, "\n") {
			frame := strings.FieldsFunc(line, func(r rune) bool { return r == '\t' })
			if len(frame) != 4 {
				continue
			}
			function, _, _ := strings.Cut(frame[2], "+0x")
			if what, own := strings.CutPrefix(function, methods+"group)."); own && (what == "execute" || what == "interrupt") {
				// The actor's own goroutine, not one that it has started. (Actors of a
				// nested group without a grace have inherited the label.)
				if !strings.Contains(stacks[what+" "+number], methods+"Group).Run\n") {
					stacks[what+" "+number] = stack
				}
				break
			}
			stack += function + "\n\t" + frame[3] + "\n"
		}
	}
	return stacks
}

// where is the first frame of a stack outside of Go's standard library, or the
// first: " in main.serve at main.go:52".
func where(stack string) string {
	lines := strings.Split(stack, "\n")
	for i := 0; i+1 < len(lines); i += 2 {
		if !isStandard(lines[i], lines[i+1]) {
			lines = lines[i:]
			break
		}
	}
	if len(lines) < 2 {
		return ""
	}
	return " in " + lines[0] + " at " + path.Base(lines[1])
}

// isStandard is whether a function of net/http, say, is in GOROOT/src/net/http.
func isStandard(function, file string) bool {
	directory, name := path.Split(function)
	name, _, _ = strings.Cut(name, ".")
	return strings.HasSuffix(path.Dir(strings.TrimSpace(file)), "src/"+directory+name)
}
