// What an errgroup has as ctx.Done() is the group's Stopping.
package main

import (
	"fmt"
	"os"
	"time"

	"rungroup"
)

func main() {
	var group rungroup.Group
	group.AddSignals()
	group.AddNamed("cron", func() error { // before: g.Go(func() error {
		fmt.Println("serving")
		for {
			select {
			case <-group.Stopping(): // before: <-ctx.Done()
				return nil
			case <-time.After(time.Second):
			}
		}
	}, func(error) {})
	err := group.Run() // before: g.Wait()
	fmt.Fprintln(os.Stderr, err)
	os.Exit(group.Report().CauseCode)
}
