// Two actors wait; the third counts to three and returns: all of them end.
package main

import (
	"fmt"
	"os"
	"time"

	"rungroup"
)

func main() {
	var group rungroup.Group
	interrupt := func(name string) func(error) {
		return func(error) {
			fmt.Printf("%s: interrupted, code %d\n", name, group.Report().CauseCode)
		}
	}
	for _, name := range []string{"first", "second"} {
		name := name
		group.AddNamed(name, func() error {
			<-group.Stopping()
			fmt.Printf("%s: returned\n", name)
			return nil
		}, interrupt(name))
	}
	group.AddNamed("third", func() error {
		for i := 1; i <= 3; i++ {
			select {
			case <-group.Stopping():
				return nil
			case <-time.After(time.Second):
				fmt.Printf("third: %d\n", i)
			}
		}
		fmt.Println("third: returned")
		return nil
	}, interrupt("third"))
	if err := group.Run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
