package main

import (
	"maps"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestAFigureOfEveryUnitIsReadFromABenchmarkLine(t *testing.T) {
	line := "BenchmarkRatio/Graph-2         \t     400\t         0 allocs/alert\t      5347 " +
		"copy-MB/s\t         0.7469 x/valid\n"
	name, metrics, ok := metricsOf(line)

	want := map[string]float64{"allocs/alert": 0, "copy-MB/s": 5347, "x/valid": 0.7469}
	if !ok || name != "Graph" || !maps.Equal(metrics, want) {
		t.Errorf("got %q %v %v, want Graph %v", name, metrics, ok, want)
	}

	for _, other := range []string{
		"goos: linux",
		"PASS",
		"ok  \tfluent-bit-defender/internal/record\t10.649s",
		"BenchmarkRatio/Graph-2",
		"BenchmarkRatio/Graph-2 400 x y",
	} {
		if name, _, ok := metricsOf(other); ok {
			t.Errorf("%q passes for the figures of %q", other, name)
		}
	}
}

func TestTheKernelsCountsOfThisProcess(t *testing.T) {
	before, err := used(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	// 64 MB that are written to are in the peak; until a clock tick of work is counted,
	// work.
	held := make([]byte, 64<<20)

	var after usage
	for after.cpu <= before.cpu {
		for i := range held {
			held[i]++
		}

		if after, err = used(os.Getpid()); err != nil {
			t.Fatal(err)
		}
	}

	if after.peak < 64<<20 || after.rss < 64<<20 || after.peak < after.rss/2 || before.rss <= 0 {
		t.Errorf("before %+v, with 64 MB more %+v", before, after)
	}

	runtime.KeepAlive(held)

	if _, err := used(-1); err == nil {
		t.Error("there is no process -1")
	}
}

func TestMedianIsTheMiddleWhateverTheOrder(t *testing.T) {
	if m := median([]time.Duration{9, 1, 5}); m != 5 {
		t.Errorf("median of 9, 1, 5 is %d", m)
	}
}

func TestBothCompetitorsGetTheSameStorageAndThread(t *testing.T) {
	for _, plugin := range []string{"", "/x/in_defender.so"} {
		text := configuration(plugin, section{"name", "tail", "path", "/a \"b\""}, "/dir", "1234")
		for _, want := range []string{
			"storage.type: filesystem",
			`threaded: "off"`,
			`- name: "tail"`,
			`path: "/a \"b\""`,
			`name: "null"`,
			"http_port: 1234",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("plugin %q: no %s in\n%s", plugin, want, text)
			}
		}

		if strings.Contains(text, "plugins:") != (plugin != "") {
			t.Errorf("plugin %q:\n%s", plugin, text)
		}
	}
}
