//go:build rungroup

package main

import (
	"context"
	"syscall"
	"time"

	"rungroup"
)

func init() {
	systems["rungroup"] = func() { withRungroup(new(rungroup.Group)) }
	systems["rungroup, a grace"] = func() { withRungroup(rungroup.New(rungroup.WithGrace(time.Minute))) }
}

func withRungroup(g *rungroup.Group) {
	for i := 0; i < actors; i++ {
		addTo(g, i)
	}
	if endBySignal {
		g.Add(rungroup.SignalHandler(context.Background(), syscall.SIGTERM))
	}
	checkEnd(g.Run())
	endedAt = now()
}
