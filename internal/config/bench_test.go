package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// BenchmarkTenantsFile reads what a large provider has: 2000 tenants that share an
// application.
func BenchmarkTenantsFile(b *testing.B) {
	dir := b.TempDir()

	var text strings.Builder
	fmt.Fprintf(&text, "defaults:\n  client_id: %s\n  client_secret_file: %s/secret\ntenants:\n", app, dir)

	for i := range 2000 {
		fmt.Fprintf(&text, "  - tenant_id: t%d.example\n    tenant_name: tenant %d\n    tag: defender.t%d\n", i, i, i)
	}

	path := filepath.Join(dir, "tenants.yaml")
	for name, content := range map[string]string{path: text.String(), dir + "/secret": hidden} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			b.Fatal(err)
		}
	}

	b.ReportAllocs()

	for b.Loop() {
		if in, _, err := FromPlugin(Map{"tenants_file": path}, env()); err != nil || len(in.Tenants) != 2000 {
			b.Fatal(err)
		}
	}
}
