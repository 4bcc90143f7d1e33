package record

import (
	"fmt"
	"strings"

	"fluent-bit-defender/internal/alert"
)

// CEFMarkdown gives the page that explains the CEF lines, docs/cef.md, made of the
// tables by which they are written. A test holds the page against it.
func CEFMarkdown() string {
	var b strings.Builder
	b.WriteString(cefPageHead)

	var apis [numColumns]*alert.Descriptor

	for api, col := range cefColumns {
		facts, err := api.Descriptor()
		if err != nil {
			panic(err) // a test runs this
		}

		apis[col] = facts
	}

	row := func(name, limit string, cell func(col int) string) {
		fmt.Fprintf(&b, "| %s | %s |", name, limit)

		for col := range numColumns {
			text := cell(col)
			if text == "" {
				text = "–"
			}

			fmt.Fprintf(&b, " %s |", text)
		}

		b.WriteByte('\n')
	}
	table := func(name string) {
		row(name, "bytes", func(col int) string { return "`" + string(apis[col].API) + "`" })
		b.WriteString("| --- | --- |" + strings.Repeat(" --- |", numColumns) + "\n")
	}
	orElse := func(s source, text string) string {
		if strings.Trim(s.what, "`") == text {
			return s.what // a constant
		}

		return s.what + ", else `" + text + "`"
	}

	table("header")
	row("vendor", "63", func(int) string { return "`Microsoft`" })
	row("product", "63", func(col int) string { return "`" + apis[col].CEF.Product + "`" })
	row("version", "31", func(col int) string { return "`" + apis[col].CEF.Version + "`" })
	row(
		"class id",
		fmt.Sprint(maxClass),
		func(col int) string { return orElse(cefHeaders[col].class, apis[col].Noun) },
	)
	row(
		"name",
		fmt.Sprint(maxName),
		func(col int) string { return orElse(cefHeaders[col].name, "Untitled "+apis[col].Noun) },
	)
	row("severity", "", func(col int) string { return cefHeaders[col].severity.what })
	b.WriteString(cefPageSeverity)

	for _, s := range [...]string{"informational", "low", "medium", "high"} {
		fmt.Fprintf(&b, "%s %s, ", s, cefSeverity(s))
	}

	fmt.Fprintf(&b, "anything else `%s`.\n\n## Extension\n\n", cefSeverity(""))
	table("key")

	for i := range cefTable {
		r := &cefTable[i]

		name := "`" + r.key + "`"
		if r.label != "" {
			name += " `" + r.label + "`"
		}

		limit := ""
		if r.max > 0 {
			limit = fmt.Sprint(r.max)
		}

		row(name, limit, func(col int) string { return r.column(col).what })
	}

	b.WriteString(cefPageRules)
	fmt.Fprintf(
		&b,
		"A line above `cef_max_bytes` (%d) is shortened: text is cut from the end of `%s`, in this order, each as far as it\n"+
			"must be; then whole values go, the last of the line first. Never shortened: the header, `rt`, `externalId`, `cs3`, `flexString2`.\n",
		DefaultCEFMaxBytes,
		strings.Join(cutFirst[:], "`, `"),
	)
	b.WriteString(cefPageOthers)

	return b.String()
}

const cefPageHead = "<!-- Made from the table in internal/record by `make golden`. -->" + `
# CEF lines

With ` + "`format cef` or `format json+cef`" + ` each record has a key ` + "`cef`" + ` with one line in ArcSight's Common Event Format (CEF
Implementation Standard, version 0: ` + "`CEF:0|vendor|product|version|class id|name|severity|extension`" + `). For ` + "`siem`" + ` the mapping is the one that
Microsoft published with its own connector; the other APIs fill the same ArcSight fields, so that rules keep working when a
customer moves from one API to another.

## Header

`

const cefPageSeverity = `
Severity: `

const cefPageRules = `
The order of the keys in a line is the order here. Where an alert has no value, the key is left out, and its label too; a label stands
straight behind its value (` + "`cs1=… cs1Label=ThreatName`" + `). Times are milliseconds since 1970.

- **ev(X)** is evidence of kind X: for endpoint the ` + "`entityType`" + ` (or the alert's ` + "`relatedUser`" + `), for graph the
  ` + "`@odata.type`" + ` without prefix and "Evidence", for incidents the entities and ` + "`devices`" + ` of all alerts.
- **Keys that describe one thing come from one piece of evidence:** the host (` + "`shost`, `deviceExternalId`" + `), the user (` +
	"`sntdom`, `suser`, `suid`" + `),
  the message (` + "`duser`, `fileId`" + `), the file (` + "`fname`, `filePath`, `fileHash`, `cs6`" + `), the process or application (` +
	"`sproc`, `fileId`" + `), the
  connection (` + "`spt`, `dst`, `dpt`, `proto`" + `). Of several, the one that fills most of the keys is taken, the first of equals. Users
  and hosts with a role ` + "`attacked`, `compromised` or `source`" + ` come before others. A key that the chosen one lacks is left out.
- A process gives its file and its command line together when no File evidence exists, or none with a name while the process has one.
- The sender of a message is ` + "`suser`" + ` when there is no user but the recipient.
- ` + "`src` and `c6a2`" + ` hold the first IPv4 and the first IPv6 address, in the order of the table; those of a host only when there is no
  other address. ` + "`spt`" + ` is left out when the connection has no source address.
- Keys of an alert are found in any case (` + "`SHA1` as `Sha1`" + `).
- ` + "`src`" + ` holds IPv4 addresses only, as ArcSight wants it; an IPv6 address is in ` + "`c6a2`" + ` (` + "`dst` and `c6a3`" + ` likewise). What is no address is left out.

## Cuts and escapes

Each value is cut to the standard's length, in bytes of UTF-8, between two characters and before it is escaped. Control characters
are dropped, but line breaks: in the header they become a space, in a value ` + "`\\n` and `\\r`" + `. Spaces at both ends are dropped. In the header
` + "`\\` and `|`, in a value `\\` and `=`" + ` get a backslash in front.

`

const cefPageOthers = `
## Other records

| record | class id | name | severity | keys |
| --- | --- | --- | --- | --- |
| health, all is well | ` + "`health` | `Defender tenant ok` | 1 | `flexString2`" + ` |
| health, alerts do not come in | ` + "`health` | `Defender tenant failing` | 8 | `reason`, `msg` (what to do), `flexString2`" + ` |
| a row that could not be decoded | ` + "`raw` | `Row not decodable` | 6 | `cs3`, `flexString2`" + ` |
`
