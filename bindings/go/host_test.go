//go:build cgo

package rungroup

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"testing"
	"unsafe"
)

// joined is a group with what join adds through its C handle.
func joined(t *testing.T, join func(h *Host)) *Group {
	t.Helper()
	g := New()
	err := g.AddNative(func(group unsafe.Pointer) error {
		h, err := HostOf(group)
		if err == nil {
			join(h)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

type coded struct{ error }

func (coded) Code() int { return 42 }

func TestHostHearsOfErrors(t *testing.T) {
	var told error
	g := joined(t, func(h *Host) {
		must(t, h.AddContext(context.Background(), "waits", func(ctx context.Context) error {
			<-ctx.Done()
			told = context.Cause(ctx)
			return nil
		}))
		must(t, h.Add("fails", func() error { return coded{errors.New("no disk")} }, func(error) {}))
	})
	var actor *ActorError
	if err := g.Run(); !errors.As(err, &actor) || actor.Actor != "fails" || actor.Code() != 42 || actor.Message != "no disk" {
		t.Errorf("Run: %v", err)
	}
	if !errors.As(told, &actor) || actor.Message != "no disk" {
		t.Errorf("the interrupt was given %v", told)
	}
}

func TestHostCleanEndIsNil(t *testing.T) {
	told := errors.New("not told")
	g := joined(t, func(h *Host) {
		must(t, h.Add("ends", func() error { return nil }, func(err error) { told = err }))
	})
	if err := g.Run(); err != nil || told != nil {
		t.Errorf("Run: %v, the interrupt was given %v", err, told)
	}
}

func TestHostPanicsAndGoexit(t *testing.T) {
	for _, c := range []struct {
		execute func() error
		says    string
	}{
		{func() error { panic("index 7") }, "index 7"},
		{func() error { runtime.Goexit(); return nil }, "runtime.Goexit"},
	} {
		g := joined(t, func(h *Host) {
			must(t, h.Add("first", c.execute, func(error) { panic("also here") }))
			must(t, h.Add("second", func() error { return nil }, func(error) { runtime.Goexit() }))
		})
		// The second may be the first to return.
		_ = g.Run()
		r := g.Report()
		if !strings.Contains(r.Actors[0].Message, c.says) {
			t.Errorf("the message is %q, not %q", r.Actors[0].Message, c.says)
		}
		if !strings.Contains(r.Actors[0].Complaint, "also here") {
			t.Errorf("the complaint is %q", r.Actors[0].Complaint)
		}
		if r.Actors[1].Complaint != "runtime.Goexit" {
			t.Errorf("the complaint is %q", r.Actors[1].Complaint)
		}
	}
}

func TestHostRefuses(t *testing.T) {
	if _, err := HostOf(nil); err != ErrInvalid {
		t.Errorf("HostOf(nil): %v", err)
	}
	nothing := func() error { return nil }
	g := joined(t, func(h *Host) {
		var usage *UsageError
		for name, err := range map[string]error{
			"execute":   h.Add("a", nil, func(error) {}),
			"context":   h.AddContext(context.Background(), "a", nil),
			"parent":    h.AddContext(nilContext, "a", func(context.Context) error { return nil }),
			"interrupt": h.Add("a", nothing, nil),
			"name":      h.Add("a\x00b", nothing, func(error) {}),
		} {
			if !errors.As(err, &usage) || !errors.Is(err, ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		must(t, h.Add("actor", nothing, func(error) {
			if !h.Stopping() {
				t.Error("not stopping")
			}
			if err := h.Add("late", nothing, func(error) {}); !errors.Is(err, ErrState) {
				t.Errorf("late: %v", err)
			}
		}))
	})
	must(t, g.Run())
	if n := len(g.Report().Actors); n != 1 {
		t.Errorf("%d actors", n)
	}
}

func TestHostManyTimes(t *testing.T) {
	for i := 0; i < 3000; i++ {
		g := joined(t, func(h *Host) {
			for j := 0; j < 4; j++ {
				must(t, h.AddContext(context.Background(), "", func(ctx context.Context) error { <-ctx.Done(); return nil }))
			}
			must(t, h.Add("", func() error { return nil }, func(error) {}))
		})
		must(t, g.Run())
	}
}
