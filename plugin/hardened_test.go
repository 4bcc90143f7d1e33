package main

import (
	"debug/elf"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// built runs a test on every binary that make has built: those of this machine's
// architecture, which CI must have, and those of the others, which `make dist` makes.
func built(t *testing.T, test func(t *testing.T, f *elf.File)) {
	t.Helper()

	paths := []string{"in_defender.so", "defenderctl"}

	for _, arch := range []string{"amd64", "arm64"} {
		for _, name := range []string{"in_defender.so", "defenderctl"} {
			if _, err := os.Stat(filepath.Join("..", "build", arch, name)); err == nil {
				paths = append(paths, arch+"/"+name)
			}
		}
	}

	for _, path := range paths {
		t.Run(path, func(t *testing.T) {
			f, err := elf.Open(filepath.Join("..", "build", path))
			if errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") == "" {
				t.Skip("not built yet: run make")
			}

			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()

			test(t, f)
		})
	}
}

func TestWhatMakeBuildsIsHardened(t *testing.T) {
	built(t, func(t *testing.T, f *elf.File) {
		if f.Type != elf.ET_DYN {
			t.Errorf("type %v: it is loaded at a fixed address", f.Type)
		}

		relro := false
		for _, p := range f.Progs {
			relro = relro || p.Type == elf.PT_GNU_RELRO
			if p.Type == elf.PT_GNU_STACK && p.Flags&elf.PF_X != 0 {
				t.Error("the stack can be executed")
			}
		}

		if !relro {
			t.Error("no part becomes read-only after relocation")
		}

		flags, err := f.DynValue(elf.DT_FLAGS_1)
		if err != nil || len(flags) != 1 || elf.DynFlag1(flags[0])&elf.DF_1_NOW == 0 {
			t.Errorf("symbols are bound late: %v, %v", flags, err)
		}
	})
}

// oldestGLIBC is the version of EL 7, the oldest system that has packages of Fluent Bit.
const oldestGLIBC = "GLIBC_2.17"

func TestWhatMakeBuildsRunsOnOldSystems(t *testing.T) {
	built(t, func(t *testing.T, f *elf.File) {
		symbols, err := f.ImportedSymbols()
		if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
			t.Fatal(err)
		}

		for _, s := range symbols {
			if newer(s.Version, oldestGLIBC) {
				t.Errorf("%s of %s is newer than %s: see plugin/glibc/README.md", s.Name, s.Version, oldestGLIBC)
			}
		}
	})
}

// newer compares two versions of glibc, such as GLIBC_2.2.5 and GLIBC_2.17.
func newer(a, b string) bool {
	as, bs := strings.Split(strings.TrimPrefix(a, "GLIBC_"), "."), strings.Split(strings.TrimPrefix(b, "GLIBC_"), ".")
	for i := range max(len(as), len(bs)) {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}

		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}

		if x != y {
			return x > y
		}
	}

	return false
}

func TestVersionsOfGLIBCAreCompared(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want bool
	}{
		{"GLIBC_2.34", "GLIBC_2.17", true},
		{"GLIBC_2.2.5", "GLIBC_2.17", false},
		{"GLIBC_2.17", "GLIBC_2.17", false},
		{"GLIBC_2.17.1", "GLIBC_2.17", true},
		{"", "GLIBC_2.17", false},
	} {
		if got := newer(c.a, c.b); got != c.want {
			t.Errorf("%q is newer than %q: %v", c.a, c.b, got)
		}
	}
}
