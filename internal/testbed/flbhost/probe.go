package flbhost

import (
	"context"
	"embed"
)

//go:embed probe/*.c probe/*.h
var probeSource embed.FS

// BuildProbe compiles the probe, a small input plugin named "probe" that emits numbered
// events and misbehaves on request, into dir (see Build) and returns the path of its
// .so. The top of probe/probe.c lists its properties. It is for tests of this package
// and for a first try of a machine's Fluent Bit.
func BuildProbe(ctx context.Context, dir string) (string, error) {
	flags := []string{"-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared"}
	// The file name must not begin with "flb-": Fluent Bit takes such a file for a
	// plugin in C.
	return compile(ctx, dir, "in_probe.so", "", probeSource, "probe", flags, []string{"-ldl"})
}
