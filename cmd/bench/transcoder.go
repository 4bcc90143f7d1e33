package main

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"

	"fluent-bit-defender/internal/record"
)

// transcoder runs BenchmarkRatio of internal/record, which knows the pages.
func (b *bench) transcoder() error {
	names, runs, err := b.ratios()
	if err != nil {
		return err
	}

	b.t.head(
		"(a)(b)(c) transcoder, 10,000 alerts",
		"MB/s",
		"encoding/json + fluent-bit-go",
		"times as fast (a)",
		"gjson.ValidBytes",
		"time to it (b)",
		"memcpy",
		"time to it (c)",
		"allocations per alert",
	)

	for _, name := range names {
		m := func(unit, format string) string { return fmt.Sprintf(format, median(runs[name][unit])) }
		b.t.row(
			strings.ToLower(name),
			m("transcode-MB/s", "%.0f"),
			m("lib-MB/s", "%.0f MB/s"),
			m("lib/x", "%.1f"),
			m("valid-MB/s", "%.0f MB/s"),
			m("x/valid", "%.2f"),
			m("copy-MB/s", "%.0f MB/s"),
			m("x/copy", "%.1f"),
			m("allocs/alert", "%.0f"),
		)
	}

	b.formats(names, runs)

	return nil
}

// formats prints what the other formats cost, beside json.
func (b *bench) formats(names []string, runs map[string]map[string][]float64) {
	columns := []string{"json"}

	var others []string

	for _, format := range record.FormatNames() {
		if _, measured := runs[names[0]][format+"/x"]; measured {
			others = append(others, format)
			columns = append(columns, format, "time to json", "allocations per alert")
		}
	}

	b.t.head("(a)(b) formats, 10,000 alerts", columns...)

	for _, name := range names {
		m := func(unit, format string) string { return fmt.Sprintf(format, median(runs[name][unit])) }
		row := []string{strings.ToLower(name), m("transcode-MB/s", "%.0f MB/s")}

		for _, format := range others {
			row = append(
				row,
				m(format+"-MB/s", "%.0f MB/s"),
				m(format+"/x", "%.2f"),
				m(format+"-allocs/alert", "%.0f"),
			)
		}

		b.t.row(row...)
	}
}

// ratios runs the benchmark. It returns the names of the pages in their order and, by
// page and unit, the figure of each round.
func (b *bench) ratios() (names []string, runs map[string]map[string][]float64, err error) {
	cmd := exec.CommandContext(
		b.ctx,
		"go",
		"test",
		"-run", "^$",
		"-bench", "^BenchmarkRatio$/^(Graph|Endpoint|SIEM)$",
		"-benchtime", "400x",
		"-count", strconv.Itoa(b.rounds),
		"./internal/record",
	)
	cmd.Stderr = os.Stderr

	out, err := cmd.Output()
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w\n%s", strings.Join(cmd.Args, " "), err, out)
	}

	runs = map[string]map[string][]float64{}

	for line := range strings.Lines(string(out)) {
		name, metrics, ok := metricsOf(line)
		if !ok {
			continue
		}

		if runs[name] == nil {
			runs[name] = map[string][]float64{}
			names = append(names, name)
		}

		for unit, value := range metrics {
			runs[name][unit] = append(runs[name][unit], value)
		}
	}

	if len(names) == 0 {
		return nil, nil, fmt.Errorf("no figures in the benchmark's output\n%s", out)
	}

	return names, runs, nil
}

// metricsOf reads a line of `go test -bench` such as "BenchmarkRatio/Graph-2 400 0.75
// x/valid". It reports whether the line is one of BenchmarkRatio.
func metricsOf(line string) (name string, metrics map[string]float64, ok bool) {
	name, ok = strings.CutPrefix(line, "BenchmarkRatio/")

	fields := strings.Fields(name)
	if !ok || len(fields) < 4 {
		return "", nil, false
	}

	name, _, _ = strings.Cut(fields[0], "-") // without the number of processors
	metrics = map[string]float64{}

	for i := 2; i+1 < len(fields); i += 2 {
		value, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return "", nil, false
		}

		metrics[fields[i+1]] = value
	}

	return name, metrics, true
}
