// Four components that live and die together: a state machine, an HTTP server
// that shows its state, a cron job that reads it, and a signal listener.
//
//	go run main.go [port]      8080 if not given; 0: any that is free
//	curl localhost:8080/       the state
//	curl localhost:8080/slow   takes two seconds: try Ctrl-C meanwhile
//	curl localhost:8080/hang   longer than the grace: the report says who is stuck
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"syscall"
	"time"

	"rungroup"
)

// machine is a traffic light. It has a way of its own to be stopped.
type machine struct {
	step atomic.Int64
	quit chan struct{}
}

func (m *machine) String() string {
	step := m.step.Load()
	return fmt.Sprintf("step %d: %s", step, []string{"red", "green", "yellow"}[step%3])
}

func (m *machine) run() error {
	for {
		select {
		case <-m.quit:
			return nil
		case <-time.After(400 * time.Millisecond):
			m.step.Add(1)
		}
	}
}

func (m *machine) stop(error) { close(m.quit) }

// server answers with the state; those who are being served get their answer.
type server struct {
	http.Server
	machine  *machine
	port     int
	inFlight atomic.Int64
	// idle is closed when all have been answered.
	idle chan struct{}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.inFlight.Add(1)
	defer s.inFlight.Add(-1)
	fmt.Printf("http: %s %s\n", r.Method, r.URL.Path)
	switch r.URL.Path {
	case "/slow":
		time.Sleep(2 * time.Second)
	case "/hang":
		time.Sleep(60 * time.Second)
	}
	fmt.Fprintln(w, s.machine)
}

func (s *server) run() error {
	listener, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", s.port))
	if err != nil {
		var reason syscall.Errno
		errors.As(err, &reason)
		text := []byte(reason.Error())
		text[0] -= 'a' - 'A'
		return fmt.Errorf("cannot listen on port %d: %s", s.port, text)
	}
	fmt.Printf("http: listening on http://%s/\n", listener.Addr())
	s.Handler = s
	if err := s.Serve(listener); err != http.ErrServerClosed {
		return err
	}
	<-s.idle
	return nil
}

// stop does not wait for the answers: its execute does.
func (s *server) stop(error) {
	fmt.Printf("http: stopping, %d in flight\n", s.inFlight.Load())
	go func() {
		s.Shutdown(context.Background())
		close(s.idle)
	}()
}

func main() {
	port := 8080
	if len(os.Args) > 1 {
		var err error
		if port, err = strconv.Atoi(os.Args[1]); err != nil || len(os.Args) > 2 || port < 0 || port > 65535 {
			fmt.Fprintf(os.Stderr, "usage: %s [port]\n", os.Args[0])
			os.Exit(2)
		}
	}
	light := &machine{quit: make(chan struct{})}
	web := &server{machine: light, port: port, idle: make(chan struct{})}

	// Staged: the state machine is stopped last, when nobody reads it any more.
	group := rungroup.New(rungroup.WithOrder(rungroup.OrderStaged), rungroup.WithGrace(5*time.Second))
	group.AddNamed("machine", light.run, light.stop)
	group.AddNamed("http", web.run, web.stop)
	group.AddContext(context.Background(), "cron", func(ctx context.Context) error {
		for {
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(time.Second):
				fmt.Println("cron:", light)
			}
		}
	})
	group.AddSignals()
	err := group.Run()

	report := group.Report()
	fmt.Print(report)
	if !report.Stopped { // nothing was started
		fmt.Fprintln(os.Stderr, "four_actors:", err)
		os.Exit(1)
	}
	os.Exit(report.CauseCode)
}
