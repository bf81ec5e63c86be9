//go:build rungroup

package main

import "rungroup"

func init() { systems["rungroup"] = withRungroup }

func withRungroup() {
	var g rungroup.Group
	for i := 0; i < actors; i++ {
		addTo(&g, i)
	}
	check(g.Run() == errFirst, "rungroup")
	endedAt = now()
}
