module rungroup

go 1.21
