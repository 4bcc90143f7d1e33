package main

import (
	"debug/elf"
	"errors"
	"io/fs"
	"path/filepath"
	"testing"
)

func TestWhatMakeBuildsIsHardened(t *testing.T) {
	for _, name := range []string{"in_defender.so", "defenderctl"} {
		t.Run(name, func(t *testing.T) {
			f, err := elf.Open(filepath.Join("..", "build", name))
			if errors.Is(err, fs.ErrNotExist) {
				t.Skip("not built yet: run make")
			}
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()

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
}
