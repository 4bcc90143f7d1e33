// Command sbom joins the bills of materials of several binaries, as cyclonedx-gomod
// writes them, into one for the release, and prints it:
//
//	go run ./sbom -version 1.2.0 defenderctl=a.json defenderctl=b.json
//
// Each binary is a component with its checksum and the modules it depends on; a module
// that several have is listed once. Nothing in the result depends on when or where it
// was made.
package main

import (
	"cmp"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	version := flag.String("version", "", "version of the release")

	flag.Parse()

	if err := run(os.Stdout, *version, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

// run joins the files of args, each written as name=file.
func run(w io.Writer, version string, args []string) error {
	j := newJoined(version)

	for _, arg := range args {
		name, path, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=FILE", arg)
		}

		if err := j.addFile(name, path); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}

	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(j.bom())
}

// joined is the bill of the release while it is put together.
type joined struct {
	release  cdx.Component
	binaries []cdx.Component
	modules  map[string]cdx.Component // by reference
	needs    map[string]map[string]bool
}

func newJoined(version string) *joined {
	ref := "in-defender@" + version

	return &joined{
		release: cdx.Component{
			BOMRef:  ref,
			Type:    cdx.ComponentTypeApplication,
			Name:    "in-defender",
			Version: version,
			Licenses: &cdx.Licenses{
				{License: &cdx.License{ID: "Apache-2.0"}},
			},
		},
		modules: map[string]cdx.Component{},
		needs:   map[string]map[string]bool{ref: {}},
	}
}

// addFile adds the bill of one binary.
func (j *joined) addFile(name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()

	var bom cdx.BOM
	if err := cdx.NewBOMDecoder(f, cdx.BOMFileFormatJSON).Decode(&bom); err != nil {
		return err
	}

	if bom.Metadata == nil || bom.Metadata.Component == nil || bom.Components == nil || bom.Dependencies == nil {
		return fmt.Errorf("it describes no binary")
	}

	j.add(name, &bom)

	return nil
}

func (j *joined) add(name string, bom *cdx.BOM) {
	arch := property(bom, "cdx:gomod:build:env:GOARCH")
	own := bom.Metadata.Component.BOMRef
	ref := name + "-linux-" + arch
	j.needs[j.release.BOMRef][ref] = true
	j.binaries = append(j.binaries, cdx.Component{
		BOMRef:      ref,
		Type:        cdx.ComponentTypeApplication,
		Name:        name,
		Version:     j.release.Version,
		Description: "linux/" + arch,
		Hashes: &[]cdx.Hash{
			{Algorithm: cdx.HashAlgoSHA256, Value: property(bom, "cdx:gomod:binary:hash:SHA-256")},
		},
	})

	for _, c := range *bom.Components {
		c.PackageURL, _, _ = strings.Cut(c.PackageURL, "?")
		j.modules[c.BOMRef] = c
	}

	for _, d := range *bom.Dependencies {
		from := d.Ref
		if from == own {
			from = ref
		}

		if j.needs[from] == nil {
			j.needs[from] = map[string]bool{}
		}

		if d.Dependencies != nil {
			for _, to := range *d.Dependencies {
				j.needs[from][to] = true
			}
		}
	}
}

// property returns a property of what a bill is about.
func property(bom *cdx.BOM, name string) string {
	if bom.Metadata.Properties != nil {
		for _, p := range *bom.Metadata.Properties {
			if p.Name == name {
				return p.Value
			}
		}
	}

	return ""
}

// bom returns the bill of the release.
func (j *joined) bom() *cdx.BOM {
	bom := cdx.NewBOM()
	bom.Metadata = &cdx.Metadata{Component: &j.release}

	components := slices.SortedFunc(maps.Values(j.modules), func(a, b cdx.Component) int {
		return cmp.Compare(a.BOMRef, b.BOMRef)
	})
	components = append(slices.Clone(j.binaries), components...)
	bom.Components = &components

	var dependencies []cdx.Dependency

	for _, ref := range slices.Sorted(maps.Keys(j.needs)) {
		to := slices.Sorted(maps.Keys(j.needs[ref]))
		dependencies = append(dependencies, cdx.Dependency{Ref: ref, Dependencies: &to})
	}

	bom.Dependencies = &dependencies

	return bom
}
