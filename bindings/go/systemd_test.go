//go:build cgo

package rungroup

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
)

func TestSystemdIsTold(t *testing.T) {
	name := filepath.Join(t.TempDir(), "notify")
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer manager.Close()
	told := func() string {
		data := make([]byte, 4096)
		n, err := manager.Read(data)
		must(t, err)
		return string(data[:n])
	}
	t.Setenv("NOTIFY_SOCKET", name)
	t.Setenv("WATCHDOG_USEC", "2000")
	g := New()
	must(t, g.AddSystemd())
	heard := make(chan struct{})
	full := errors.New("disk full")
	g.AddNamed("writer", func() error { <-heard; return full }, func(error) {})
	go func() {
		if said := told(); said != "READY=1" {
			t.Errorf("first: %q", said)
		}
		if said := told(); said != "WATCHDOG=1" {
			t.Errorf("second: %q", said)
		}
		close(heard)
	}()
	if err := g.Run(); err != full {
		t.Errorf("Run: %v", err)
	}
	last := ""
	for last == "" || last == "WATCHDOG=1" {
		last = told()
	}
	if want := "STOPPING=1\nSTATUS=ended by \"writer\" with code 1 (disk full)"; last != want {
		t.Errorf("last: %q", last)
	}
	if err := g.AddSystemd(); err != ErrState {
		t.Errorf("late: %v", err)
	}
}
