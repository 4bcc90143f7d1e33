package config

import (
	"fmt"
	"strings"
)

// Markdown returns the reference page of all options, made from the table of Options.
func Markdown() string {
	var b strings.Builder
	b.WriteString("# Options of the input `defender`\n\n" +
		"<!-- Made from the table in internal/config/options.go; a test compares the two. -->\n\n" +
		"Keys are case-insensitive. Durations: Go durations plus `d`; a bare number is seconds. Sizes: `32M` = " +
		"32,000,000 bytes.\n" +
		"Values out of bounds, unknown values, two credentials at once, and keys that do not fit each other stop " +
		"the start, each with a line that says what to change.\n\n" +
		"| key | kind | default | bounds | where | meaning |\n| --- | --- | --- | --- | --- | --- |\n")

	for _, o := range options {
		fmt.Fprintf(
			&b,
			"| `%s` | %s | %s | %s | %s | %s |\n",
			o.Name,
			kindText(o),
			code(o.Default),
			bounds(o),
			whereText[o.Scope],
			strings.ReplaceAll(o.Help, "|", `\|`),
		)
	}

	b.WriteString(
		"\nWhere: *section* is the `[INPUT]` section; *tenant* the entries of `tenants` in the tenants file; " +
			"*defaults* its `defaults`. " +
			"A key of several places is taken from the tenant, else from the defaults, else from the section; an " +
			"empty value there means the default of this table. " +
			"The keys of the application's credential (`client_secret`, `client_secret_file`, " +
			"`client_certificate_file`) replace each other: " +
			"a tenant's certificate stands instead of the defaults' secret. The same holds for `refresh_token` and " +
			"`refresh_token_file`. " +
			"`tenant_id` cannot stand in a section with `tenants_file`. Relative paths start from Fluent Bit's " +
			"working directory.\n",
	)

	b.WriteString(tenantsFileText)

	return b.String()
}

// tenantsFileText is the section of the reference page on the tenants file.
const tenantsFileText = `
## tenants_file

One input for many tenants. The section has ` + "`tenants_file /etc/defender/tenants.yaml`" + ` and no ` +
	"`tenant_id`" + `:

` + "```yaml" + `
defaults:            # any key of the table that may stand in defaults
  api: graph
  client_id: 11111111-2222-3333-4444-555555555555
  client_secret_file: /run/secrets/mssp-app
tenants:
  - tenant_id: contoso.onmicrosoft.com
    tenant_name: contoso
    tag: defender.contoso        # optional; else the input's Tag
  - tenant_id: 99999999-8888-7777-6666-555555555555
    tenant_name: fabrikam
    api: siem
    region: eu
` + "```" + `

The same (` + "`tenant_id`, `api`, `state_id`" + `) twice is an error. ` + "`${VAR}`" +
	` is expanded; a variable that is not
set is an error. The file is read again when it changes: added tenants start, removed ones stop,
changed ones restart, the others go on. A new version with a mistake in it is refused as a whole,
with a line that says where, and the old one stays in force.
`

var whereText = map[Scope]string{
	PerTenant: "section, defaults, tenant",
	InputWide: "section",
	FileOnly:  "tenant",
}

func kindText(o Option) string {
	if o.Kind != KindEnum {
		return string(o.Kind)
	}

	quoted := make([]string, len(o.Values))
	for i, v := range o.Values {
		quoted[i] = code(v)
	}

	return strings.Join(quoted, ", ")
}

func code(s string) string {
	if s == "" {
		return "–"
	}

	return "`" + s + "`"
}

func bounds(o Option) string {
	switch {
	case o.Min == "0" || o.Min == "0s":
		return "0, or " + FormatDuration(leastPositive) + " to " + o.Max
	case o.Min != "":
		return o.Min + " to " + o.Max
	case o.Most != 0:
		return fmt.Sprintf("%d to %d", o.Least, o.Most)
	case o.Least != 0:
		return fmt.Sprintf("from %d", o.Least)
	default:
		return "–"
	}
}
