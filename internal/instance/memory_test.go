package instance

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"fluent-bit-defender/internal/config"
)

// TestATenantThatRestsTakesLittleMemory bounds what an input keeps for each of its
// tenants before their first poll: 10,000 of them are to fit into 300 MB, of which much
// more than half is not this.
func TestATenantThatRestsTakesLittleMemory(t *testing.T) {
	const (
		few, many = 100, 2100
		most      = 6500 // bytes
	)

	least, greatest := heapOf(t, few), heapOf(t, many)

	if each := (int(greatest) - int(least)) / (many - few); each > most {
		t.Errorf("a tenant takes %d bytes; at most %d were meant", each, most)
	} else {
		t.Logf("a tenant takes %d bytes", each)
	}
}

// heapOf returns how many bytes of Go's heap are in use when an input with n tenants is
// open.
func heapOf(t *testing.T, n int) uint64 {
	t.Helper()

	dir := t.TempDir()
	file := filepath.Join(dir, "tenants.yaml")

	var w strings.Builder
	w.WriteString("tenants:\n")

	for i := range n {
		fmt.Fprintf(&w, "  - tenant_id: 99999999-8888-4777-8666-%012d\n    tenant_name: customer %d\n", i, i)
	}

	if err := os.WriteFile(file, []byte(w.String()), 0o600); err != nil {
		t.Fatal(err)
	}

	host := &fakeHost{keys: config.Map{
		"tenants_file":  file,
		"client_id":     "11111111-2222-4333-8444-555555555555",
		"client_secret": "s3cret",
		"data_dir":      filepath.Join(dir, "data"),
	}}
	thread := Thread{ID: 1, Name: "flb-pipeline"}
	p := NewProcess()

	if _, ok := p.Open(host, thread, false); !ok {
		t.Fatalf("does not start:\n%s", host.log())
	}
	defer p.Exit(thread.ID)

	var m runtime.MemStats

	runtime.GC()
	runtime.GC() // pools are empty only then
	runtime.ReadMemStats(&m)
	runtime.KeepAlive(p)

	return m.HeapAlloc
}
