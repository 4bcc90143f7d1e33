package lint

import (
	"errors"
	"fmt"
	"slices"

	"fluent-bit-defender/internal/alert"
	"fluent-bit-defender/internal/config"
	"fluent-bit-defender/internal/config/fluentbit"
	"fluent-bit-defender/internal/config/plain"
	"fluent-bit-defender/internal/filemode"
)

// The checks in this file are about settings that break the promise of delivery. Each
// was seen to lose records on Fluent Bit 5.1.

// threads reports an input in a thread of its own: it hands records to a ring in memory,
// and nobody is told when they are lost.
func (l *linter) threads(sec fluentbit.Section) {
	v := sec.Get("threaded")
	switch {
	case v != "" && off(v):
	case v != "" && !on(v): // Fluent Bit refuses it, which was said
	case on(sec.Get("allow_threaded")):
		l.at(Warning, sec, "Threaded", "is not off: delivery is best effort, an end of the process may lose what "+
			"Fluent Bit held in memory", "write: Threaded Off, and remove allow_threaded")
	default:
		l.at(Error, sec, "Threaded", "is not off, so the input refuses to start: alerts would be lost when Fluent "+
			"Bit ends", "write: Threaded Off")
	}
}

// pauses reports the keys that let Fluent Bit pause the input. A pause in the middle of
// an append loses the parts of conditional routes that were not written yet, and one
// that arrives for another input stops this one's ticks.
func (l *linter) pauses(sec fluentbit.Section) {
	_, routed := sec.Prop("routes")
	for _, key := range []string{"mem_buf_limit", "storage.pause_on_chunks_overlimit", "rate_gate"} {
		p, ok := sec.Prop(key)
		if !ok || off(p.Value) {
			continue
		}

		switch {
		case routed:
			l.at(Error, sec, key, "pauses the input, and with conditional routes a pause loses or repeats the "+
				"records of the routes behind the first", "remove "+key+"; buffer_limit bounds the memory")
		case len(l.sections) > 1:
			l.at(Warning, sec, key, "pauses the input, and Fluent Bit may stop another input of this plugin in its "+
				"place", "remove "+key+"; buffer_limit bounds the memory")
		}
	}
}

// service checks what the inputs share.
func (l *linter) service() {
	sec := l.file.Service()
	if on(sec.Get("storage.checksum")) {
		l.at(Error, sec, "storage.checksum", "is on: after a kill every open chunk fails its check and is skipped",
			"write: storage.checksum off")
	}

	chunks := atoi(sec.Get("storage.max_chunks_up"))
	if on(sec.Get("daemon")) {
		l.at(
			Error,
			sec,
			"Daemon",
			"is on: Fluent Bit forks after it has loaded the plugin, which cannot survive that",
			"write: Daemon Off, and let systemd run it",
		)
	}

	filesystem := func(sec fluentbit.Section) bool { return l.file.StorageType(sec) == "filesystem" }
	if sec.Get("storage.path") == "" && slices.ContainsFunc(l.sections, filesystem) {
		l.at(Error, sec, "storage.path",
			"is missing in [SERVICE]: without it Fluent Bit refuses storage.type filesystem",
			"write in [SERVICE]: storage.path /var/lib/fluent-bit")
	}

	tags := map[string]bool{}
	for _, c := range l.customers() {
		tags[c.tag] = true
	}

	const byDefault = 128
	if chunks == 0 {
		chunks = byDefault
	}

	if len(tags) > chunks {
		l.add(Warning, config.Place{File: l.file.Path, Key: "storage.max_chunks_up"},
			fmt.Sprintf("is %d, but there are %d tags, each with a chunk of its own: delivery falls behind",
				chunks, len(tags)),
			"write in [SERVICE]: storage.max_chunks_up 4096")
	}
}

// together checks what inputs must not share, or must.
func (l *linter) together() {
	type owner struct {
		sec fluentbit.Section
		in  *config.Input
	}

	units := map[alert.UnitKey]owner{}
	names := map[string]alert.TenantID{}

	for i, in := range l.parsed {
		if in == nil {
			continue
		}

		sec := l.sections[i]

		for _, t := range in.Tenants {
			key := t.Unit()
			if first, twice := units[key]; twice && first.sec.Line != sec.Line {
				l.at(Error, sec, "tenant_id", fmt.Sprintf("tenant %s with api %s is polled by the input in %s:%d "+
					"already, and the second one refuses to start", t.TenantName, t.API, first.sec.File,
					first.sec.Line),
					"give this one another state_id, or use one input with format json+cef")
			} else {
				units[key] = owner{sec, in}
			}

			if id, ok := names[t.TenantName]; ok && id != t.TenantID {
				l.at(Warning, sec, "tenant_name", plain.Quoted(t.TenantName)+" names more than one tenant, "+
					plain.Text(string(id), 64)+" and "+plain.Text(string(t.TenantID), 64)+" among them",
					"give each its own name, so that logs and commands tell them apart")
			}

			names[t.TenantName] = t.TenantID
		}
	}

	l.sharedStores()
}

// sharedStores checks that inputs on the same store agree how it is used.
func (l *linter) sharedStores() {
	first := map[string]int{}

	for i, in := range l.parsed {
		if in == nil {
			continue
		}

		place, key := in.DataDir, "data_dir"
		if in.Store.Shared() {
			place, key = in.Store.URL.Reveal(), "store"
		}

		k, known := first[place]
		if !known {
			first[place] = i
			continue
		}

		for _, other := range in.DiffersOnStore(l.parsed[k]) {
			l.at(Error, l.sections[i], other,
				fmt.Sprintf("differs from that of the input in %s:%d, which uses the same %s",
					l.sections[k].File, l.sections[k].Line, key),
				"give both the same "+other+", or another "+key)
		}
	}
}

// modes checks who else may read what should be secret, or change what Fluent Bit runs.
func (l *linter) modes() {
	for _, path := range l.file.Files {
		l.inline(path)
	}

	if l.sources.Open == nil { // files of this machine
		for _, path := range append(slices.Clone(l.file.Files), l.more...) {
			l.changeable(path)
		}
	}

	seen := map[string]bool{}

	for i, in := range l.parsed {
		if in == nil {
			continue
		}

		if in.TenantsFile != "" {
			l.inline(in.TenantsFile)
		}

		m, ok := mode(in.DataDir)
		if !ok || in.Store.Shared() || m&0o077 == 0 || seen[in.DataDir] {
			continue
		}

		seen[in.DataDir] = true
		name := plain.Shell(in.DataDir)
		l.at(
			Warning,
			l.sections[i],
			"data_dir",
			fmt.Sprintf("%s has mode %#o: other users may reach the refresh tokens in it", name, m),
			"chmod 700 "+name,
		)
	}
}

// changeable reports a file that another user may change: who changes the configuration
// can have secrets sent elsewhere, and who changes the plugin can do anything.
func (l *linter) changeable(path string) {
	var unsafe *filemode.Error
	if !errors.As(filemode.Check(path), &unsafe) {
		return
	}

	level := Warning
	if unsafe.Foreign {
		level = Note
	}

	l.add(level, config.Place{File: path}, plain.Shell(unsafe.Path)+" "+unsafe.Problem, unsafe.Remedy)
}
