package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"fluent-bit-defender/internal/config"
)

// book is what all pages share.
type book struct{ version, date string }

// page is a manual page that is being written, in the macros of man(7).
type page struct{ strings.Builder }

func (b book) begin(name, section, about string) *page {
	p := &page{}
	fmt.Fprintf(p, ".TH %s %s %s \"in\\-defender %s\" \"in\\-defender\"\n.nh\n.ad l\n",
		escape(strings.ToUpper(name)), section, b.date, escape(b.version))
	p.section("NAME")
	fmt.Fprintf(p, "%s \\- %s\n", escape(name), escape(about))

	return p
}

func (p *page) section(title string) { fmt.Fprintf(p, ".SH %s\n", title) }

// paragraphs writes prose. Single line breaks in it are spaces.
func (p *page) paragraphs(text string) {
	for i, paragraph := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			p.WriteString(".PP\n")
		}

		p.WriteString(escape(strings.Join(strings.Fields(paragraph), " ")) + "\n")
	}
}

// item writes an entry of a list: what it is about, and the text beside it.
func (p *page) item(head, text string) {
	fmt.Fprintf(p, ".TP\n%s\n%s\n", head, escape(strings.Join(strings.Fields(text), " ")))
}

// literal writes lines as they are.
func (p *page) literal(text string) {
	p.WriteString(".nf\n" + escape(strings.Trim(text, "\n")) + "\n.fi\n")
}

// escape makes text safe for roff. Of the characters beyond ASCII, those that old readers
// do not have are spelt out.
func escape(text string) string {
	text = plainer.Replace(text)

	lines := strings.Split(text, "\n")
	for i, l := range lines {
		if strings.HasPrefix(l, ".") || strings.HasPrefix(l, "'") {
			lines[i] = `\&` + l
		}
	}

	return strings.Join(lines, "\n")
}

var plainer = strings.NewReplacer(`\`, `\e`, "-", `\-`, "–", `\-`, "−", `\-`, "…", "...", "→", `\(->`,
	"≤", "<=", "⁶³", "^63", "⁶⁴", "^64")

// commandPage returns the page of one command.
func (b book) commandPage(cmd *cobra.Command) string {
	p := b.begin(pageName(cmd), "1", cmd.Short)

	p.section("SYNOPSIS")
	fmt.Fprintf(p, ".B %s\n", escape(strings.TrimSuffix(cmd.UseLine(), " [flags]")))

	if cmd.HasAvailableSubCommands() {
		p.WriteString(".I command\n")
	}

	p.WriteString("[options]\n")

	p.section("DESCRIPTION")
	p.paragraphs(about(cmd))
	p.commands(cmd)
	p.flags("OPTIONS", cmd.NonInheritedFlags())
	p.flags("GENERAL OPTIONS", cmd.InheritedFlags())

	if cmd.HasExample() {
		p.section("EXAMPLES")
		p.literal(cmd.Example)
	}

	p.section("SEE ALSO")
	p.WriteString(seeAlso(cmd))

	return p.String()
}

// about returns the long text of a command, or its short one.
func about(cmd *cobra.Command) string {
	if cmd.Long != "" {
		return cmd.Long
	}

	return cmd.Short + "."
}

// commands lists the commands that have a page of their own, on the page of defenderctl.
func (p *page) commands(cmd *cobra.Command) {
	if !cmd.HasAvailableSubCommands() {
		return
	}

	p.section("COMMANDS")
	p.list(cmd)
}

func (p *page) list(cmd *cobra.Command) {
	for _, sub := range cmd.Commands() {
		switch {
		case !sub.IsAvailableCommand() || sub.Name() == "help":
		case sub.HasAvailableSubCommands():
			p.list(sub)
		default:
			p.item(`\fB`+escape(pageName(sub))+`\fR(1)`, sub.Short)
		}
	}
}

func (p *page) flags(title string, set *pflag.FlagSet) {
	if !set.HasAvailableFlags() {
		return
	}

	p.section(title)
	set.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}

		head := `\fB\-\-` + escape(f.Name) + `\fR`
		if f.Shorthand != "" {
			head = `\fB\-` + f.Shorthand + `\fR, ` + head
		}

		if f.Value.Type() != "bool" {
			head += ` \fI` + escape(f.Value.Type()) + `\fR`
		}

		p.item(head, f.Usage+defaultOf(f))
	})
}

// defaultOf returns the default of a flag, or nothing if that is empty or the flag's
// text names it already.
func defaultOf(f *pflag.Flag) string {
	switch f.DefValue {
	case "", "0", "0s", "false", "[]":
		return ""
	}

	if strings.Contains(f.Usage, "default") {
		return ""
	}

	return " (default " + f.DefValue + ")"
}

// seeAlso names the pages beside a command's own.
func seeAlso(cmd *cobra.Command) string {
	if !cmd.HasParent() {
		return ".BR in_defender (5)\n"
	}

	var others []string

	for _, sub := range cmd.Parent().Commands() {
		if sub != cmd && sub.IsAvailableCommand() && !sub.HasAvailableSubCommands() && sub.Name() != "help" {
			others = append(others, fmt.Sprintf(".BR %s (1)", escape(pageName(sub))))
		}
	}

	return strings.Join(append([]string{".BR defenderctl (1)"}, others...), ",\n") + "\n"
}

var (
	codeSpan = regexp.MustCompile("`([^`]*)`")
	link     = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// optionsPage returns the page of the input: every key with its default and meaning.
func (b book) optionsPage(options []config.Option) string {
	p := b.begin("in_defender", "5", "Fluent Bit input for Microsoft Defender alerts")

	p.section("DESCRIPTION")
	p.paragraphs("The input defender pulls the alerts of customers' tenants and emits them as records. Its keys " +
		"stand in an [INPUT] section of Fluent Bit's configuration; those of a tenant can also stand in the file " +
		"that tenants_file names. Keys are case-insensitive. Durations are written as 90s, 15m, 12h or 2d; a bare " +
		"number is seconds. 32M is 32,000,000 bytes.\n\n" +
		"defenderctl check finds misspelt keys and missing values.")

	p.section("KEYS")

	for _, o := range options {
		text := codeSpan.ReplaceAllString(link.ReplaceAllString(o.Help, "$1"), "$1")
		if o.Default != "" {
			text += " Default: " + o.Default + "."
		}

		if len(o.Values) > 0 && !slices.Contains(o.Values, "") {
			text += " Values: " + strings.Join(o.Values, ", ") + "."
		}

		p.item(`\fB`+escape(o.Name)+`\fR`, text)
	}

	p.section("EXAMPLES")
	p.literal(example)
	p.section("FILES")
	p.item(`\fI/var/lib/defender\fR`, "Refresh tokens and progress: the default of data_dir.")
	p.section("SEE ALSO")
	p.WriteString(".BR defenderctl (1),\n.BR defenderctl\\-check (1),\n.BR fluent\\-bit (1)\n")

	return p.String()
}

const example = `[INPUT]
    Name           defender
    Tag            defender.contoso
    Threaded       Off
    storage.type   filesystem
    tenant_id      99999999-8888-7777-6666-555555555555
    tenant_name    contoso
    client_id      11111111-2222-3333-4444-555555555555
    client_secret  ${DEFENDER_CLIENT_SECRET}`
