module drop_in

go 1.21

require (
	github.com/oklog/run v1.2.0
	rungroup v0.0.0
)

replace rungroup => ../../bindings/go
