// A plugin in Go, built with -buildmode=c-shared: a cron job that asks the web
// plugin twice a second how many threads there are. The argument is the URL.
//
// It has the static library in it, and works on the host's group all the same.
package main

// #include <stdint.h>
import "C"

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
	"unsafe"

	"rungroup"
)

const period = 500 * time.Millisecond

// look asks once, and gives the number of lines.
func look(ctx context.Context, url string) (int, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return bytes.Count(body, []byte("\n")), err
}

func run(ctx context.Context, url string) error {
	ticker := time.NewTicker(period)
	defer ticker.Stop()
	for {
		threads, err := look(ctx, url)
		switch {
		case ctx.Err() != nil:
			return nil // the group stops
		case err != nil:
			return err
		}
		fmt.Printf("cron: %d threads\n", threads)
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

//export plugin_join
func plugin_join(group unsafe.Pointer, argument *C.char) C.int {
	host, err := rungroup.HostOf(group)
	if err == nil {
		url := C.GoString(argument)
		err = host.AddContext(context.Background(), "cron (Go)", func(ctx context.Context) error { return run(ctx, url) })
	}
	var code rungroup.Error
	switch {
	case err == nil:
		return 0
	case errors.As(err, &code):
	default:
		code = rungroup.ErrInvalid
	}
	fmt.Fprintln(os.Stderr, "cron:", err)
	return C.int(code)
}

func main() {}
