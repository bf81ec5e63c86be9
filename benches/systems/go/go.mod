module cycle

go 1.21

require (
	github.com/oklog/run v1.2.0
	golang.org/x/sync v0.10.0
)
