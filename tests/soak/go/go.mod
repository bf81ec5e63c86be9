module soak

go 1.21

require rungroup v0.0.0

replace rungroup => ../../../bindings/go
