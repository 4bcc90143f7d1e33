package cli_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"text/template"

	"fluent-bit-defender/internal/cli"
	"fluent-bit-defender/internal/test/golden"
)

// commands are all commands of the tree, in the order of the page.
var commands = []string{
	"tokens acquire",
	"tokens list",
	"tokens refresh",
	"tokens remove",
	"tokens rekey",
	"tokens import",
	"tenants discover",
	"tenants consent",
	"tenants forget",
	"check",
	"pull",
	"compare",
	"rewind",
	"status",
	"backup",
	"restore",
	"store copy",
	"nodes",
	"drain",
	"support-bundle",
	"simulate",
	"install",
	"version",
}

func TestGoldenReferencePage(t *testing.T) {
	w := newWorld(t)

	type section struct{ Name, Text string }

	var all []section

	for _, name := range commands {
		r := w.expect(w.run(append(strings.Fields(name), "--help")...), 0)
		help, _, _ := strings.Cut(r.out, "\nGlobal Flags:")
		all = append(all, section{name, "```\n" + strings.TrimSpace(help) + "\n```"})
	}

	var page strings.Builder
	if err := must(template.ParseFiles("../../testdata/cli/defenderctl.tmpl")).Execute(&page, all); err != nil {
		t.Fatal(err)
	}

	golden.File(t, "../../docs/defenderctl.md", page.String())

	if root := w.run("--help").out; strings.Count(root, "\n  tokens ") != 1 {
		t.Errorf("help: %s", root)
	}
}

func TestTheReferencePageHasEveryCommand(t *testing.T) {
	var all []string

	for _, top := range cli.Commands().Commands() {
		switch {
		case top.Name() == "completion" || top.Name() == "help":
		case !top.HasSubCommands():
			all = append(all, top.Name())
		default:
			for _, sub := range top.Commands() {
				all = append(all, top.Name()+" "+sub.Name())
			}
		}
	}

	listed := slices.Sorted(slices.Values(commands))

	slices.Sort(all)

	if !slices.Equal(listed, all) {
		t.Errorf("the page has %q\nthere are   %q", listed, all)
	}
}

func TestGroupsShowTheirHelpAndSuggestWhatWasMeant(t *testing.T) {
	w := newWorld(t)
	contains(t, w.expect(w.run("tokens"), 0).out, "acquire", "rekey")
	contains(t, w.expect(w.run(), 0).out, "tokens", "simulate")
	contains(t, w.expect(w.run("tokens", "acquir"), 2).err, "did you mean acquire?")
	contains(t, w.expect(w.run("chek"), 2).err, "did you mean check?")
	contains(t, w.expect(w.run("status", "--jsn"), 2).err, "--jsn")
}

func TestTheDataDirectoryComesFromTheEnvironmentToo(t *testing.T) {
	w := newWorld(t)
	w.expect(w.run(w.acquire("siem")...), 0)
	w.env["DEFENDER_DATA_DIR"] = w.dir

	out, errs := &lockedBuffer{}, &lockedBuffer{}
	if code := w.startAs(t.Context(), out, errs, "tokens", "list"); code != 0 ||
		!strings.Contains(out.String(), "contoso") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}

	w.env["DEFENDER_DATA_DIR"] = "/nonexistent"

	out.Reset()

	if w.startAs(t.Context(), out, errs, "tokens", "list"); strings.Contains(out.String(), "contoso") {
		t.Error(fmt.Sprint("the directory did not count: ", out))
	}
}
